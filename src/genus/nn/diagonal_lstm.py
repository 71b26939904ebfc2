"""The Diagonal BiLSTM layer: an LSTM over the diagonals of an image, from the left and the right.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: D the two directions, B batch, I input features, F state features, G = 4 F gates,
# H height, W width, N = H W pixels, S = 2 F for h and c together.
from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from genus.nn.causal import CausalConv2d
from genus.nn.cursor import Cursor, as_pixel
from genus.nn.diagonal_recurrence import run_diagonals
from genus.nn.skewed import skew, skewed


class DiagonalLSTM(nn.Module):
    r"""One Diagonal BiLSTM: a state follows from those above and to the left, and the input.

    .. math::
        [o, f, i, g]_{r,c} &= K^{ss}_1 h_{r-1,c} + K^{ss}_2 h_{r,c-1} + K^{is} x_{r,c} \\
        c_{r,c} &= \sigma(f) \odot c_{r,c-1} + \sigma(i) \odot \tanh(g) \\
        h_{r,c} &= \sigma(o) \odot \tanh(c_{r,c})

    which is the kernel of 2 down the columns of the skewed map. A second half does the same in
    the mirror image and is shifted down by one row, so that it sees no pixel that is yet to come;
    the output is the sum of both. The input-to-state part is 1x1, masked (B) and computed for the
    whole image at once. The states left of the image and above it are learned.

    Args:
        inputs: input features.
        features: state features.
        colours: colour channels of the image.

    Example:
        >>> DiagonalLSTM(4, 6)(torch.zeros(2, 4, 5, 7)).shape
        torch.Size([2, 6, 5, 7])
    """

    def __init__(self, inputs: int, features: int, *, colours: int = 1) -> None:
        super().__init__()
        self.features = features
        # One layer for both directions; each of its 8 gates has its own colour groups.
        self.input_to_state = CausalConv2d(
            "B", inputs, 8 * features, (1, 1), colours=colours, gates=8
        )
        bound = (2 * features) ** -0.5
        # From the states above and beside, one below the other.
        weight_DSG = torch.empty(2, 2 * features, 4 * features).uniform_(-bound, bound)
        self.state_to_state = nn.Parameter(weight_DSG)
        self.initial = nn.Parameter(torch.zeros(2, 2, features))
        with torch.no_grad():  # remember by default (Jozefowicz et al. 2015): a forget bias of 1
            self._bias().view(2, 4, features)[:, 1] += 1

    def forward(self, x_BIHW: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return the states ``(B, F, H, W)``; with a cursor, those of its pixel."""
        if cursor is not None:
            return as_pixel(self.step(x_BIHW.flatten(1), cursor))
        B, _, H, W = x_BIHW.shape
        geometry = skew(H, W, x_BIHW.device)
        x_NBI = x_BIHW.permute(2, 3, 0, 1).flatten(0, 1)
        x_DTI = skewed(x_NBI, geometry).flatten(1, 2)
        gates_DTG = torch.baddbmm(self._bias()[:, None], x_DTI, self._weight().mT)
        h_NBF = run_diagonals(
            gates_DTG.view(2, H * W, B, 4 * self.features),
            self.state_to_state,
            self.initial,
            geometry,
        )
        return h_NBF.view(H, W, B, self.features).permute(2, 3, 0, 1)

    def _weight(self) -> Tensor:
        """Return the input-to-state weights of both directions, ``(D, G, I)``."""
        return self.input_to_state.causal_weight().view(2, 4 * self.features, -1)

    def _bias(self) -> Tensor:
        """Return the gates' biases in both directions, ``(D, G)``."""
        assert self.input_to_state.bias is not None
        return self.input_to_state.bias.view(2, -1)

    def step(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the states ``(B, F)`` of the pixel at the cursor.

        The half from the left goes on by a pixel; that from the right runs when a row is complete.
        """
        run_row = partial(self._row_from_the_right, x_BI, cursor)
        [right_BF] = cursor.once_a_row((self, "right"), lambda: [run_row()])
        return right_BF + self._pixel_from_the_left(x_BI, cursor)

    def _inputs(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the inputs ``(B, W, I)`` of the row that is under way, or was just completed."""
        shape = (len(x_BI), cursor.width, x_BI.shape[1])
        return cursor.memory((self, "inputs"), lambda: x_BI.new_zeros(shape))

    def _pixel_from_the_left(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return the states ``(B, F)`` of the half from the left at the cursor."""
        place = self, cursor.row % 2, cursor.column
        read_and_written = cursor.views(place, lambda: self._from_the_left(x_BI, cursor))
        above_BF, beside_h, beside_c, input_BI, own_h, own_c = read_and_written
        input_BI.copy_(x_BI)
        weights = cursor.constant((self, 0), partial(self._as_lstm, 0))
        joint_BK = torch.cat([x_BI, above_BF], 1)
        h_BF, c_BF = torch.lstm_cell(joint_BK, (beside_h, beside_c), *weights)
        own_h.copy_(h_BF)
        own_c.copy_(c_BF)
        return h_BF

    def _from_the_left(self, x_BI: Tensor, cursor: Cursor) -> tuple[Tensor, ...]:
        """Return what the half from the left reads and writes at the cursor: h or c, ``(B, F)``."""
        row, column = cursor.row % 2, cursor.column
        # Two rows take turns, with a column to the left of the image; all starts as it is outside.
        outside_S = self.initial[0].flatten()
        states_BRWS = cursor.memory(
            (self, "left"), lambda: outside_S.repeat(len(x_BI), 2, cursor.width + 1, 1)
        )
        above_BF = states_BRWS[:, 1 - row, column + 1, : self.features]
        beside, own = (states_BRWS[:, row, c].chunk(2, -1) for c in (column, column + 1))
        return above_BF, *beside, self._inputs(x_BI, cursor)[:, column], *own

    def _row_from_the_right(self, x_BI: Tensor, cursor: Cursor) -> Tensor:
        """Return what the half from the right says to the cursor's row, ``(B, F, W)``.

        That is its states of the row above, which is complete: an ordinary LSTM along that row in
        the mirror, whose inputs are its pixels together with the states one row further up.
        """
        B, W = len(x_BI), cursor.width
        if cursor.row == 0:
            return x_BI.new_zeros(B, self.features, W)
        h_F, c_F = self.initial[1]
        above_BWF = cursor.memory((self, "right"), lambda: h_F.repeat(B, W, 1))
        joint_BWK = torch.cat([self._inputs(x_BI, cursor).flip(1), above_BWF], 2)
        start = [s.expand(1, B, -1).contiguous() for s in (h_F, c_F)]
        weights = list(cursor.constant((self, 1), partial(self._as_lstm, 1)))
        h_BWF = torch.lstm(joint_BWK, start, weights, True, 1, 0.0, False, False, True)[0]
        above_BWF.copy_(h_BWF)
        return h_BWF.flip(1).transpose(1, 2)

    def _as_lstm(self, direction: int) -> tuple[Tensor, ...]:
        """Return a half's weights as `torch.lstm` has them.

        They are the weights of input and state above, of the state beside, and two biases.
        """
        above_FG, beside_FG = self.state_to_state[direction].chunk(2)
        bias_G = self._bias()[direction]
        joint_GK = torch.cat([self._weight()[direction], above_FG.mT], 1)
        parts = joint_GK, beside_FG.mT, bias_G, torch.zeros_like(bias_G)
        # The gates are o, f, i, g in the paper; torch has another order.
        return tuple(torch.cat([i, f, g, o]) for o, f, i, g in (part.chunk(4) for part in parts))
