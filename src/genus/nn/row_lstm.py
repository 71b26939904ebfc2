"""The Row LSTM layer: a convolutional LSTM that runs down the rows of an image.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, I input features, F state features, H height, W width, S kernel columns.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor


class RowLSTM(nn.Module):
    r"""One Row LSTM: the state of a row follows from the row above and the input so far.

    .. math::
        [o_i, f_i, i_i, g_i] &= K^{ss} \circledast h_{i-1} + K^{is} \circledast x_i \\
        c_i &= \sigma(f_i) \odot c_{i-1} + \sigma(i_i) \odot \tanh(g_i) \\
        h_i &= \sigma(o_i) \odot \tanh(c_i)

    The input-to-state part is masked (B) and computed for the whole image at once; only the
    state-to-state part runs row by row. The state before the first row is learned.

    Args:
        inputs: input features.
        features: state features.
        kernel: columns of both kernels, odd.
        colours: colour channels of the image.

    Example:
        >>> RowLSTM(4, 6)(torch.zeros(2, 4, 5, 7)).shape
        torch.Size([2, 6, 5, 7])
    """

    def __init__(self, inputs: int, features: int, kernel: int = 3, *, colours: int = 1) -> None:
        super().__init__()
        self.features, self.kernel = features, kernel
        self.input_to_state = CausalConv2d(
            "B", inputs, 4 * features, (1, kernel), colours=colours, gates=4
        )
        self.state_to_state = nn.Linear(kernel * features, 4 * features, bias=False)
        self.initial = nn.Parameter(torch.zeros(2, features))
        with torch.no_grad():  # remember by default (Jozefowicz et al. 2015): a forget bias of 1
            assert self.input_to_state.bias is not None
            self.input_to_state.bias[features : 2 * features] += 1

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return the states ``(B, F, H, W)``; with a cursor, those of its pixel."""
        gates_B4HW = self.input_to_state(x_BIHW, cursor)
        if cursor is not None:
            return self._step(gates_B4HW, cursor)
        B, _, _, W = gates_B4HW.shape
        h_BWF, c_BWF = (s.expand(B, W, -1).to(gates_B4HW.dtype) for s in self.initial)
        states = []
        for gates_BW4 in gates_B4HW.permute(2, 0, 3, 1).unbind(0):
            h_BWF, c_BWF = self._cell(gates_BW4, self._windows(h_BWF), c_BWF)
            states.append(h_BWF)
        return torch.stack(states, 1).permute(0, 3, 1, 2)

    def _windows(self, h_BWF: Tensor) -> Tensor:
        """Return ``(B, W, S F)``: each column's neighbours in the row above, zero beside it."""
        W, side = h_BWF.shape[1], self.kernel // 2
        padded = F.pad(h_BWF, (0, 0, side, side))
        return torch.cat([padded[:, s : s + W] for s in range(self.kernel)], -1)

    def _cell(self, gates: Tensor, above: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new (h, c), each ``(..., F)``, from input gates, the windows above and c."""
        o, f, i, g = (gates + self.state_to_state(above)).chunk(4, -1)
        c = torch.addcmul(i.sigmoid() * g.tanh(), f.sigmoid(), c)
        return o.sigmoid() * c.tanh(), c

    def _step(self, gates_B411: Tensor, cursor: Cursor) -> Tensor:
        """Advance one pixel: the cache holds (h, c) of the row above and of this one."""
        side, column = self.kernel // 2, cursor.column
        both_BF11 = gates_B411.new_empty(len(gates_B411), 2 * self.features, 1, 1)
        cache_BFRW = cursor.rows(self, 2, side, both_BF11)
        if cursor.row == 0 and column == 0:
            inside = slice(side, side + cursor.width)
            cache_BFRW[:, :, 0, inside] = self.initial.flatten()[None, :, None].to(cache_BFRW)
        h_BFS = cache_BFRW[:, : self.features, 0, column : column + self.kernel]
        c_BF = cache_BFRW[:, self.features :, 0, column + side]
        above_BSF = h_BFS.transpose(1, 2).flatten(1)
        h_BF, c_BF = self._cell(gates_B411[:, :, 0, 0], above_BSF, c_BF)
        cache_BFRW[:, :, 1, column + side] = torch.cat([h_BF, c_BF], 1)
        return h_BF[:, :, None, None]
