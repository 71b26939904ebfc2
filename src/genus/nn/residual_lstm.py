"""What the recurrent models of the PixelRNN paper put around each of their LSTMs.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

from torch import Tensor, nn

from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor
from genus.nn.diagonal_lstm import DiagonalLSTM
from genus.nn.row_lstm import RowLSTM


class ResidualLSTM(nn.Module):
    """An LSTM of h features between maps of 2h: 1x1 up, and the input added.

    Args:
        lstm: a layer from 2h to h features, with ``step`` for the pixel at a cursor.
        features: 2h, a map's features.
        classes: labels to condition on, or None.
        colours: colour channels of the image.
        dropout: share of the states dropped in training on the way up.
        residual: whether the input is added.

    Example:
        >>> import torch
        >>> from genus.nn import RowLSTM
        >>> layer = ResidualLSTM(RowLSTM(6, 3), 6, classes=None, colours=1)
        >>> layer(torch.zeros(2, 6, 4, 5), None).shape
        torch.Size([2, 6, 4, 5])
    """

    def __init__(
        self,
        lstm: RowLSTM | DiagonalLSTM,
        features: int,
        *,
        classes: int | None,
        colours: int,
        dropout: float = 0.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.lstm, self.residual = lstm, residual
        self.up = CausalConv2d("B", features // 2, features, (1, 1), colours=colours)
        self.bias = nn.Embedding(classes, features) if classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BFHW: Tensor, y_B: Tensor | None) -> Tensor:
        """Return a map like ``x_BFHW``."""
        if self.bias is not None and y_B is not None:
            x_BFHW = x_BFHW + self.bias(y_B)[:, :, None, None]
        out_BFHW: Tensor = self.up(self.dropout(self.lstm(x_BFHW)))
        return x_BFHW + out_BFHW if self.residual else out_BFHW

    def step(self, x_BF: Tensor, y_B: Tensor | None, cursor: Cursor) -> Tensor:
        """Return the pixel at the cursor like ``x_BF``; no dropout, as for drawing."""
        if self.bias is not None and y_B is not None:
            x_BF = x_BF + self.bias(y_B)
        out_BF = self.up.step(self.lstm.step(x_BF, cursor), cursor)
        return out_BF.add_(x_BF) if self.residual else out_BF
