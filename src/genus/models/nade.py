r"""NADE: one hidden layer for every conditional, whose input sums are carried from entry to entry.

.. math:: a_1 = c, \qquad h_t = \sigma(\rho_t a_t), \qquad
    p(x_t \mid x_{<t}) = p(x_t \mid b_t + V_t h_t), \qquad a_{t+1} = a_t + W_t\, e(x_t)

References:
    | The Neural Autoregressive Distribution Estimator (Larochelle and Murray, 2011)
    | Neural Autoregressive Distribution Estimation (Uria et al., 2016)
    | https://arxiv.org/abs/1605.02226
    | RNADE: The Real-valued Neural Autoregressive Density-estimator (Uria et al., 2013)
    | https://arxiv.org/abs/1306.0186
"""

# Shapes: B batch, n samples, D entries, E numbers of an entry, H hidden units, P parameters of an
# entry, Y classes (1 where unconditional).
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.capabilities import Stream
from genus.config import check_positive
from genus.families.flat import FlatAutoregressive, FlatStream, Order, check_options
from genus.nn.tied_sums import tied_layers
from genus.registry import register
from genus.spec import Spec


@register("nade")
class NADE(FlatAutoregressive):
    r"""Hidden layers with tied weights, one for each entry, at O(D H) for all of them together.

    Real numbers have mixtures of Gaussians (RNADE). Their input sums grow with the position, so
    each has a learned factor :math:`\rho_t`, at first :math:`t^{-1/2}`; for levels it is one.
    Dropout hides entries from the conditionals after them.

    Args:
        spec: images or vectors, of levels or of real numbers.
        config: see `NADE.Config`.

    Raises:
        SpecError: the likelihood does not fit the data.

    Example:
        >>> model = NADE(Spec(shape=(1, 4, 5), levels=3), NADE.Config(hidden=16))
        >>> x = model.sample(2)
        >>> model.log_prob(x).shape, model.features(x).shape
        (torch.Size([2]), torch.Size([2, 16]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of NADE; the paper's model for MNIST has 500 units."""

        hidden: int = 500
        """H, hidden units."""
        activation: Literal["auto", "sigmoid", "relu"] = "auto"
        """Of the hidden units; auto is sigmoid for levels and relu for real numbers."""
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
        """Seed of the random order."""
        dropout: float = 0.0
        """Share of the entries that are hidden in training."""

        def __post_init__(self) -> None:
            check_positive(self, "hidden")
            check_options(self)

    config: Config
    learning_rate = 1e-2
    tiny: ClassVar = {"hidden": 6, "components": 2}
    presets: ClassVar[dict[str, dict[str, Any]]] = {"mnist": {"hidden": 500, "order": "random"}}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        D, E, H = spec.dims, self.entry_size, self.config.hidden
        # The weights are in the model's order: row t belongs to the entry at position t.
        self.weight_DEH = nn.Parameter(torch.randn(D, E, H) * (D * E) ** -0.5)
        self.hidden_bias_YH = nn.Parameter(torch.zeros(spec.classes or 1, H))
        self.out_DPH = nn.Parameter(torch.randn(D, self.likelihood.width, H) * 0.1 * H**-0.5)
        grows = not spec.is_discrete
        self.factor_D = nn.Parameter(torch.arange(1, D + 1) ** -0.5) if grows else None

    @property
    def relu(self) -> bool:
        """Whether hidden units are rectified, or sigmoids."""
        usual = "sigmoid" if self.spec.is_discrete else "relu"
        return (usual if self.config.activation == "auto" else self.config.activation) == "relu"

    def activate(self, a_BH: Tensor, position: int) -> Tensor:
        """Return hidden units from their input sums at a position."""
        if self.factor_D is not None:
            a_BH = a_BH * self.factor_D[position]
        return F.relu(a_BH) if self.relu else a_BH.sigmoid()

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, H)``, the units after the last entry; classes count evenly."""
        self.check_inputs(x, None)
        e_BDE = self.entries(self.scaled(x).flatten(1))[:, self.order_D]
        a_BH = self.hidden_bias_YH.mean(0) + e_BDE.flatten(1) @ self.weight_DEH.flatten(0, 1)
        return self.activate(a_BH, self.spec.dims - 1)

    def outputs(self, e_BDE: Tensor, y_B: Tensor | None) -> Tensor:
        """Return ``(B, D, P)``, chunk by chunk."""
        if self.training and self.config.dropout:
            e_BDE = e_BDE * F.dropout(torch.ones_like(e_BDE[..., :1]), self.config.dropout)
        bias_YH = self.hidden_bias_YH
        out_DBP = tied_layers(
            e_BDE[:, self.order_D],
            self.weight_DEH,
            self.out_DPH,
            bias_YH.expand(len(e_BDE), -1) if y_B is None else bias_YH[y_B],
            self.factor_D,
            relu=self.relu,
        )
        return out_DBP.index_select(0, self.order_D.argsort()).transpose(0, 1)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time, at O(H) for each."""
        return FlatStream(self, Sweep(self, n, y), y)


class Sweep:
    """The network one entry at a time; it remembers the input sums of the hidden units.

    Args:
        model: the model.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: NADE, n: int, y: Tensor | None) -> None:
        self.model = model
        bias_YH = model.hidden_bias_YH.detach()
        self.a_BH = bias_YH.repeat(n, 1) if y is None else bias_YH[y]
        self.weights_EH = model.weight_DEH.detach().unbind(0)
        self.outs_PH = model.out_DPH.detach().unbind(0)

    def outputs(self, position: int) -> Tensor:
        """Return ``(n, P)`` of the entry there."""
        h_BH = self.model.activate(self.a_BH, position)
        return F.linear(h_BH, self.outs_PH[position])

    def take(self, e_BE: Tensor, position: int) -> None:
        """Add the entry to the input sums."""
        self.a_BH = torch.addmm(self.a_BH, e_BE, self.weights_EH[position])

    def select(self, index_B: Tensor) -> None:
        """Rearrange the input sums."""
        self.a_BH = self.a_BH[index_B]
