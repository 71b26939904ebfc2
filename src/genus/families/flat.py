r"""Autoregressive models of entries in a line: vectors, and images as the vectors of their entries.

References:
    | Neural Autoregressive Distribution Estimation (Uria et al., 2016)
    | https://arxiv.org/abs/1605.02226
"""

# Shapes: B batch, n samples, D entries, E numbers that stand for an entry, K levels, P parameters
# of an entry, M components of a mixture, Y classes (1 where unconditional).
from __future__ import annotations

import abc
import math
from collections import Counter
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from genus.config import check_positive, check_share
from genus.distributions.likelihoods import Law, Likelihood
from genus.distributions.units import take_unit
from genus.errors import ConfigError
from genus.families.autoregressive import Autoregressive
from genus.spec import Batch, Spec

SMALL = 10_000
"""Training sets below this size have options that suit them."""
WIDEST = 7.0
"""Log of the largest standard deviation, over the entry's own; a draw cannot run away by it."""
FEW_LEVELS = 32
"""Up to so many levels, entries are shown to a network level by level."""


Order = str | tuple[int, ...]
"""The name of an order, ``"raster"`` or ``"random"``, or the numbers of the entries in order."""


def check_options(config: Any) -> None:
    """Raise `ConfigError` unless the options that these models share are in range."""
    check_share(config, "dropout")
    _read_order(config)
    if hasattr(config, "components"):
        check_positive(config, "components", "min_scale")
    for name in ("order_seed", "masks"):
        value = getattr(config, name, 0)
        if not 0 <= value < 2**31:
            raise ConfigError(f"{name}={value} must be at least 0 and below 2**31")


