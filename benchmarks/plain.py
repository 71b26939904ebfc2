"""The same networks written the plain way: what `training.py` compares with.

`plain` returns a copy of a model that computes the same numbers from the same weights, with

- whole kernels, the masked part too, times a mask at every step, in the default memory layout;
- recurrent states pixel by pixel, though their inputs come from one convolution of the image;
- attention through a matrix of weights from every position to every other, masked;
- NADE's input sums entry by entry.

`check` holds a plain network against ours, so that a comparison of speed is one of equals.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.families.base import Model
from genus.models.nade import NADE
from genus.nn.attention import CausalAttention
from genus.nn.causal import CausalConv2d, RowConv2d
from genus.nn.diagonal_lstm import DiagonalLSTM
from genus.nn.masked import MaskedLinear
from genus.nn.row_lstm import RowLSTM
from genus.nn.weight_norm import NormedPixelConv2d, NormedRowConv2d


class WholeKernel(nn.Module):
    """A convolution by a kernel around the pixel, times its mask."""

    mask: Tensor

    def __init__(
        self, kept: Tensor, mask: Tensor, bias: Tensor | None, own: tuple[int, int]
    ) -> None:
        super().__init__()
        (rows, columns), (row, column) = kept.shape[2:], own
        # As much below as above, and as much to the right as to the left.
        self.padding = max(row, rows - 1 - row), max(column, columns - 1 - column)
        down, across = self.padding
        around = (
            across - column, across + 1 + column - columns, down - row, down + 1 + row - rows
        )  # fmt: skip
        self.weight = nn.Parameter(F.pad(kept.detach(), around))
        self.register_buffer("mask", F.pad(mask.expand_as(kept), around))
        self.bias = None if bias is None else nn.Parameter(bias.detach())
        self.gain: nn.Parameter | None = None
        self.stride = 1

    def forward(self, x: Tensor, cursor: None = None) -> Tensor:
        weight = self.weight * self.mask
        if self.gain is not None:
            length = weight.flatten(1).norm(dim=1)
            weight = weight * (self.gain / length)[:, None, None, None]
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def whole_causal(layer: CausalConv2d) -> WholeKernel:
    rows, columns = layer.kernel_size
    mask = torch.ones(()) if layer.mask is None else layer.mask
    return WholeKernel(layer.weight, mask, layer.bias, (rows - 1, columns // 2))


def whole_row(layer: RowConv2d) -> WholeKernel:
    rows, columns = layer.kernel_size
    own = rows - 1 + layer.strict, columns // 2
    return WholeKernel(layer.weight, torch.ones(()), layer.bias, own)


def whole_normed(layer: NormedRowConv2d | NormedPixelConv2d) -> WholeKernel:
    across = isinstance(layer, NormedRowConv2d)
    row = layer.rows - 1 + (layer.strict and across)
    column = layer.columns // 2 if across else layer.columns - 1 + layer.strict
    whole = WholeKernel(layer.direction, torch.ones(()), layer.bias, (row, column))
    whole.gain, whole.stride = nn.Parameter(layer.gain.detach()), layer.stride
    return whole


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    o, f, i, g = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class RowPixelByPixel(nn.Module):
    """A Row LSTM with a loop over the pixels of each row."""

    def __init__(self, layer: RowLSTM) -> None:
        super().__init__()
        self.input, self.state = whole_causal(layer.input_to_state), layer.state_to_state
        self.side, self.initial = layer.kernel // 2, layer.initial

    def forward(self, x: Tensor, cursor: None = None) -> Tensor:
        gates = self.input(x).permute(2, 3, 0, 1)
        H, W, B, _ = gates.shape
        first, c = (s.expand(B, -1) for s in self.initial)
        above, cells = [first] * W, [c] * W
        rows = []
        for r in range(H):
            outside = [torch.zeros_like(first)] * self.side
            seen, here = [*outside, *above, *outside], []
            for column in range(W):
                window = torch.cat(seen[column : column + 2 * self.side + 1], -1)
                h, cells[column] = cell(gates[r, column] + self.state(window), cells[column])
                here.append(h)
            above = here
            rows.append(torch.stack(here, -1))
        return torch.stack(rows, 2)


class DiagonalPixelByPixel(nn.Module):
    """A Diagonal BiLSTM with a loop over the pixels, in one direction after the other."""

    def __init__(self, layer: DiagonalLSTM) -> None:
        super().__init__()
        self.input = whole_causal(layer.input_to_state)
        self.state, self.initial = layer.state_to_state, layer.initial

    def forward(self, x: Tensor, cursor: None = None) -> Tensor:
        left, right = self.input(x).chunk(2, 1)
        states = self.run(right.flip(3), 1).flip(3)
        return self.run(left, 0) + F.pad(states, (0, 0, 1, -1))

    def run(self, gates: Tensor, direction: int) -> Tensor:
        gates = gates.permute(2, 3, 0, 1)
        H, W, B, _ = gates.shape
        outside, c_outside = (s.expand(B, -1) for s in self.initial[direction])
        above, rows = [outside] * W, []
        for r in range(H):
            h, c, here = outside, c_outside, []
            for column in range(W):
                seen = torch.cat([above[column], h], -1) @ self.state[direction]
                h, c = cell(gates[r, column] + seen, c)
                here.append(h)
            above = here
            rows.append(torch.stack(here, -1))
        return torch.stack(rows, 2)


class MaskedAttention(nn.Module):
    """Attention with all weights at hand."""

    def __init__(self, layer: CausalAttention) -> None:
        super().__init__()
        self.heads, self.key, self.strict = layer.heads, layer.key, layer.strict

    def forward(self, q: Tensor, kv: Tensor, cursor: None = None) -> Tensor:
        k, v = kv[..., : self.key].transpose(1, 2), kv[..., self.key :].transpose(1, 2)
        scores = q.transpose(1, 2) @ k.mT * self.key**-0.5
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(-int(self.strict))
        # The first position of the strict form sees nothing, and is zero.
        weights = scores.masked_fill(~seen, -1e9).softmax(-1) * seen.any(-1, keepdim=True)
        return (weights @ v).transpose(1, 2).flatten(2)


class MaskedWeights(nn.Module):
    """A linear map times a mask that is kept."""

    mask: Tensor

    def __init__(self, layer: MaskedLinear) -> None:
        super().__init__()
        self.weight = layer.weight
        self.register_buffer("mask", layer.mask.float().expand_as(layer.weight).contiguous())

    def forward(self, x: Tensor, cursor: None = None) -> Tensor:
        return F.linear(x, (self.weight * self.mask).flatten(0, 1).flatten(1))


def entry_by_entry(model: NADE, e_BDE: Tensor, y_B: Tensor | None) -> Tensor:
    """NADE's outputs from a loop over entries."""
    e_BDE = e_BDE[:, model.order_D]
    a_BH = model.hidden_bias_YH.expand(len(e_BDE), -1)
    found = []
    for position in range(e_BDE.shape[1]):
        found.append(F.linear(model.activate(a_BH, position), model.out_DPH[position]))
        a_BH = a_BH + e_BDE[:, position] @ model.weight_DEH[position]
    return torch.stack(found, 1)[:, model.order_D.argsort()]


