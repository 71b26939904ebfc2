"""What verbs take and return, where a tensor would not say enough."""

# Shapes: B batch, G groups of latents.
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genus.random import Noise
from genus.spec import Batch


@dataclass(frozen=True)
class Objective:
    """One player's loss and the parameters that follow it.

    A likelihood model has one objective, an adversarial model two. The loop calls ``loss(batch,
    noise)``, descends its ``"loss"`` entry with respect to ``parameters`` and logs the others.

    Args:
        name: how the log calls it.
        parameters: what this player may change, and nobody else.
        loss: from a batch and a source of noise to scalars, among them ``"loss"``.
        repeats: updates of this player per step, each on a fresh batch.
        learning_rate: default of Adam's step size.
        betas: default of Adam's decay rates.
        batch_size: default of the examples of one update.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch, Noise], dict[str, Tensor]]
    repeats: int = 1
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    batch_size: int = 64


@dataclass(frozen=True)
class Elbo:
    """An evidence lower bound and its parts, in nats per example.

    Args:
        reconstruction: ``(B,)`` expected log-likelihood of x given the latents.
        kl: ``(B, G)`` divergence of the posterior from the prior, one column for each group.
    """

    reconstruction: Tensor
    kl: Tensor

    @property
    def value(self) -> Tensor:
        """The bound, ``(B,)``: reconstruction less the divergences."""
        return self.reconstruction - self.kl.sum(1)


@dataclass(frozen=True)
class Completion:
    """Examples with their missing entries drawn.

    Args:
        x: ``(B, *shape)``; known entries are untouched.
        exact: whether x is a draw from the model's own conditional given the known entries.
        method: how it was drawn, in words.
        log_prob: ``(B,)`` log-probability of the entries drawn given all that came before them in
            the model's order, or None.
        log_known: ``(B,)`` log-probability of the known entries, or the log of an unbiased
            estimate of it, or None.
        log_conditional: ``(B,)`` log-probability of the entries drawn given the known ones, an
            estimate where ``log_known`` is one, or None.
        effective: ``(B,)`` how many particles of equal weight an approximate method's are worth, at
            the moment when that was least; infinity for examples that needed none; None for
            methods without particles.
        y: ``(B,)`` labels that were given or drawn, or None.
    """

    x: Tensor
    exact: bool
    method: str
    log_prob: Tensor | None = None
    log_known: Tensor | None = None
    log_conditional: Tensor | None = None
    effective: Tensor | None = None
    y: Tensor | None = None


@dataclass(frozen=True)
class LogPartition:
    """The log of a partition function, in nats: an interval, and what stands behind it.

    Args:
        lower: below log Z, an estimate that errs downwards less three standard errors.
        upper: above log Z, an estimate that errs upwards plus three standard errors.
        estimate: the best single figure, between the two.
        standard_error: of ``estimate``.
        effective: how many runs of equal weight the runs are worth, on the worse side.
        chains: runs in each direction; 0 if none were needed.
        steps: temperatures of each run; 0 if there were no runs.
        exact: whether it was summed, so that the interval is one number.
    """

    lower: float
    upper: float
    estimate: float
    standard_error: float
    effective: float
    chains: int
    steps: int
    exact: bool

    @classmethod
    def known(cls, value: float) -> LogPartition:
        """Return the record of an exact value.

        Example:
            >>> found = LogPartition.known(2.0)
            >>> found.lower == found.upper == found.estimate, found.exact
            (True, True)
        """
        return cls(value, value, value, 0.0, float("inf"), 0, 0, True)


@dataclass
class FitContext:
    """What a fit may ask of the loop that runs it.

    Args:
        generator: source of noise.
        log: takes the metrics of each iteration.
        stop: says whether the time is over.
        reduce: sums a statistic over processes.
        rank: this process; what must be drawn once is drawn by the first.
    """

    generator: torch.Generator | None = None
    log: Callable[[dict[str, float]], None] = field(default=lambda metrics: None)
    stop: Callable[[], bool] = field(default=lambda: False)
    reduce: Callable[[Tensor], Tensor] = field(default=lambda tensor: tensor)
    rank: int = 0
