"""The gated residual block of PixelCNN++.

References:
    | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
    | Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
"""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from genus.nn.concat_elu import concat_elu
from genus.nn.cursor import Cursor
from genus.nn.gates import glu
from genus.nn.weight_norm import NormedPixelConv2d, NormedRowConv2d


class GatedResnet(nn.Module):
    r"""A gated residual block over causal convolutions.

    .. math::
        h &= K_1 \circledast e(x) + \text{hint} + K_s\, e(\text{skip}) \\
        [a, b] &= K_2 \circledast \mathrm{dropout}(e(h)) + V y \\
        x' &= x + a \odot \sigma(b)

    with :math:`e(x) = \mathrm{elu}([x, -x])`. The path begins small, so that depth is free.

    Args:
        conv: the convolution: over rows, or over pixels.
        kernel: its (rows, columns).
        features: of the maps.
        classes: labels to condition on, or None.
        dropout: share of the features dropped in training after the first convolution.
        skip: whether the block is given a map from further down.

    Example:
        >>> import torch
        >>> block = GatedResnet(NormedRowConv2d, (2, 3), 4)
        >>> block(torch.zeros(2, 4, 5, 3)).shape
        torch.Size([2, 4, 5, 3])
    """

    def __init__(
        self,
        conv: type[NormedRowConv2d | NormedPixelConv2d],
        kernel: tuple[int, int],
        features: int,
        *,
        classes: int | None = None,
        dropout: float = 0.0,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.first: Any = conv(2 * features, features, kernel)
        self.skip: Any = conv(2 * features, features, (1, 1)) if skip else None
        self.second: Any = conv(2 * features, 2 * features, kernel, scale=0.1)
        self.label = nn.Embedding(classes, 2 * features) if classes else None
        self.dropout = nn.Dropout(dropout)
        if self.label is not None:
            nn.init.zeros_(self.label.weight)

    def forward(
        self,
        x_BFHW: Tensor,
        y_B: Tensor | None = None,
        cursor: Cursor | None = None,
        *,
        hint: Tensor | None = None,
        skip: Tensor | None = None,
    ) -> Tensor:
        """Return a map like ``x_BFHW``.

        Args:
            x_BFHW: the map; with a cursor, its row there.
            y_B: labels, or None.
            cursor: where the stream is, or None for the whole map.
            hint: a map to add after the first convolution.
            skip: a map to be convolved and added there, of a block that was built for one.
        """
        h = self.first(concat_elu(x_BFHW), cursor)
        if hint is not None:
            h = h + hint
        if self.skip is not None and skip is not None:
            h = h + self.skip(concat_elu(skip), cursor)
        gates = self.second(self.dropout(concat_elu(h)), cursor)
        if self.label is not None and y_B is not None:
            gates = gates + self.label(y_B)[:, :, None, None]
        return x_BFHW + glu(gates)

    def step(
        self,
        x_BF: Tensor,
        y_B: Tensor | None,
        cursor: Cursor,
        *,
        hint: Tensor,
        skip: Tensor | None = None,
    ) -> Tensor:
        """Return the pixel at the cursor, as `forward` does for a map; no dropout, for drawing."""
        h_BF = self.first.step(concat_elu(x_BF), cursor).add_(hint)
        if self.skip is not None and skip is not None:
            h_BF += self.skip.step(concat_elu(skip), cursor)
        gates_BG = self.second.step(concat_elu(h_BF), cursor)
        if self.label is not None and y_B is not None:
            gates_BG += self.label(y_B)
        return x_BF + glu(gates_BG)
