"""Players: an objective with its optimiser, and how the step size moves."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genus.capabilities import Objective, Trains, supports
from genus.errors import CheckpointError, ConfigError
from genus.training.config import TrainConfig


def step_size(config: TrainConfig, step: int, elapsed: float) -> float:
    """Return the factor of the learning rate: a linear warm-up, then the schedule.

    Args:
        config: schedule, warm-up and budgets.
        step: updates so far.
        elapsed: seconds of training so far; it matters under a time budget only.
    """
    progress = config.progress(step, elapsed)
    # A short run must not spend itself on the warm-up, which a tenth of the budget ends.
    rise = min(1.0, max((step + 1) / config.warmup, 10 * progress)) if config.warmup else 1.0
    if config.schedule == "constant":
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * progress))


def settled(config: TrainConfig, model: Any) -> TrainConfig:
    """Return the configuration with the batch size that it leaves to the model.

    Raises:
        ConfigError: the model's own batch size cannot be shared by the processes.
    """
    if config.batch_size is not None:
        return config
    objectives = model.objectives() if supports(model, Trains) else ()
    sizes = [objective.batch_size for objective in objectives]
    return dataclasses.replace(config, batch_size=max(sizes, default=Objective.batch_size))


class Player:
    """An objective and the AdamW that descends it.

    Args:
        objective: loss and parameters.
        rivals: parameters of the other objectives; they gather no gradient from this loss.
        config: learning rate and weight decay.

    Raises:
        ConfigError: the objective has no parameters.
    """

    def __init__(
        self, objective: Objective, rivals: Sequence[nn.Parameter], config: TrainConfig
    ) -> None:
        self.objective, self.name = objective, objective.name
        self.parameters = [weight for weight in objective.parameters if weight.requires_grad]
        if not self.parameters:
            raise ConfigError(f"objective {self.name!r} has no parameters to train")
        own = {id(weight) for weight in self.parameters}
        self.rivals = [w for w in rivals if id(w) not in own and w.requires_grad]
        self.base = config.learning_rate or objective.learning_rate
        self.metrics: dict[str, Tensor] = {}
        self.loss = self.norm = math.nan
        groups = _groups(self.parameters, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, self.base, betas=objective.betas, fused=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Freeze the other players' parameters, so that the gradient passes through them only."""
        for weight in self.rivals:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self.rivals:
                weight.requires_grad_(True)

    def gradients(self) -> list[Tensor]:
        """Return the gradients that there are."""
        return [weight.grad for weight in self.parameters if weight.grad is not None]

    def set_step_size(self, factor: float) -> None:
        """Scale the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.base * factor

    def descend(self) -> None:
        """Update the parameters and drop the gradients."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimiser's state as tensors named ``<parameter index>/<entry>``."""
        return {
            f"{index}/{key}": value
            for index, weight in enumerate(self.parameters)
            for key, value in self.optimizer.state.get(weight, {}).items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the state that `state_dict` returned.

        Raises:
            CheckpointError: it belongs to other parameters.
        """
        self.optimizer.state.clear()
        for name, value in state.items():
            index, key = name.split("/")
            if int(index) >= len(self.parameters):
                raise CheckpointError(f"objective {self.name!r} has no parameter {index}")
            weight = self.parameters[int(index)]
            self.optimizer.state[weight][key] = _like(weight, value)


def make_players(objectives: Sequence[Objective], config: TrainConfig) -> list[Player]:
    """Return a player for each objective.

    Raises:
        ConfigError: two objectives have one name, or one has no parameters.
    """
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"objectives must have names of their own, got {names}")
    every = [weight for objective in objectives for weight in objective.parameters]
    return [Player(objective, every, config) for objective in objectives]


def _groups(weights: list[nn.Parameter], decay: float) -> list[dict[str, object]]:
    """Return one group, or two where biases and gains are to be spared the decay."""
    if not decay:
        return [{"params": weights, "weight_decay": 0.0}]
    matrices = [weight for weight in weights if weight.dim() > 1]
    vectors = [weight for weight in weights if weight.dim() <= 1]
    groups = [(matrices, decay), (vectors, 0.0)]
    return [{"params": part, "weight_decay": rate} for part, rate in groups if part]


def _like(weight: Tensor, value: Tensor) -> Tensor:
    """Return a saved value in the memory layout that the optimiser would have given it."""
    if value.dim() == 0:  # the step count
        return value.clone().to(weight.device)
    if value.shape != weight.shape:
        raise CheckpointError(
            f"optimiser state has shape {tuple(value.shape)}, its parameter {tuple(weight.shape)}"
        )
    return torch.empty_like(weight, memory_format=torch.preserve_format).copy_(value)
