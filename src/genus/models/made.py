r"""MADE: an autoencoder whose masked weights make every output a conditional.

.. math:: h^l = \max\big(0,\, b^l + (W^l \odot M^l)\, h^{l-1}\big), \qquad
    p(x) = \prod_t p\big(x_t \mid c_t + (V_t \odot M^V_t)\, h^L + (A_t \odot M^A_t)\, x\big)

References:
    | MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015)
    | https://arxiv.org/abs/1502.03509
    | RNADE: The Real-valued Neural Autoregressive Density-estimator (Uria et al., 2013)
    | https://arxiv.org/abs/1306.0186
"""

# Shapes: B batch, n samples, D entries, E numbers of an entry, H hidden units, L hidden layers,
# P parameters of an entry.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.capabilities import Stream
from genus.config import check_positive
from genus.errors import ConfigError
from genus.families.flat import FlatAutoregressive, FlatStream, Order, check_options
from genus.nn.masked import sharing
from genus.nn.masked_perceptron import MaskedPerceptron, PerceptronSteps, degrees
from genus.random import Noise
from genus.registry import register
from genus.spec import Batch, Spec

ENDLESS = 2**24
"""So many sets of connections stand for new ones at every step."""


@register("made")
class MADE(FlatAutoregressive):
    r"""Perceptrons with masks: a hidden unit has a degree, and sees nothing beyond it.

    A unit of degree m sees entries up to position m and units of degree m or less; the parameters
    of an entry see units of a degree below its position.

    Agnostic training draws one of several sets of connections at every step. They differ in the
    degrees of the hidden units and, if it is agnostic of the order as well, in the order. The
    likelihood is that of the first set, whose order is `order`. The mean probability over sets is
    a density too, and usually a better one: `ensemble_log_prob`. A model trained in every order
    completes any mask in an order that begins with what is known; a number that is one for each
    known entry tells it which they are.

    Args:
        spec: images or vectors, of levels or of real numbers.
        config: see `MADE.Config`.

    Raises:
        SpecError: the likelihood does not fit the data.

    Example:
        >>> model = MADE(Spec(shape=(1, 4, 5), levels=3), MADE.Config(hidden=32, agnostic="order"))
        >>> x = model.sample(2)
        >>> model.log_prob(x).shape, model.ensemble_log_prob(x, orders=4).shape
        (torch.Size([2]), torch.Size([2]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of MADE; the best of the paper on MNIST has two layers of 8000 units."""

        hidden: int = 1000
        """Units of a hidden layer; below the number of entries, some share their context."""
        layers: int = 2
        """Hidden layers."""
        direct: bool = True
        """Whether entries are also connected with the outputs, as in FVSBN."""
        agnostic: Literal["nothing", "connectivity", "order"] = "nothing"
        """What changes from step to step: nothing, the degrees of hidden units, or order too."""
        masks: int = 0
        """Sets of connections of agnostic training; 0 draws new ones at every step."""
        likelihood: Literal["auto", "logistic"] = "auto"
        """Law of a level: auto is free, logistic (discretized) is for many levels."""
        components: int = 10
        """Gaussians in the law of a real number."""
        min_scale: float = 0.01
        """Least standard deviation of a Gaussian, as a fraction of the entry's own."""
        order: Order = "raster"
        """Row by row and colour by colour, a random order that is kept, or any: every entry's
        number, as in ``2,0,1``, where entry ``(c, i, j)`` of an image is ``(c H + i) W + j``."""
        order_seed: int = 0
        """Seed of the random orders and degrees."""
        dropout: float = 0.0
        """Share of hidden units dropped in training."""

        def __post_init__(self) -> None:
            check_positive(self, "hidden", "layers")
            check_options(self)

    config: Config
    small_dropout = 0.5
    tiny: ClassVar = {"hidden": 24, "layers": 2, "components": 2, "masks": 3}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"hidden": 8000, "layers": 2, "agnostic": "order", "masks": 32}
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, entries = self.config, (spec.dims, self.entry_size, self.likelihood.width)
        units, Y = (c.layers, c.hidden), spec.classes
        self.net = MaskedPerceptron(entries, units, direct=c.direct, classes=Y, dropout=c.dropout)
        self.net.connect(self.order_D.argsort(), self._connections(0)[1])
        self.net.reset(forget=self.sets == 1)

    @property
    def sets(self) -> int:
        """How many sets of connections are trained."""
        return 1 if self.config.agnostic == "nothing" else self.config.masks or ENDLESS

    @property
    def entry_size(self) -> int:
        """E, how many numbers stand for an entry; one more if any may be unknown."""
        return super().entry_size + (self.config.agnostic == "order")

    def entries(self, u: Tensor) -> Tensor:
        """Return ``(..., E)``, what the network sees of scaled entries ``(...)``."""
        e = super().entries(u)
        return F.pad(e, (0, 1), value=1.0) if self.config.agnostic == "order" else e

    def _connections(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the order ``(D,)`` and the degrees of hidden units ``(L, H)`` of a set."""
        c, D, order_D = self.config, self.spec.dims, self.order_D
        if not number:
            return order_D, degrees(D, c.hidden, c.layers).to(order_D)
        generator = torch.Generator().manual_seed(c.order_seed * ENDLESS + number)
        degree_LH = degrees(D, c.hidden, c.layers, generator)
        if c.agnostic == "order":
            order_D = torch.randperm(D, generator=generator).to(order_D)
        return order_D, degree_LH.to(order_D)

    def _sharing(self, order_D: Tensor, degree_LH: Tensor) -> MADE:
        """Return the model with other connections and the same weights."""
        twin = sharing(self)
        twin.order_D = order_D
        twin.net.connect(order_D.argsort(), degree_LH)
        return twin

    def member(self, number: int) -> MADE:
        """Return the model with a set of connections, 0 its own, sharing the weights.

        Raises:
            ConfigError: no such set is trained.
        """
        if not 0 <= number < self.sets:
            raise ConfigError(
                f"{self.sets} sets of connections are trained, so there is no set {number} (they "
                "count from 0); agnostic='order' with masks=0 trains any number"
            )
        return self._sharing(*self._connections(number))

    def ensemble_log_prob(self, x: Tensor, y: Tensor | None = None, *, orders: int = 8) -> Tensor:
        r"""Return ``(B,)``, :math:`\log \frac1k \sum_{i<k} p_i(x)` over sets of connections.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels, or None.
            orders: k, not more than the sets that are trained.
        """
        if orders < 1:
            raise ConfigError(f"orders={orders} must be above zero")
        members = [self.member(number).log_prob(x, y) for number in range(orders)]
        return torch.stack(members).logsumexp(0) - math.log(orders)

    def with_known_first(self, known: Tensor) -> MADE | None:
        """Return the model in its order with entries known ``(*shape)`` moved to the front."""
        if self.config.agnostic != "order":
            return None
        order_D, degree_LH = self._connections(0)
        known_D = known.flatten().to(order_D.device)[order_D]
        return self._sharing(torch.cat([order_D[known_D], order_D[~known_D]]), degree_LH)

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        model = self
        if self.training and self.sets > 1:
            model = self.member(int(noise.uniform()[0] * self.sets))
        return super(MADE, model)._loss(batch, noise)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, H)``, the last hidden layer, without a class."""
        self.check_inputs(x, None)
        return self.net.units(self.entries(self.scaled(x).flatten(1)).flatten(1), None)

    def outputs(self, e_BDE: Tensor, y_B: Tensor | None) -> Tensor:
        """Return ``(B, D, P)`` from one pass of the network."""
        out_BN: Tensor = self.net(e_BDE.flatten(1), y_B)
        return out_BN.view(len(out_BN), self.spec.dims, self.likelihood.width)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time; all of them cost one pass."""
        return FlatStream(self, PerceptronSteps(self.net, n, y), y)
