"""What happens to the weights beside the descent: their average, and the best of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genus.errors import CheckpointError
from genus.training.hooks import Hook, State

if TYPE_CHECKING:
    from genus.training.session import Session

SCORE = "nats_per_dim"
"""The score of models with a likelihood, or a bound on it."""
DISTANCE = "frechet_distance"
"""The score of models without one: how far samples are from the valid split."""


def selection(scores: Mapping[str, float]) -> float:
    """Return the score that weights are chosen by, lower is better; infinity if there is none.

    Example:
        >>> selection({"nats_per_dim": 0.7}), selection({"frechet_distance": 9.0}), selection({})
        (0.7, 9.0, inf)
    """
    return scores.get(SCORE, scores.get(DISTANCE, math.inf))


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's state on the processor, in plain layout."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }


def averaged_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what `Ema` averages, by name: the weights, and what batch normalisation has seen.

    The running mean and variance belong to weights of the same moments: those of the raw network
    are of weights that the averaged one does not have. On digits, the averaged statistics of
    `dcgan` were half as far as copied ones from what the averaged generator shows when its
    statistics are taken anew; the distance of samples to the data was the same. All other buffers
    are copied: counters are whole numbers, masks do not move, and the vectors by which a singular
    value is followed have length one, which their average has not.
    """
    found = {name: weight.detach() for name, weight in model.named_parameters()}
    for prefix, module in model.named_modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            assert module.running_var is not None
            start = f"{prefix}." if prefix else ""
            found[f"{start}running_mean"] = module.running_mean
            found[f"{start}running_var"] = module.running_var
    return found


class Ema(Hook):
    """The exponential moving average of the weights; see `averaged_tensors` for the buffers.

    The decay is ramped, min(decay, (1 + t) / (10 + t)), so that the first weights are forgotten.

    Args:
        decay: 0 turns the average off.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: list[Tensor] = []
        self.averages: list[Tensor] = []

    def attach(self, model: nn.Module) -> None:
        """Start from the weights that the model has."""
        if self.decay:
            self.weights = list(averaged_tensors(model).values())
            self.averages = [weight.clone() for weight in self.weights]

    def on_step(self, session: Session) -> None:
        """Move the average towards the new weights."""
        if self.averages:
            decay = min(self.decay, (1 + session.step) / (10 + session.step))
            get_ema_multi_avg_fn(decay)(  # type: ignore[no-untyped-call]
                self.averages, self.weights, 0
            )

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the average into the model meanwhile."""
        kept = [weight.clone() for weight in self.weights]
        with torch.no_grad():
            if kept:
                torch._foreach_copy_(self.weights, self.averages)
            try:
                yield
            finally:
                if kept:
                    torch._foreach_copy_(self.weights, kept)

    def state_dict(self) -> State:
        """Return the averages, numbered as `averaged_tensors`."""
        return {str(index): average for index, average in enumerate(self.averages)}

    def load_state_dict(self, state: State) -> None:
        """Take the averages over, in the layout of the weights.

        Raises:
            CheckpointError: they belong to another model.
        """
        shapes = {str(i): average.shape for i, average in enumerate(self.averages)}
        if shapes != {name: value.shape for name, value in state.items()}:
            raise CheckpointError("the averaged weights of the checkpoint fit another model")
        for index, average in enumerate(self.averages):
            average.copy_(state[str(index)])


class KeepBest(Hook):
    """Keeps the weights whose score on the valid split is lowest."""

    def __init__(self) -> None:
        self.score = math.inf
        self.step = -1
        self.best: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook."""
        return "best"

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Copy the weights if they are the best so far; NaN never is."""
        score = selection(scores)
        if score < self.score:
            self.score, self.step = score, session.step
            self.best = snapshot(session.model)

    def state_dict(self) -> State:
        """Return the best weights and their score, once there are some."""
        if not self.best:
            return {}
        return {
            "score": self.score,
            "step": self.step,
            **{f"/{k}": v for k, v in self.best.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""
        self.score, self.step = state["score"], state["step"]
        self.best = {key[1:]: value for key, value in state.items() if key.startswith("/")}