def _read_order(config: Any) -> None:
    """Turn an order that is written as text, such as ``2,0,1``, into numbers."""
    order = config.order
    if isinstance(order, tuple) or order in ("raster", "random"):
        return
    words = [word.strip() for word in order.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ConfigError(
            f"order={order!r} must be 'raster', 'random', or the number of every entry in the "
            "order wanted, such as 2,0,1 for three"
        )
    object.__setattr__(config, "order", tuple(int(word) for word in words))


def _check_permutation(order: tuple[int, ...], dims: int) -> None:
    """Raise `ConfigError` unless every entry is in the order once."""
    named = Counter(order)
    missing = sorted(set(range(dims)) - set(named))
    strange = sorted(set(named) - set(range(dims)))
    twice = sorted(entry for entry, count in named.items() if count > 1)
    problems = [
        f"it {words} {entries[:5]}{' and more' if len(entries) > 5 else ''}"
        for words, entries in (("lacks", missing), ("repeats", twice), ("has the unknown", strange))
        if entries
    ]
    if problems:
        raise ConfigError(
            f"order must name each of the {dims} entries, 0 to {dims - 1}, once: "
            + "; ".join(problems)
        )


class FlatAutoregressive(Autoregressive, abc.ABC):
    r"""A network that maps all entries to the parameters of all entries, in any one order.

    A subclass writes `outputs` and `stream`. Its configuration has at least ``order``,
    ``order_seed``, ``likelihood`` and ``dropout``, and where it takes real numbers ``components``
    and ``min_scale``.

    What the network sees of an entry is `entries`. Of few levels it is a thermometer, K - 1
    numbers of which the first x are one, so that any function of the level is linear in them. Of
    many levels it is one number on [-1, 1]. Real data are standardised inside, by the first
    batch of training, and likelihoods account for it.

    Args:
        spec: what the data are.
        config: an instance of the class's ``Config``.

    Raises:
        SpecError: the likelihood does not fit the data.
        ConfigError: an order that does not name every entry once.
    """

    small_dropout: ClassVar[float] = 0.0
    """Dropout that suits small sets of levels; hiding entries, unlike units, costs more there."""
    order_D: Tensor
    shift_D: Tensor
    scale_D: Tensor

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        c = self.config
        if spec.is_discrete or c.likelihood != "auto":
            self.likelihood = Likelihood(c.likelihood, spec)
        else:
            self.likelihood = Likelihood("gaussian-mixture", spec, c.components)
        self.register_buffer("order_D", self._first_order())
        width = self.likelihood.width
        self.bias_YDP = nn.Parameter(torch.zeros(spec.classes or 1, spec.dims, width))
        if not spec.is_discrete:
            self.register_buffer("shift_D", torch.zeros(spec.dims))
            self.register_buffer("scale_D", torch.ones(spec.dims))
            self._spread_components()

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return what small sets need: for real numbers few, wide Gaussians and strong dropout."""
        if examples >= SMALL:
            return {}
        if not spec.is_discrete:
            return {"dropout": 0.5, "components": 2, "min_scale": 0.1}
        return {"dropout": cls.small_dropout} if cls.small_dropout else {}

    def _first_order(self) -> Tensor:
        if isinstance(self.config.order, tuple):
            _check_permutation(self.config.order, self.spec.dims)
            return torch.tensor(self.config.order)
        if self.config.order == "raster":
            return super().order()
        generator = torch.Generator().manual_seed(self.config.order_seed)
        return torch.randperm(self.spec.dims, generator=generator)

    @torch.no_grad()
    def _spread_components(self) -> None:
        """Let the components of a mixture start at the quantiles of a standard normal."""
        count = self.config.components
        quantiles_M = torch.special.ndtri((torch.arange(count) + 0.5) / count)
        log_scale_M = torch.full((count,), -0.5 * math.log(count))
        self.bias_YDP.copy_(torch.cat([torch.zeros(count), quantiles_M, log_scale_M]))

    def order(self) -> Tensor:
        """Return ``(D,)``: the flat index of the entry at each position of the order."""
        return self.order_D

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Take from a first batch the unit of real data, or how frequent each level is."""
        x_BD = batch.x.flatten(1)
        if not self.spec.is_discrete:
            take_unit(self.shift_D, self.scale_D, x_BD)
        elif self.likelihood.name in ("bernoulli", "categorical"):
            levels = self.spec.levels_or_raise
            counts = torch.stack([(x_BD == level).sum(0) for level in range(levels)], -1)
            # One pseudo-example that is spread evenly, so that no level is impossible.
            log_DK = ((counts + 1 / levels) / (len(x_BD) + 1)).log()
            log_odds_D1 = log_DK[:, 1:] - log_DK[:, :1]
            self.bias_YDP.copy_(log_odds_D1 if self.likelihood.name == "bernoulli" else log_DK)

    def scaled(self, x: Tensor) -> Tensor:
        """Return levels on [-1, 1], and real data in units of their deviation."""
        if self.spec.is_discrete:
            return super().scaled(x)
        standard_BD = (x.to(self.dtype).flatten(1) - self.shift_D) / self.scale_D
        return standard_BD.view_as(x)

    @property
    def entry_size(self) -> int:
        """E, how many numbers stand for an entry."""
        levels = self.spec.levels or 2
        return levels - 1 if levels <= FEW_LEVELS else 1

    def entries(self, u: Tensor) -> Tensor:
        """Return ``(..., E)``, what the network sees of scaled entries ``(...)``."""
        levels = self.spec.levels
        if levels is None or levels > FEW_LEVELS:
            return u.unsqueeze(-1)
        level = ((u + 1) * ((levels - 1) / 2)).unsqueeze(-1)
        if levels == 2:
            return level
        return (level - torch.arange(levels - 1, device=u.device)).clamp(0, 1)

    @abc.abstractmethod
    def outputs(self, e_BDE: Tensor, y_B: Tensor | None) -> Tensor:
        """Return ``(B, D, P)``: what the network adds to the biases of each entry.

        Args:
            e_BDE: what it sees of each entry.
            y_B: labels, or None.
        """

    def parameters_of(self, u: Tensor, y: Tensor | None) -> Tensor:
        """Return the parameters of every conditional, ``(B, *shape, P)``."""
        bias_BDP = self.bias_YDP if y is None else self.bias_YDP[y]
        raw_BDP = self.outputs(self.entries(u.flatten(1)), y) + bias_BDP
        return self.in_units(raw_BDP, slice(None)).view(*u.shape, self.likelihood.width)

    def in_units(self, raw: Tensor, index: int | slice) -> Tensor:
        """Return parameters (..., P) of some entries; those of real data in the data's unit."""
        if self.likelihood.name != "gaussian-mixture":
            return raw
        logits, location, log_scale = raw.chunk(3, -1)
        shift, scale = self.shift_D[index].unsqueeze(-1), self.scale_D[index].unsqueeze(-1)
        # A floor that still has a slope under it: no component collapses and none gets stuck.
        floor = torch.full_like(log_scale, math.log(self.config.min_scale))
        log_scale = torch.logaddexp(log_scale.clamp(max=WIDEST), floor) + scale.log()
        return torch.cat([logits, location * scale + shift, log_scale], -1)


class Steps(Protocol):
    """A network that runs one position at a time and remembers what it needs, detached."""

    def outputs(self, position: int) -> Tensor:
        """Return ``(n, P)``: what the network adds to the biases of the entry there."""
        ...

    def take(self, e_BE: Tensor, position: int) -> None:
        """Take in what the network sees of that entry."""
        ...

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch."""
        ...


class FlatStream:
    """The conditionals of a flat model one entry at a time.

    Args:
        model: the model; its weights must not change meanwhile.
        steps: its network, at the first position.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: FlatAutoregressive, steps: Steps, y: Tensor | None) -> None:
        self.model, self.steps, self.y, self.position = model, steps, y, 0
        self.indices = model.indices()
        self.biases_YP = model.bias_YDP.detach().unbind(1)

    def next(self) -> Law:
        """Return the law ``(n,)`` of the next entry."""
        index = self.indices[self.position]
        bias_YP = self.biases_YP[index]
        bias_BP = bias_YP if self.y is None else bias_YP[self.y]
        raw_BP = self.steps.outputs(self.position) + bias_BP
        return self.model.likelihood(self.model.in_units(raw_BP, index))

    def push(self, value: Tensor) -> None:
        """Fix the entry and advance."""
        model, index = self.model, self.indices[self.position]
        if model.spec.is_discrete:
            u_B = model.scaled(value)
        else:
            u_B = (value.to(model.dtype) - model.shift_D[index]) / model.scale_D[index]
        self.steps.take(model.entries(u_B), self.position)
        self.position += 1

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has been given so far."""
        self.y = None if self.y is None else self.y[index_B]
        self.steps.select(index_B)
