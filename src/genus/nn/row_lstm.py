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
from genus.nn.cursor import Cursor, as_pixel


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
        if cursor is not None:
            return as_pixel(self.step(x_BIHW.flatten(1), cursor))
        gates_B4HW = self.input_to_state(x_BIHW)
        B, _, _, W = gates_B4HW.shape
        h_BWF, c_BWF = (s.expand(B, W, -1).to(gates_B4HW.dtype) for s in self.initial)
        states = []
        for gates_BW4 in gates_B4HW.permute(2, 0, 3, 1).unbind(0):
            h_BWF, c_BWF = self._cell(gates_BW4 + self._from_above(h_BWF), c_BWF)
            states.append(h_BWF)
        return torch.stack(states, 1).permute(0, 3, 1, 2)

    def _from_above(self, h_BWF: Tensor) -> Tensor:
        """Return the state-to-state part of a row's gates ``(B, W, 4F)``, zero beside the row."""
        W, side = h_BWF.shape[1], self.kernel // 2
        padded = F.pad(h_BWF, (0, 0, side, side))
        windows = torch.cat([padded[:, s : s + W] for s in range(self.kernel)], -1)
        gates_BW4: Tensor = self.state_to_state(windows)
        return gates_BW4

    def _cell(self, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new (h, c), each ``(..., F)``, from the gates and c."""
        o, f, i, g = gates.chunk(4, -1)
        c = torch.addcmul(i.sigmoid() * g.tanh(), f.sigmoid(), c)
        return o.sigmoid() * c.tanh(), c

    def step(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the states ``(B, F)`` of the pixel at the cursor.

        The state-to-state part is computed for a whole row at once.
        """
        B = len(x_BI)
        above_B4, c_BF = cursor.once_a_row(self, lambda: self._row_above(B, cursor))
        gates_B4 = self.input_to_state.step(x_BI, cursor, above_B4)
        h_BF, c_BF = self._cell(gates_B4, c_BF)
        cursor.put(self, torch.cat([h_BF, c_BF], 1))
        return h_BF

    def _row_above(self, B: int, cursor: Cursor) -> list[Tensor]:
        """Return the gates' state-to-state part ``(B, 4F, W)`` and the c above ``(B, F, W)``."""
        outside_BX = self.initial.flatten().expand(B, -1)
        states_WBX = cursor.row_above(self, outside_BX)
        if cursor.row == 0:
            states_WBX = outside_BX.expand(cursor.width, -1, -1)
        h_WBF, c_WBF = states_WBX.chunk(2, -1)
        gates_BW4 = self._from_above(h_WBF.transpose(0, 1))
        # A copy: the row that it is a view of is about to be written over.
        return [gates_BW4.transpose(1, 2), c_WBF.clone().permute(1, 2, 0)]
