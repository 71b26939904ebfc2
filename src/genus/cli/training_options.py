"""The options of `genus train` that make a `TrainConfig`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from genus.cli.options import duration


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train; what is left out keeps the default of `genus.training.TrainConfig`.

    Args:
        steps: Updates of the model; with --time-budget, whichever ends first. A model that is
            fitted needs neither.
        time_budget: Time of training: 90s, 5m, 1h30m.
        batch_size: Examples of one update, over all processes (the model's own).
        learning_rate: Step size of AdamW (the model's own).
        schedule: How the step size falls over the budget (cosine).
        warmup: Steps over which the step size rises at first (100).
        ema: Decay of the moving average of the weights; 0 turns it off (0.999).
        clip: Largest norm of a gradient; 0 turns it off (1.0).
        weight_decay: Decay of the weights (0.0).
        precision: bf16 where the hardware has it, or always one of them (auto).
        seed: Seed of the weights, the order of the data and the noise (0).
        device: auto, cpu, cuda or cuda:1 (auto).
        processes: Processes that share each batch (1).
        evaluate_every: Steps, or seconds without --steps, between scores on valid (a tenth).
        checkpoint_every: Seconds between checkpoints; 0 writes one after every step (60).
        samples: Images in the sample grids; 0 draws none (36).
        rollbacks: Times that a run which explodes, or an adversarial model which goes wrong,
            returns to its best weights before the run ends early; 0 only warns (3).
    """

    steps: int | None = None
    time_budget: str | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: Literal["cosine", "constant"] | None = None
    warmup: int | None = None
    ema: float | None = None
    clip: float | None = None
    weight_decay: float | None = None
    precision: Literal["auto", "float32", "bf16"] | None = None
    seed: int | None = None
    device: str | None = None
    processes: int | None = None
    evaluate_every: float | None = None
    checkpoint_every: float | None = None
    samples: Annotated[int | None, Parameter(name="--samples")] = None
    rollbacks: int | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields of a `TrainConfig` that were typed.

        Raises:
            UsageError: the time budget is no duration.
        """
        values = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        if "time_budget" in values:
            values["time_budget"] = duration(values["time_budget"])
        if values.get("clip") == 0:
            values["clip"] = None
        return values
