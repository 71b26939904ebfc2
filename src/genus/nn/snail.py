r"""The block of PixelSNAIL: causal convolutions for what is near, attention for what is far.

References:
    | PixelSNAIL: An Improved Autoregressive Generative Model (Chen et al., 2018)
    | https://arxiv.org/abs/1712.09763
"""

# Shapes: B batch, C colours, H height, W width, F features, T pixels in order, N heads, E size of
# a key, V size of a value, K of both.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.attention import CausalAttention, position
from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor
from genus.nn.gates import glu


class SnailLayer(nn.Module):
    """A gated residual layer: two causal convolutions, of whose last outputs half are gates.

    Args:
        features: of the map.
        size: of both kernels, rows and columns: 3 for the row above as far as the next pixel and
            the pixel to the left, 2 for the pixels above, to the left and between, 1 for the own
            pixel alone.
        colours: colour channels of the image.
        classes: labels to condition on, or None.
        dropout: share of the features dropped in training between the convolutions.
    """

    def __init__(
        self, features: int, size: int, colours: int, classes: int | None, dropout: float
    ) -> None:
        super().__init__()
        kernel = (size, size)
        self.first = CausalConv2d("B", features, features, kernel, colours=colours)
        self.second = CausalConv2d("B", features, 2 * features, kernel, colours=colours, gates=2)
        self.label = nn.Embedding(classes, 2 * features) if classes else None
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.second.weight.mul_(0.1)  # begin near the identity, so that depth is free

    def forward(
        self,
        x_BFHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None,
        hint: Tensor | None = None,
    ) -> Tensor:
        """Return a map like ``x_BFHW``; a ``hint`` is added after the first convolution."""
        h = self.first(F.elu(x_BFHW), cursor)
        h = h if hint is None else h + hint
        gates = self.second(self.dropout(F.elu(h)), cursor)
        if self.label is not None and y_B is not None:
            gates = gates + self.label(y_B)[:, :, None, None]
        return x_BFHW + glu(gates)


class SnailBlock(nn.Module):
    """Residual layers, then attention from every pixel to those before it.

    Queries keep to the colour order: each colour has heads of its own, whose queries and results
    are features of its group. Keys and values are those of complete pixels and need not.

    A stream keeps ``colours * heads * (key + value)`` numbers for each pixel.

    Args:
        features: of the map.
        layers: how many.
        span: size of their kernels.
        inputs: colour channels of the image.
        colours: groups of features that know one colour of the own pixel after the other.
        heads: of attention, for each group.
        key: size of a head's queries and keys.
        value: size of a head's values.
        classes: labels to condition on, or None.
        dropout: share of the features dropped in training in each layer.
    """

    def __init__(
        self,
        features: int,
        *,
        layers: int,
        span: int,
        inputs: int,
        colours: int,
        heads: int,
        key: int,
        value: int,
        classes: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        heads = colours * heads
        self.layers = nn.ModuleList(
            SnailLayer(features, span, colours, classes, dropout) for _ in range(layers)
        )
        self.attention = CausalAttention(heads, key, value, strict=True)
        self.query = CausalConv2d("B", features, heads * key, (1, 1), colours=colours)
        self.query_place = nn.Linear(2, heads * key, bias=False)
        self.key_value = nn.Linear(inputs + 2 + features, heads * (key + value))
        self.out = CausalConv2d("B", heads * value, features, (1, 1), colours=colours)
        self.merge = SnailLayer(features, 1, colours, classes, dropout)

    def forward(
        self,
        x_BFHW: Tensor,
        u_BCHW: Tensor,
        place_T2: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None,
    ) -> Tensor:
        """Return a map like ``x_BFHW``, given the scaled image and the places of its pixels."""
        for layer in self.layers:
            x_BFHW = layer(x_BFHW, y_B, cursor)
        h_BFHW = F.elu(x_BFHW)
        q_BTNE = self._queries(h_BFHW, place_T2, cursor)
        if cursor is None:
            mixed_BTV = self.attention(q_BTNE, self._keys(h_BFHW, u_BCHW, place_T2))
        else:
            cursor.memory(self, lambda: torch.empty_like(h_BFHW)).copy_(h_BFHW)
            mixed_BTV = self.attention.look(q_BTNE, cursor)
        size = (len(x_BFHW), mixed_BTV.shape[2], *x_BFHW.shape[2:])
        mixed_BVHW = mixed_BTV.transpose(1, 2).reshape(size)
        out_BFHW: Tensor = self.merge(x_BFHW, y_B, cursor, self.out(F.elu(mixed_BVHW), cursor))
        return out_BFHW

    def remember(self, u_BC11: Tensor, place_T2: Tensor, cursor: Cursor) -> None:
        """Keep key and value of the pixel at the cursor, now that all its colours are known."""
        h_BF11 = cursor.memory(self, lambda: u_BC11)
        here = position(cursor)
        kv_B1NK = self._keys(h_BF11, u_BC11, place_T2[here : here + 1])
        self.attention.remember(kv_B1NK, cursor)

    def _queries(self, h_BFHW: Tensor, place_T2: Tensor, cursor: Cursor | None) -> Tensor:
        if cursor is None:
            places_TQ = self.query_place(place_T2)
        else:
            places_TQ = cursor.constant(self.query_place, lambda: self.query_place(place_T2))
            places_TQ = places_TQ[position(cursor)]
        q_BTQ: Tensor = _pixels(self.query(h_BFHW, cursor)) + places_TQ
        return q_BTQ.view(*q_BTQ.shape[:2], self.attention.heads, self.attention.key)

    def _keys(self, h_BFHW: Tensor, u_BCHW: Tensor, place_T2: Tensor) -> Tensor:
        place_BT2 = place_T2.expand(len(u_BCHW), -1, -1)
        seen_BTI = torch.cat([_pixels(u_BCHW), place_BT2, _pixels(h_BFHW)], -1)
        kv_BTNK: Tensor = self.key_value(seen_BTI).unflatten(2, (self.attention.heads, -1))
        return kv_BTNK


def _pixels(x_BFHW: Tensor) -> Tensor:
    """Return ``(B, T, F)``, the pixels row by row."""
    return x_BFHW.flatten(2).transpose(1, 2)
