"""How a model is trained: budgets, steps, precision and what is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from genus.errors import ConfigError, raise_all


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The options of `genus.training.train`; at least one budget is needed.

    A model that is fitted in closed form or by EM ends by itself, and `genus.training.train` takes
    it without options.

    Args:
        steps: updates of the model; with a time budget, whichever ends first.
        time_budget: seconds of training. Evaluation, checkpoints and sample grids are not
            counted; the manifest has them apart.
        batch_size: examples of one update, over all processes; None takes what the model's
            objective asks for, and `settled` puts it here.
        learning_rate: AdamW's step size; None takes what the model's objective asks for.
        schedule: how the step size falls over the budget: to zero along a cosine, or not.
        warmup: steps over which the step size rises at first, at most a tenth of the budget.
        weight_decay: of weights with two or more dimensions; biases and gains are left alone.
        ema: decay of the moving average of the weights, which is what is kept; 0 keeps the raw
            weights.
        clip: largest norm of a gradient, or None.
        precision: "bf16" runs the loss in bfloat16, "float32" does not, "auto" takes bf16 where
            the processor or the GPU has it in hardware. Likelihoods are always float32.
        seed: of the order of the data, the noise and the sample grids.
        evaluate_every: in steps if ``steps`` is given, else in seconds; None is a tenth of it.
        checkpoint_every: seconds between checkpoints; 0 writes one after every step.
        keep: how many checkpoints are kept.
        device: "auto", "cpu", "cuda" or "cuda:1".
        processes: processes that share each batch.
        keep_best: keep the weights that score best on the valid split rather than the last ones.
        valid_limit: examples of the valid split that are scored, always the same ones.
        samples: images in a sample grid; 0 draws none.
        log_every: steps between lines of ``metrics.jsonl``.
        rollbacks: times that a run which explodes, or an adversarial model which collapses or
            diverges, goes back to its best weights, with half the step size, before the run ends
            early; 0 only warns.

    Raises:
        ConfigError: values out of range, all of them at once.

    Example:
        >>> TrainConfig(steps=1000).schedule
        'cosine'
        >>> TrainConfig(steps=10, batch_size=0)
        Traceback (most recent call last):
        ...
        genus.errors.ConfigError: cannot train: batch_size=0 must be at least 1
    """

    steps: int | None = None
    time_budget: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 100
    weight_decay: float = 0.0
    ema: float = 0.999
    clip: float | None = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    seed: int = 0
    evaluate_every: float | None = None
    checkpoint_every: float = 60.0
    keep: int = 2
    device: str = "auto"
    processes: int = 1
    keep_best: bool = True
    valid_limit: int = 2000
    samples: int = 36
    log_every: int = 10
    rollbacks: int = 3

    def __post_init__(self) -> None:
        problems = self._budget() + self._at_least() + self._above_zero() + self._words()
        if not 0 <= self.ema < 1:
            problems.append(f"ema={self.ema} must be at least 0 and below 1")
        if not 0 <= self.seed < 2**63:
            problems.append(f"seed={self.seed} must be at least 0 and below 2**63")
        if self.processes > 0 and self.batch_size is not None and self.batch_size % self.processes:
            problems.append(
                f"batch_size={self.batch_size} cannot be shared evenly by "
                f"processes={self.processes}; make it a multiple"
            )
        raise_all(ConfigError, "cannot train:", problems)

    def _budget(self) -> list[str]:
        if self.steps is None and self.time_budget is None:
            return ["there is no budget; give steps=1000 or time_budget=60 (--time-budget 60s)"]
        return []

    def _at_least(self) -> list[str]:
        limits = {"steps": 1, "batch_size": 1, "keep": 1, "processes": 1, "valid_limit": 1}
        limits |= {"log_every": 1, "warmup": 0, "samples": 0, "rollbacks": 0}
        limits |= {"weight_decay": 0, "checkpoint_every": 0}
        values = {name: getattr(self, name) for name in limits}
        return [
            f"{name}={value} must be at least {limits[name]}"
            for name, value in values.items()
            if value is not None and not limits[name] <= value < math.inf
        ]

    def _above_zero(self) -> list[str]:
        names = ("time_budget", "learning_rate", "clip", "evaluate_every")
        values = {name: getattr(self, name) for name in names}
        return [
            f"{name}={value} must be above zero and finite"
            for name, value in values.items()
            if value is not None and not 0 < value < math.inf
        ]

    def _words(self) -> list[str]:
        words = {"schedule": ("cosine", "constant"), "precision": ("auto", "float32", "bf16")}
        return [
            f"{name}={getattr(self, name)!r} must be one of {', '.join(known)}"
            for name, known in words.items()
            if getattr(self, name) not in known
        ]

    @property
    def evaluation_interval(self) -> float:
        """Steps between evaluations if ``steps`` is given, else seconds."""
        if self.steps is not None:
            every = self.steps / 10 if self.evaluate_every is None else self.evaluate_every
            return max(1, round(every))
        assert self.time_budget is not None
        return self.evaluate_every or self.time_budget / 10

    def progress(self, step: int, elapsed: float) -> float:
        """Return the share of the budget that is spent, 0 to 1.

        Args:
            step: updates so far.
            elapsed: seconds of training so far.
        """
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = elapsed / self.time_budget if self.time_budget is not None else 0.0
        return min(1.0, max(by_steps, by_time))
