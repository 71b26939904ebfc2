r"""A layer of Gated PixelCNN: a vertical stack for the rows above, a horizontal one for its row.

.. math:: y = \tanh(W_f * x + V_f h) \odot \sigma(W_g * x + V_g h)

References:
    | Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
"""

# Shapes: B batch, H height, W width, F features, G = 2 F both parts of a gate.
from __future__ import annotations

import torch
from torch import Tensor, nn

from genus.nn.causal import CausalConv2d, RowConv2d
from genus.nn.gates import tanh_gate

GAIN = 3.0
"""A weight's first standard deviation in the vertical stack, for one input: gates after gates
shrink what they pass on, and settle at a variance of 0.11 with this one."""


def features_last(x_BFHW: Tensor) -> Tensor:
    """Return the same map with its features last in memory, which convolutions prefer."""
    return x_BFHW.contiguous(memory_format=torch.channels_last)


class GatedLayer(nn.Module):
    """One layer of both stacks, Figure 2 of the paper.

    Args:
        features: F, a map's features.
        span: size of the kernels, odd.
        classes: labels to condition on, or None.
        colours: colour channels of the image.
        dropout: share of each gate's output dropped in training.

    Example:
        >>> layer = GatedLayer(4, 3, None, colours=1, dropout=0.0)
        >>> gates, across = layer.down(torch.zeros(2, 4, 5, 6), None)
        >>> gates.shape, layer.along(torch.zeros(2, 4, 5, 6), across).shape
        (torch.Size([2, 8, 5, 6]), torch.Size([2, 4, 5, 6]))
    """

    def __init__(
        self, features: int, span: int, classes: int | None, colours: int, dropout: float
    ) -> None:
        super().__init__()
        gates = 2 * features
        self.vertical = RowConv2d(features, gates, (span // 2 + 1, span))
        self.across = RowConv2d(gates, gates, (1, 1))
        self.horizontal = CausalConv2d(
            "B", features, gates, (1, span), colours=colours, gates=2, bias=False
        )
        # No bias: that of the first map does for the sum of all layers.
        self.out = CausalConv2d("B", features, features, (1, 1), colours=colours, bias=False)
        self.bias = nn.Embedding(classes, 2 * gates) if classes else None
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.vertical.weight, std=GAIN / self.vertical.weight[0].numel() ** 0.5)

    def condition(self, y_B: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Return what is added to the gates of either stack, maps or here one for all pixels."""
        if self.bias is None or y_B is None:
            return None
        vertical_BG11, horizontal_BG11 = self.bias(y_B)[:, :, None, None].chunk(2, 1)
        return vertical_BG11, horizontal_BG11

    def down(
        self, v_BFHW: Tensor, y_B: Tensor | None, bias_BGHW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the vertical gates' inputs and what they add to the horizontal ones, ``G``."""
        condition, v_BGHW = self.condition(y_B), self.vertical(v_BFHW)
        if bias_BGHW is not None:
            v_BGHW = v_BGHW + bias_BGHW
        if condition is None:
            return v_BGHW, self.across(v_BGHW)
        v_BGHW = v_BGHW + condition[0]
        return v_BGHW, self.across(v_BGHW) + condition[1]

    def along(self, h_BFHW: Tensor, across_BGHW: Tensor) -> Tensor:
        """Return the next horizontal map."""
        g_BFHW = self.dropout(tanh_gate(self.horizontal(h_BFHW) + across_BGHW))
        out_BFHW: Tensor = h_BFHW + self.out(g_BFHW)
        return out_BFHW
