r"""The LSTM that runs over the diagonals of a map, in both directions at once.

References:
    | Pixel Recurrent Neural Networks (van den Oord et al., 2016), https://arxiv.org/abs/1601.06759
"""

# Shapes: D the two directions, N cells of the map, M cells and the places around them, B batch,
# F state features, G = 4 F gates (o, f, i, g), S = 2 F for the states above and beside. NB and MB
# are one dimension; n is one diagonal of it.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from genus.nn.skewed import Diagonal, Skew

aten = torch.ops.aten
sigmoid_backward, tanh_backward = aten.sigmoid_backward.grad_input, aten.tanh_backward.grad_input


def run_diagonals(
    gates_DNBG: Tensor, weight_DSG: Tensor, initial_D2F: Tensor, geometry: Skew
) -> Tensor:
    """Return the states of both directions, added, row by row: ``(N, B, F)``.

    The half that runs from the right is shifted down by one row, where all that it saw is past.
    Matrices are multiplied in the precision of the gates; all else is float32 at least.

    Args:
        gates_DNBG: what the input says to the gates o, f, i and g, diagonal by diagonal.
        weight_DSG: from the states above and beside to the gates.
        initial_D2F: h and c outside the map.
        geometry: of the map.
    """
    states = torch.promote_types(gates_DNBG.dtype, torch.float32)
    out_NBF: Tensor = _BothDirections.apply(  # type: ignore[no-untyped-call]
        gates_DNBG, weight_DSG.to(gates_DNBG.dtype), initial_D2F.to(states), geometry
    )
    return out_NBF


class _BothDirections(torch.autograd.Function):
    """The recurrence, with a backward pass written by hand.

    Automatic differentiation would record some thirty small operations for each diagonal. Here
    there are half as many, they write into buffers that are made once, and what the backward pass
    does not need is not kept.
    """

    @staticmethod
    def forward(
        ctx: Any, gates_DNBG: Tensor, weight_DSG: Tensor, initial_D2F: Tensor, geometry: Skew
    ) -> Tensor:
        D, N, B, G = gates_DNBG.shape
        steps = [diagonal.times(B) for diagonal in geometry.diagonals]
        places, width = N + len(geometry.outside), geometry.width
        # All starts as it is outside; what is inside is written over.
        h_DMF, c_DMF = (
            initial_DF.unsqueeze(1).repeat(1, places * B, 1) for initial_DF in initial_D2F.unbind(1)
        )
        h_DMF = h_DMF.to(gates_DNBG.dtype)
        gates_DNG = gates_DNBG.flatten(1, 2)
        seen_DNS = gates_DNG.new_empty(D, N * B, G // 2)
        open_DNG = torch.empty_like(gates_DNG, dtype=c_DMF.dtype)
        for step in steps:
            open_DnG = open_DNG[:, step.cells]
            seen_DnS = torch.cat([h_DMF[:, step.above], h_DMF[:, step.beside]], -1)
            seen_DNS[:, step.cells] = seen_DnS
            torch.add(gates_DNG[:, step.cells], torch.bmm(seen_DnS, weight_DSG), out=open_DnG)
            _forward_cell(step, open_DnG, h_DMF, c_DMF)
        ctx.save_for_backward(seen_DNS, c_DMF, open_DNG, weight_DSG)
        ctx.geometry, ctx.steps = geometry, steps
        h_DMBF = h_DMF.view(D, places, B, G // 4)
        out_NBF = h_DMBF[0].index_select(0, geometry.place_DN[0])
        out_NBF[width:] += h_DMBF[1].index_select(0, geometry.place_DN[1, :-width])
        return out_NBF

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NBF: Tensor) -> tuple[Tensor | None, ...]:
        seen_DNS, c_DMF, open_DNG, weight_DSG = ctx.saved_tensors
        geometry, width, (N, B, F) = ctx.geometry, ctx.geometry.width, grad_NBF.shape
        shape = (len(c_DMF), N + len(geometry.outside), B, F)
        dh_DMF, dc_DMF = torch.zeros_like(c_DMF), torch.zeros_like(c_DMF)
        dh_DMBF, grad_NBF = dh_DMF.view(shape), grad_NBF.to(dh_DMF.dtype)
        dh_DMBF[0].index_copy_(0, geometry.place_DN[0], grad_NBF)
        dh_DMBF[1].index_copy_(0, geometry.place_DN[1, :-width], grad_NBF[width:])
        dgates_DNG = torch.empty_like(open_DNG, dtype=weight_DSG.dtype)
        back_DGS = weight_DSG.mT.contiguous()
        for step in reversed(ctx.steps):
            now = step.cells
            _backward_cell(step, open_DNG[:, now], dgates_DNG[:, now], c_DMF, dh_DMF, dc_DMF)
            dseen_DnS = torch.bmm(dgates_DNG[:, now], back_DGS)
            dh_DMF[:, step.above] += dseen_DnS[..., :F]
            dh_DMF[:, step.beside] += dseen_DnS[..., F:]
        ends = [d.view(shape)[:, geometry.outside].sum((1, 2)) for d in (dh_DMF, dc_DMF)]
        dweight_DSG = torch.bmm(seen_DNS.mT, dgates_DNG)
        dgates_DNBG = dgates_DNG.view(len(c_DMF), N, B, 4 * F)
        return dgates_DNBG, dweight_DSG, torch.stack(ends, 1), None


def _forward_cell(step: Diagonal, gates_DnG: Tensor, h_DMF: Tensor, c_DMF: Tensor) -> None:
    """Open the gates of a diagonal, in place, and write its states.

    The last gate goes through tanh(a) = 2 sigmoid(2 a) - 1: one function over memory without
    gaps is several times faster than two over memory with gaps.
    """
    o, f, i, g = gates_DnG.chunk(4, -1)
    g.mul_(2)
    gates_DnG.sigmoid_()
    g.mul_(2).sub_(1)
    c_DnF = torch.mul(f, c_DMF[:, step.beside], out=c_DMF[:, step.own]).addcmul_(i, g)
    torch.mul(o, c_DnF.tanh(), out=h_DMF[:, step.own])


def _backward_cell(
    step: Diagonal,
    open_DnG: Tensor,
    dgates_DnG: Tensor,
    c_DMF: Tensor,
    dh_DMF: Tensor,
    dc_DMF: Tensor,
) -> None:
    """Write the gradient of a diagonal's gates, and pass on that of its cells."""
    F3 = 3 * c_DMF.shape[-1]
    o, f, i, g = open_DnG.chunk(4, -1)
    tanh_DnF = c_DMF[:, step.own].tanh()
    dh, dc = dh_DMF[:, step.own], dc_DMF[:, step.own]
    dc += aten.tanh_backward(dh * o, tanh_DnF)
    dsigmoids_DnF = open_DnG.new_empty(*open_DnG.shape[:2], F3)
    do, df, di = dsigmoids_DnF.chunk(3, -1)
    torch.mul(dh, tanh_DnF, out=do)
    torch.mul(dc, c_DMF[:, step.beside], out=df)
    torch.mul(dc, g, out=di)
    sigmoid_backward(dsigmoids_DnF, open_DnG[..., :F3], grad_input=dgates_DnG[..., :F3])
    tanh_backward(dc * i, g, grad_input=dgates_DnG[..., F3:])
    torch.mul(dc, f, out=dc_DMF[:, step.beside])
