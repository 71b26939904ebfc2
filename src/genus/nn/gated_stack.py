r"""The two stacks of Gated PixelCNN, over whole images or one position at a time.

References:
    | Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
"""

# Shapes: B batch, H height, W width, F features, G = 2 F both parts of a gate, L layers, R rows of
# a vertical kernel, S pixels that a horizontal kernel sees to the left, X = W and a margin.
from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genus.nn.causal import kernel_matrix
from genus.nn.cursor import Cursor
from genus.nn.gated_layer import GatedLayer
from genus.nn.gates import tanh_gate


class _Layer(NamedTuple):
    """What a layer reads and writes at a pixel, and its weights."""

    input_BF: Tensor
    gate_BG: Tensor
    value_BF: Tensor
    share_BF: Tensor
    output_BF: Tensor
    own_FG: Tensor
    out_FF: Tensor


class _Pixel(NamedTuple):
    """What all layers read and write at a pixel."""

    across_LBG: Tensor
    before_LBX: Tensor
    gates_LBG: Tensor
    first_BF: Tensor
    minus_BF: Tensor
    layers: tuple[_Layer, ...]


class _Rows(NamedTuple):
    """What the vertical stack reads and writes at a row."""

    seen: list[list[Tensor]]
    own_LWBF: Tensor
    gates_WBG: Tensor
    across_LWBG: Tensor


