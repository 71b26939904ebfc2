r"""Row LSTM: PixelRNN with a convolutional LSTM that runs down the rows.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, C colours, H height, W width, F features, P parameters of one sub-pixel.
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from genus.config import check_odd, check_positive, check_share
from genus.families.pixel import LayeredPixelNetwork
from genus.nn import CausalConv2d, Cursor, RowLSTM
from genus.registry import register


class Layer(nn.Module):
    """A Row LSTM of h features between maps of 2h, with a residual connection.

    Args:
        features: 2h, a map's features.
        span: columns of the LSTM's kernels.
        classes: labels to condition on, or None.
        colours: colour channels of the image.
        dropout: share of the states dropped in training on the way up.
    """

    def __init__(
        self, features: int, span: int, classes: int | None, colours: int, dropout: float
    ) -> None:
        super().__init__()
        self.lstm = RowLSTM(features, features // 2, span, colours=colours)
        self.up = CausalConv2d("B", features // 2, features, (1, 1), colours=colours)
        self.bias = nn.Embedding(classes, features) if classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BFHW: Tensor, y_B: Tensor | None, cursor: Cursor | None) -> Tensor:
        """Return a map like ``x_BFHW``."""
        if self.bias is not None and y_B is not None:
            x_BFHW = x_BFHW + self.bias(y_B)[:, :, None, None]
        out_BFHW: Tensor = x_BFHW + self.up(self.dropout(self.lstm(x_BFHW, cursor)), cursor)
        return out_BFHW


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
        dropout: float = 0.0
        """Share of the states dropped in training on the way up; 0 in the paper."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "kernel", "span", "hidden")
            check_odd(self, "kernel", "span")
            check_share(self, "dropout")

    config: Config
    tiny: ClassVar = {"features": 12, "layers": 2, "kernel": 3, "hidden": 12}

    def build_layer(self) -> nn.Module:
        """Return one Row LSTM with its residual connection."""
        config = self.config
        return Layer(
            config.features, config.span, self.spec.classes, self.spec.shape[0], config.dropout
        )
