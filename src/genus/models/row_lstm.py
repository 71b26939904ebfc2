r"""Row LSTM: PixelRNN with a convolutional LSTM that runs down the rows.

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
from genus.nn import RowLSTM
from genus.nn.residual_lstm import ResidualLSTM
from genus.registry import register


@register("row-lstm")
class RowLSTMModel(LayeredPixelNetwork):
    """A 7x7 convolution of mask A, residual Row LSTM layers, and a softmax for every sub-pixel.

    A state knows the triangle above it that its kernel spans, one column wider on either side with
    each row, and everything to the left within the kernels of its own row.

    Args:
        spec: images ``(C, H, W)`` with levels.
        config: see `RowLSTMModel.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> from genus import Spec
        >>> config = RowLSTMModel.Config(features=12, layers=1)
        >>> model = RowLSTMModel(Spec(shape=(1, 4, 5), levels=2), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of Row LSTM; the paper's model for CIFAR-10 is 12 layers of 256 features."""

        features: int = 64
        """Features of a map, 2h in the paper; at least twice the colours."""
        layers: int = 3
        """Row LSTM layers."""
        kernel: int = 7
        """Size of the first kernel, odd."""
        span: int = 3
        """Columns of the input-to-state and state-to-state kernels, odd."""
        hidden: int = 64
        """Features of the two last 1x1 layers: 32 for MNIST and 1024 for colour in the paper."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; the paper has none."""
        dropout: float = 0.0
        """Share of the states dropped in training on the way up; 0 in the paper."""
        residual: bool = True
        """Whether each layer adds its input; the paper's model for ImageNet 64x64 does not."""
        skips: bool = False
        """Whether every layer has a 1x1 connection of its own to the output layers."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "kernel", "span", "hidden")
            check_odd(self, "kernel", "span")
            check_share(self, "dropout")

    config: Config
    representative = True
    tiny: ClassVar = {"features": 12, "layers": 2, "kernel": 3, "hidden": 12}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {
            "features": 32,
            "layers": 7,
            "kernel": 7,
            "positions": False,
            "span": 3,
            "hidden": 32,
        },
        "cifar10": {
            "features": 256,
            "layers": 12,
            "kernel": 7,
            "positions": False,
            "span": 3,
            "hidden": 1024,
        },
        "imagenet32": {
            "features": 768,
            "layers": 12,
            "kernel": 7,
            "positions": False,
            "span": 3,
            "hidden": 1024,
        },
        "imagenet64": {
            "features": 1024,
            "layers": 4,
            "kernel": 7,
            "positions": False,
            "span": 3,
            "hidden": 1024,
            "residual": False,
        },
    }
    """Table 1 and section 5. The paper scores its Row LSTM on MNIST without saying how large it
    is; "mnist" has the size that it gives for the Diagonal BiLSTM."""

    def build_layer(self) -> nn.Module:
        """Return one Row LSTM with its residual connection."""
        config, colours = self.config, self.spec.shape[0]
        return ResidualLSTM(
            RowLSTM(config.features, config.features // 2, config.span, colours=colours),
            config.features,
            classes=self.spec.classes,
            colours=colours,
            dropout=config.dropout,
            residual=config.residual,
        )
