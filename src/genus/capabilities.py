"""What a model can do, as small protocols that are asked of its class.

The rest of the library never asks which model it has, only `supports(model, Density)`. The class
is asked and not the instance, because a module with a submodule called ``decode`` would otherwise
pass for one that decodes.
"""

# Shapes: B batch, n samples, Z latent size, D features.
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from genus.records import Completion as Completion
from genus.records import Elbo as Elbo
from genus.records import FitContext as FitContext
from genus.records import LogPartition as LogPartition
from genus.records import Objective as Objective
from genus.spec import Batch, Spec


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

    def free_energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ``(B,)`` nats: minus log p(x), or log p(x, y) where y is given, less log Z."""
        ...

    def gibbs(
        self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return x after one sweep that leaves p(x), or p(x | y), as it is."""
        ...

    def log_partition(
        self,
        *,
        chains: int = 100,
        steps: int = 1000,
        generator: torch.Generator | None = None,
        exact: bool | None = None,
    ) -> LogPartition:
        """Return log Z, by a sum over states or not; None leaves that to the model."""
        ...


class EnergyBounded(Protocol):
    """Knows a bound on the log-likelihood up to a constant."""

    def free_energy_bound(
        self,
        x: Tensor,
        k: int,
        y: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return ``(B,)`` nats, above the free energy in expectation, from ``k`` samples each."""
        ...

    def log_partition(
        self,
        *,
        chains: int = 100,
        steps: int = 1000,
        generator: torch.Generator | None = None,
        exact: bool | None = None,
    ) -> LogPartition:
        """Return log Z, by a sum over states or not; None leaves that to the model."""
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
    """Maps latents to a law over examples, whose ``log_prob`` is differentiable in them."""

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


class Marginalises(Protocol):
    """Knows the exact log-likelihood of a part of an example.

    One that also has `Classifies` knows the posterior given a part: its ``class_log_prob`` takes
    ``known`` as its second argument.
    """

    def marginal_log_prob(self, x: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ``(B,)``, the log-probability of the entries where ``known`` is True."""
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


class Anneals(Protocol):
    """Has a loss that changes over the training."""

    def anneal(self, progress: float) -> None:
        """Take note, before a step, of the share of the training that is over, from 0 to 1."""
        ...


class Advises(Protocol):
    """Knows what to change when its training goes wrong."""

    def remedies(self, trouble: str) -> tuple[str, ...]:
        """Return options to try, as they are typed, most promising first."""
        ...


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
        EnergyBounded,
        Conditionals,
        Encodes,
        Decodes,
        Criticises,
        Completes,
        Marginalises,
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
