r"""Diagonal BiLSTM: PixelRNN whose LSTMs run along the diagonals, from both sides.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from genus.config import check_odd, check_positive, check_share
from genus.families.pixel import LayeredPixelNetwork
from genus.nn.diagonal_lstm import DiagonalLSTM
from genus.nn.residual_lstm import ResidualLSTM
from genus.registry import register


@register("diagonal-bilstm")
class DiagonalBiLSTM(LayeredPixelNetwork):
    r"""A 7x7 convolution of mask A, residual Diagonal BiLSTM layers, and a softmax.

    .. math::
        [o, f, i, g]_{r,c} &= K^{ss}_1 h_{r-1,c} + K^{ss}_2 h_{r,c-1} + K^{is} x_{r,c} \\
        c_{r,c} &= \sigma(f) \odot c_{r,c-1} + \sigma(i) \odot \tanh(g) \\
        h_{r,c} &= \sigma(o) \odot \tanh(c_{r,c})

    and the same in the mirror image, shifted down by one row. One layer sees all that is legal,
    except for one pixel: the last of the row above (in a colour image, its last colour), because
    the mirrored half of that row starts there and no state of it may know its own pixel. Only
    columns that the first kernel reaches it from, the last ``kernel // 2 + 1``, see it.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `DiagonalBiLSTM.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> from genus import Spec
        >>> config = DiagonalBiLSTM.Config(features=12, layers=1)
        >>> model = DiagonalBiLSTM(Spec(shape=(1, 4, 5), levels=2), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of Diagonal BiLSTM; the paper's models are among the presets."""

        features: int = 64
        """Features of a map, 2h in the paper; at least twice the colours."""
        layers: int = 3
        """Diagonal BiLSTM layers."""
        kernel: int = 7
        """Size of the first kernel, odd."""
        hidden: int = 64
        """Features of the two last 1x1 layers: 32 for MNIST and 1024 for colour in the paper."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; the paper has none."""
        dropout: float = 0.0
        """Share of the states dropped in training on the way up; 0 in the paper."""
        residual: bool = True
        """Whether each layer adds its input."""
        skips: bool = False
        """Whether every layer has a 1x1 connection of its own to the output layers."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "kernel", "hidden")
            check_odd(self, "kernel")
            check_share(self, "dropout")

    config: Config
    tiny: ClassVar = {"features": 12, "layers": 2, "kernel": 3, "hidden": 12}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"features": 32, "layers": 7, "kernel": 7, "positions": False, "hidden": 32},
        "mnist-shallow": {
            "features": 64,
            "layers": 1,
            "kernel": 7,
            "positions": False,
            "hidden": 32,
        },
        "cifar10": {"features": 256, "layers": 12, "kernel": 7, "positions": False, "hidden": 1024},
    }
    """Table 1 and section 5; 79.20 and 80.75 nats on binarized MNIST, 3.00 bits/dim on CIFAR-10."""

    def build_layer(self) -> nn.Module:
        """Return one Diagonal BiLSTM with its residual connection."""
        config, colours = self.config, self.spec.shape[0]
        return ResidualLSTM(
            DiagonalLSTM(config.features, config.features // 2, colours=colours),
            config.features,
            classes=self.spec.classes,
            colours=colours,
            dropout=config.dropout,
            residual=config.residual,
        )