PLAIN: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    CausalConv2d: whole_causal,
    RowConv2d: whole_row,
    NormedRowConv2d: whole_normed,
    NormedPixelConv2d: whole_normed,
    RowLSTM: RowPixelByPixel,
    DiagonalLSTM: DiagonalPixelByPixel,
    CausalAttention: MaskedAttention,
    MaskedLinear: MaskedWeights,
}


def plain(model: Model) -> Model:
    """Return a copy of a model, written the plain way."""
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    _swap(twin)
    if isinstance(twin, NADE):
        twin.outputs = lambda e_BDE, y_B: entry_by_entry(twin, e_BDE, y_B)  # type: ignore[method-assign]
    return twin


def _swap(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) in PLAIN:
            module._modules[name] = PLAIN[type(child)](child)
        else:
            _swap(child)


@contextlib.contextmanager
def default_layout() -> Iterator[None]:
    """Let no map change to features last in memory."""
    original = Tensor.contiguous
    Tensor.contiguous = lambda self, **_: original(self)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.contiguous = original  # type: ignore[method-assign]


@torch.no_grad()
def check(model: Model, twin: Model, x: Tensor) -> None:
    """Raise unless both give the same likelihoods."""
    with default_layout():
        theirs = twin.log_prob(x)
    torch.testing.assert_close(theirs, model.log_prob(x), rtol=1e-4, atol=1e-3)
