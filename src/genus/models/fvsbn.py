r"""FVSBN: each entry is predicted by a logistic regression on those before it.

.. math:: p(x) = \prod_t \mathrm{softmax}\Big(b_t + \sum_{s < t} W_{ts}\, e(x_s)\Big)_{x_t}

References:
    | Connectionist Learning of Belief Networks (Neal, 1992)
    | https://doi.org/10.1016/0004-3702(92)90065-6
    | Graphical Models for Machine Learning and Digital Communication (Frey, 1998)
"""

# Shapes: B batch, n samples, D entries, E numbers of an entry, N = D * E, P parameters of an entry.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.capabilities import Stream
from genus.families.flat import FlatAutoregressive, FlatStream, Order, check_options
from genus.nn.masked import LayerSteps, MaskedLinear
from genus.registry import register
from genus.spec import Spec


@register("fvsbn")
class FVSBN(FlatAutoregressive):
    r"""A fully visible sigmoid belief network: no hidden units, one linear map for each entry.

    Two levels have one logit, and K levels a softmax of K. An entry enters as K - 1 numbers of
    which the first :math:`x_s` are one, so that any function of a level is linear in them; beyond
    32 levels it enters as one number. The loss is convex in the weights. Dropout hides entries
    from the regressions, which acts as a penalty on large weights.

    Args:
        spec: images or vectors with levels.
        config: see `FVSBN.Config`.

    Raises:
        SpecError: the data are real numbers.

    Example:
        >>> model = FVSBN(Spec(shape=(1, 4, 5), levels=3))
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of FVSBN."""

        likelihood: Literal["auto", "logistic"] = "auto"
        """Law of an entry: auto is free, logistic (discretized) is for many levels."""
        order: Order = "raster"
        """Row by row and colour by colour, a random order that is kept, or any: every entry's
        number, as in ``2,0,1``, where entry ``(c, i, j)`` of an image is ``(c H + i) W + j``."""
        order_seed: int = 0
        """Seed of the random order."""
        dropout: float = 0.0
        """Share of the entries that are hidden in training."""

        def __post_init__(self) -> None:
            check_options(self)

    config: Config
    learning_rate = 3e-3
    presets: ClassVar[dict[str, dict[str, Any]]] = {"mnist": {"order": "random"}}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        D, E, P = spec.dims, self.entry_size, self.likelihood.width
        self.linear = MaskedLinear(D, D, features=E, width=P)
        position_D = self.order_D.argsort()
        self.linear.connect(position_D, position_D - 1)

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are levels."""
        cls.require(spec.is_discrete, "data with levels", spec)

    def outputs(self, e_BDE: Tensor, y_B: Tensor | None) -> Tensor:
        """Return ``(B, D, P)``, linear in the entries that come earlier."""
        if self.training and self.config.dropout:
            e_BDE = e_BDE * F.dropout(torch.ones_like(e_BDE[..., :1]), self.config.dropout)
        out_BN: Tensor = self.linear(e_BDE.flatten(1))
        return out_BN.view(len(out_BN), self.spec.dims, self.likelihood.width)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time; all of them cost one pass."""
        return FlatStream(self, LinearSteps(self.linear, n), y)


class LinearSteps:
    """The linear map one entry at a time; it remembers the entries.

    Args:
        layer: connected, from entries to entries.
        n: number of examples.
    """

    def __init__(self, layer: MaskedLinear, n: int) -> None:
        self.steps = LayerSteps(layer, layer.weight.shape[0])
        self.past_BN = layer.weight.new_zeros(n, layer.weight[0, 0].numel())

    def outputs(self, position: int) -> Tensor:
        """Return ``(n, P)`` of the entry there."""
        return self.steps(self.past_BN, position - 1)

    def take(self, e_BE: Tensor, position: int) -> None:
        """Keep the entry."""
        known = self.steps.known(position)
        self.past_BN[:, known - e_BE.shape[1] : known] = e_BE

    def select(self, index_B: Tensor) -> None:
        """Rearrange the entries."""
        self.past_BN = self.past_BN[index_B]
