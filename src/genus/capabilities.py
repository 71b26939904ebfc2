"""What a model can do, as small protocols that are asked of its class.

The rest of the library never asks which model it has, only `supports(model, Density)`. The class
is asked and not the instance, because a module with a submodule called ``decode`` would otherwise
pass for one that decodes.
"""

# Shapes: B batch, n samples, Z latent size, D features.
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genus.random import Noise
from genus.spec import Batch, Spec


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


class Distribution(Protocol):
    """Independent laws, one for each entry of an event."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log mass or density of every entry."""
        ...

    def icdf(self, u: Tensor) -> Tensor:
        """Return a draw of every entry, made from uniform noise of the same shape."""
        ...

    def tempered(self, temperature: float) -> Distribution:
        """Return the law with its logits or its log-density divided by ``temperature``."""
        ...

    @property
    def mean(self) -> Tensor:
        """Mean of every entry."""
        ...


class Stream(Protocol):
    """A model's conditionals, one position after another."""

    def next(self) -> Distribution:
        """Return the law ``(n,)`` of the entry that comes next in the model's order."""
        ...

    def push(self, value: Tensor) -> None:
        """Fix that entry to ``value`` ``(n,)`` and advance."""
        ...

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has been given so far."""
        ...


class Samples(Protocol):
    """Draws new examples."""

    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)``."""
        ...


class Density(Protocol):
    """Knows the exact log-likelihood."""

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ``(B,)`` nats."""
        ...


class Bounded(Protocol):
    """Knows bounds on the log-likelihood."""

    def elbo(
        self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Elbo:
        """Return the evidence lower bound."""
        ...

    def iwae(
        self,
        x: Tensor,
        k: int,
        y: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return ``(B,)``, the importance-weighted bound with ``k`` samples."""
        ...


class Energy(Protocol):
    """Knows the log-likelihood up to a constant."""

    def free_energy(self, x: Tensor) -> Tensor:
        """Return ``(B,)`` nats."""
        ...

    def gibbs(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return x after one sweep of Gibbs sampling."""
        ...


class Conditionals(Protocol):
    """Factorises the likelihood in an order."""

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """Return the law of each entry given those before it."""
        ...

    def order(self) -> Tensor:
        """Return ``(dims,)``, the flat index of the entry at each position of the order."""
        ...

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the same laws one position at a time."""
        ...


class Encodes(Protocol):
    """Maps examples to a law over latents."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Return a distribution over ``(B, Z)``."""
        ...


class Decodes(Protocol):
    """Maps latents to a law over examples, differentiably."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Any:
        """Return a distribution over ``(B, *shape)``."""
        ...

    def prior(self) -> Any:
        """Return the law of the latents."""
        ...


class Criticises(Protocol):
    """Scores how real an example looks."""

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ``(B,)``; higher is more real."""
        ...


class Completes(Protocol):
    """Fills in what is missing."""

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Completion:
        """Return x with the entries where ``known`` is False drawn anew."""
        ...


class Classifies(Protocol):
    """Knows the posterior of the class by Bayes' rule."""

    def class_log_prob(self, x: Tensor) -> Tensor:
        """Return ``(B, classes)``, log p(y | x)."""
        ...


class Features(Protocol):
    """Summarises examples as vectors."""

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, D)``."""
        ...


class Trains(Protocol):
    """Is trained by gradient descent."""

    def objectives(self) -> tuple[Objective, ...]:
        """Return one objective per player."""
        ...


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


class Fits(Protocol):
    """Is fitted in closed form or by EM over additive statistics."""

    def fit(
        self, batches: Callable[[], Iterable[Batch]], context: FitContext | None = None
    ) -> None:
        """Fit to what ``batches()`` yields; it is called once for each pass over the data."""
        ...


class GenerativeModel(Samples, Protocol):
    """The least that the library asks of a model."""

    name: str
    family: str
    spec: Spec


CAPABILITIES: dict[str, type] = {
    protocol.__name__.lower(): protocol
    for protocol in (
        Samples,
        Density,
        Bounded,
        Energy,
        Conditionals,
        Encodes,
        Decodes,
        Criticises,
        Completes,
        Classifies,
        Features,
        Trains,
        Fits,
    )
}
"""Every capability by its name in lower case."""


def supports(model: object, capability: type) -> bool:
    """Say whether a model, or a model class, has a capability.

    Args:
        model: an instance or a class.
        capability: one of the protocols of this module.

    Example:
        >>> class Constant:
        ...     def sample(self, n, *, y=None, generator=None, temperature=1.0): ...
        >>> supports(Constant, Samples), supports(Constant(), Density)
        (True, False)
    """
    cls = model if isinstance(model, type) else type(model)
    verbs = [name for name in vars(capability) if not name.startswith("_")]
    return all(callable(getattr(cls, verb, None)) for verb in verbs)


def capabilities_of(model: object) -> tuple[str, ...]:
    """Return the names of all capabilities of a model or a model class."""
    return tuple(name for name, protocol in CAPABILITIES.items() if supports(model, protocol))