class GatedStack(nn.ModuleList):
    r"""Gated layers, one after another.

    Streamed, the vertical stack runs once a row (`take_row`) and the horizontal one once a pixel
    (`step`), in as few and as large operations as can be:

    - what the pixels to the left add to the gates of every layer is known when a pixel's turn
      comes, and is one product for all layers;
    - rows and pixels are written where they will be read;
    - as :math:`\tanh a = 2 \sigma(2 a) - 1`, one logistic serves both parts of a gate if what
      enters the first part is doubled, which rounds nothing. Then :math:`-\tanh(a) \, \sigma(b)
      = \sigma(b) - 2 \sigma(2 a) \, \sigma(b)` is one operation more, and the sign goes to the
      weights that follow.

    Args:
        layers: the layers, all of the same size.

    Example:
        >>> stack = GatedStack(GatedLayer(4, 3, None, colours=1, dropout=0.0) for _ in range(2))
        >>> h = v = torch.zeros(2, 4, 5, 6)
        >>> stack(h, v).shape
        torch.Size([2, 4, 5, 6])
    """

    def __init__(self, layers: Iterable[GatedLayer]) -> None:
        super().__init__(layers)
        first: Any = self[0]
        self.features: int = first.horizontal.in_channels
        self.side: int = first.horizontal.kernel_size[1] // 2
        self.rows, self.columns = first.vertical.kernel_size

    def __iter__(self) -> Iterator[Any]:
        """Yield the layers."""
        return iter(self._modules.values())

    def forward(
        self,
        h_BFHW: Tensor,
        v_BFHW: Tensor,
        y_B: Tensor | None = None,
        bias_BLGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the horizontal map after the last layer, from both maps before the first.

        Args:
            h_BFHW: the horizontal map.
            v_BFHW: the vertical map.
            y_B: labels, or None.
            bias_BLGHW: what is added to the vertical gates of each layer, or None.
        """
        for number, layer in enumerate(self, start=1):
            bias_BGHW = None if bias_BLGHW is None else bias_BLGHW[:, number - 1]
            v_BGHW, across_BGHW = layer.down(v_BFHW, y_B, bias_BGHW)
            h_BFHW = layer.along(h_BFHW, across_BGHW)
            if number < len(self):  # nobody asks for the last layer's
                v_BFHW = layer.dropout(tanh_gate(v_BGHW))
        return h_BFHW

    def take_row(
        self,
        v_BF1W: Tensor,
        y_B: Tensor | None,
        cursor: Cursor,
        bias_BLGHW: Tensor | None = None,
    ) -> None:
        """Run the vertical stack over the cursor's row, from its map before the first layer.

        Args:
            v_BF1W: that map's row.
            y_B: labels, or None.
            cursor: where the stream is.
            bias_BLGHW: what is added to the vertical gates of each layer, over the whole image.
        """
        key = self, "row", cursor.row % self.rows
        rows = cursor.views(key, lambda: self._rows_at(v_BF1W, cursor))
        gates_NG = rows.gates_WBG.flatten(0, 1)
        rows.own_LWBF[0] = v_BF1W.squeeze(2).permute(2, 0, 1)
        for number, layer in enumerate(self):
            own_bias, across_bias = self._row_biases(layer, y_B)
            make = functools.partial(self._row_weights, number)
            across_GG, *kernels = cursor.constant((layer, "rows"), make)
            rows.gates_WBG.copy_(own_bias)
            if bias_BLGHW is not None:
                bias_WBG = bias_BLGHW[:, number, :, cursor.row].permute(2, 0, 1)
                rows.gates_WBG.addcmul_(bias_WBG, self._sizes(bias_WBG))
            for seen_NF, kernel_FG in zip(rows.seen[number], kernels, strict=True):
                gates_NG.addmm_(seen_NF, kernel_FG)
            rows.across_LWBG[number].copy_(across_bias).flatten(0, 1).addmm_(gates_NG, across_GG)
            if number + 1 < len(self):
                values, shares = rows.gates_WBG.sigmoid_().chunk(2, 2)
                torch.addcmul(shares, values, shares, value=-2, out=rows.own_LWBF[number + 1])

    def _rows_at(self, like: Tensor, cursor: Cursor) -> _Rows:
        """Return what the vertical stack reads and writes at the cursor's row."""
        (R, S), W, L = (self.rows, self.columns), cursor.width, len(self)
        ring_LRXBF, across_LWBG = self._ring(like, cursor), self._across(like, cursor)
        places = [((cursor.row + 1 + r) % R, s) for r in range(R) for s in range(S)]
        seen = [
            [ring_LRXBF[layer, r, s : s + W].flatten(0, 1) for r, s in places] for layer in range(L)
        ]
        own_LWBF = ring_LRXBF[:, cursor.row % R].narrow(1, S // 2, W)
        return _Rows(seen, own_LWBF, torch.empty_like(across_LWBG[0]), across_LWBG)

    def step(self, h_BF: Tensor, cursor: Cursor) -> Tensor:
        """Return the horizontal map at the cursor after the last layer; no dropout, for drawing.

        Args:
            h_BF: that before the first layer.
            cursor: where the stream is; `take_row` has been called at this row.

        Returns:
            ``(B, F)``, to be written to as you like and good until the next pixel.
        """
        pixel = cursor.views((self, "pixel", cursor.column), lambda: self._at(h_BF, cursor))
        left_LXG = cursor.constant((self, "left"), self._left_weights)
        torch.baddbmm(pixel.across_LBG, pixel.before_LBX, left_LXG, out=pixel.gates_LBG)
        pixel.first_BF.copy_(h_BF)
        minus_BF = pixel.minus_BF
        for input_BF, gate_BG, value_BF, share_BF, output_BF, own_FG, out_FF in pixel.layers:
            gate_BG.addmm_(input_BF, own_FG).sigmoid_()
            torch.addcmul(share_BF, value_BF, share_BF, value=-2, out=minus_BF)
            torch.addmm(input_BF, minus_BF, out_FF, out=output_BF)
        return pixel.layers[-1].output_BF

    def _at(self, like_BF: Tensor, cursor: Cursor) -> _Pixel:
        """Return what a step at the cursor reads and writes."""
        room = cursor.views((self, "room"), lambda: self._room(like_BF))
        gates_LBG, last_BF, minus_BF, *parts = room
        line_LBXF, column = self._line(like_BF, cursor), cursor.column
        inputs = line_LBXF[:, :, self.side + column].unbind(0)
        layers = zip(
            inputs,
            *parts,  # of the gates
            (*inputs[1:], last_BF),
            cursor.constant((self, "own"), self._own_weights),
            cursor.constant((self, "out"), self._out_weights),
            strict=True,
        )
        return _Pixel(
            self._across(like_BF, cursor)[:, column],
            line_LBXF[:, :, column : column + self.side].flatten(2),
            gates_LBG,
            inputs[0],
            minus_BF,
            tuple(_Layer(*each) for each in layers),
        )

    def _room(self, like_BF: Tensor) -> tuple[Any, ...]:
        """Return room for all gates, two maps, and the gates and their parts by layer."""
        gates_LBG = like_BF.new_empty(len(self), len(like_BF), self.gates)
        parts = (part.unbind(0) for part in (gates_LBG, *gates_LBG.chunk(2, 2)))
        return gates_LBG, torch.empty_like(like_BF), torch.empty_like(like_BF), *parts

    @property
    def gates(self) -> int:
        """G."""
        return 2 * self.features

    # What a stream remembers. The batch is first for `Cursor.select` alone.

    def _ring(self, like: Tensor, cursor: Cursor) -> Tensor:
        """Return the last rows that each layer's vertical kernel sees, ``(L, R, X, B, F)``."""
        shape = len(self), self.rows, self.columns - 1 + cursor.width, len(like), self.features
        kept = cursor.memory((self, "ring"), lambda: like.new_zeros(shape).movedim(3, 0))
        return kept.movedim(0, 3)

    def _across(self, like: Tensor, cursor: Cursor) -> Tensor:
        """Return what the vertical stack tells each layer in this row, ``(L, W, B, G)``."""
        shape = len(self), cursor.width, len(like), self.gates
        kept = cursor.memory((self, "across"), lambda: like.new_empty(shape).movedim(2, 0))
        return kept.movedim(0, 2)

    def _line(self, like: Tensor, cursor: Cursor) -> Tensor:
        """Return the horizontal inputs of each layer in this row, ``(L, B, S + W, F)``."""
        shape = len(self), len(like), self.side + cursor.width, self.features
        kept = cursor.memory((self, "line"), lambda: like.new_zeros(shape).movedim(1, 0))
        return kept.movedim(0, 1)

    # Weights as matrices, with the factors and signs of the gates in them.

    def _sizes(self, like: Tensor) -> Tensor:
        """Return by what both parts of a gate are multiplied, ``(G,)``."""
        sizes_G = like.new_ones(self.gates)
        sizes_G[: self.features].mul_(2)
        return sizes_G

    def _row_biases(self, layer: Any, y_B: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is added to the gates of either stack, ``(G,)`` or ``(B, G)``."""
        own, across = layer.vertical.bias, layer.across.bias
        sizes_G, condition = self._sizes(layer.vertical.weight), layer.condition(y_B)
        if condition is None:
            return own * sizes_G, across * sizes_G
        return (own + condition[0].flatten(1)) * sizes_G, (
            across + condition[1].flatten(1)
        ) * sizes_G

    def _row_weights(self, number: int) -> tuple[Tensor, ...]:
        """Return a layer's matrix from stack to stack, and one for each pixel of its kernel.

        From the second layer on the rows that come in are the negative ones.
        """
        layer: Any = self[number]
        sizes_G = self._sizes(layer.across.weight)
        across_GG = kernel_matrix(layer.across.weight) / sizes_G[:, None] * sizes_G
        kernel_XG = kernel_matrix(layer.vertical.weight) * (sizes_G if number == 0 else -sizes_G)
        return across_GG, *kernel_XG.view(-1, self.features, self.gates).unbind(0)

    def _horizontal(self) -> Tensor:
        """Return the horizontal kernels, ``(L, S + 1, F, G)``, the last on the own pixel."""
        kernels = [layer.horizontal.causal_weight()[:, :, 0, : self.side + 1] for layer in self]
        return torch.stack(kernels).permute(0, 3, 2, 1) * self._sizes(kernels[0])

    def _left_weights(self) -> Tensor:
        return self._horizontal()[:, :-1].flatten(1, 2).contiguous()

    def _own_weights(self) -> tuple[Tensor, ...]:
        return self._horizontal()[:, -1].contiguous().unbind(0)

    def _out_weights(self) -> tuple[Tensor, ...]:
        """Return minus the matrix ``(F, F)`` after the gates of each layer."""
        kernels = [layer.out.causal_weight()[:, :, 0, 0].T for layer in self]
        return torch.stack(kernels).neg().unbind(0)
