r"""The hidden layers of NADE, one for each position, from input sums that share their weights.

.. math:: a_t = a_0 + \sum_{s < t} W_s e_s, \qquad o_t = V_t\, g(\rho_t a_t)

A loop over positions would take D small steps, and keeping every hidden unit for the way back B D H
numbers, which is memory that the processor waits for. So positions are taken in chunks that fit
its cache: the sums of a chunk follow from those at its start by one product with a triangle of the
chunk's entries, and on the way back they are computed again.

References:
    | Neural Autoregressive Distribution Estimation (Uria et al., 2016)
    | https://arxiv.org/abs/1605.02226
"""

# Shapes: B batch, D positions, E numbers of an entry, H hidden units, P outputs of a position,
# T positions of a chunk, C chunks, N = T * E.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 16
"""Numbers of the input in a chunk, where a position has no more of its own."""


def chunk_size(e_BDE: Tensor) -> int:
    """Return T."""
    return max(1, CHUNK // e_BDE.shape[2])


def tied_layers(
    e_BDE: Tensor,
    weight_DEH: Tensor,
    out_DPH: Tensor,
    a_BH: Tensor,
    scale_D: Tensor | None = None,
    *,
    relu: bool = False,
) -> Tensor:
    """Return the outputs ``(D, B, P)`` of all positions; can be differentiated once.

    Args:
        e_BDE: the entries in order.
        weight_DEH: W, from each entry to the hidden units.
        out_DPH: V, from the hidden units to the outputs of each position.
        a_BH: the first input sums.
        scale_D: factors of the input sums, or None.
        relu: the hidden units are rectified; sigmoid otherwise.

    Example:
        >>> out = tied_layers(torch.ones(1, 3, 1), torch.ones(3, 1, 2), torch.ones(3, 1, 2),
        ...                   torch.zeros(1, 2), relu=True)
        >>> out.flatten()
        tensor([0., 2., 4.])
    """
    scale_D11 = None if scale_D is None else scale_D[:, None, None]
    # The blocks below write into buffers, which autocast would leave in another type.
    with torch.autocast(e_BDE.device.type, enabled=False):
        out_DBP: Tensor = _TiedLayers.apply(  # type: ignore[no-untyped-call]
            e_BDE, weight_DEH, out_DPH, a_BH, scale_D11, relu
        )
    return out_DBP


class _Chunk:
    """Some positions at once, with room for their hidden units.

    Args:
        e_BDE: all entries.
        weight_DEH: all weights.
        start: of the chunk.
    """

    def __init__(self, e_BDE: Tensor, weight_DEH: Tensor, start: int) -> None:
        size = chunk_size(e_BDE)
        self.here = slice(start, start + size)
        e_BTE = e_BDE[:, self.here]
        _, T, E = e_BTE.shape
        self.length, self.size = T, E
        self.e_BN, self.weight_NH = e_BTE.flatten(1), weight_DEH[self.here].flatten(0, 1)
        earlier_TT = torch.ones(T, T, dtype=e_BDE.dtype, device=e_BDE.device).tril(-1)
        self.earlier_T1T1 = earlier_TT[:, None, :, None]
        self.seen_RN = (e_BTE * self.earlier_T1T1).flatten(2).flatten(0, 1)

    def sums(self, a_BH: Tensor, room_RH: Tensor) -> Tensor:
        """Return the input sums ``(T, B, H)`` in place of what was in the room."""
        into_RH = room_RH[: len(self.seen_RN)]
        torch.mm(self.seen_RN, self.weight_NH, out=into_RH)
        return into_RH.view(self.length, *a_BH.shape).add_(a_BH)

    def sums_after(self, a_BH: Tensor) -> Tensor:
        """Return the input sums ``(B, H)`` after the chunk."""
        return torch.addmm(a_BH, self.e_BN, self.weight_NH)

    def to_weight(self, grad_TBH: Tensor, later_BH: Tensor) -> Tensor:
        """Return the gradient of the weights, from those of the sums in the chunk and after it."""
        within_NH = self.seen_RN.T @ grad_TBH.flatten(0, 1)
        return within_NH.addmm_(self.e_BN.T, later_BH)

    def to_entries(self, grad_TBH: Tensor, later_BH: Tensor) -> Tensor:
        """Return the gradient of the entries ``(B, T, E)``, from the same."""
        T, B, _ = grad_TBH.shape
        seen_TBTE = (grad_TBH @ self.weight_NH.T).view(T, B, T, self.size) * self.earlier_T1T1
        return seen_TBTE.sum(0) + (later_BH @ self.weight_NH.T).view(B, T, self.size)


def _activated(a_TBH: Tensor, scale_D11: Tensor | None, relu: bool) -> Tensor:
    """Return hidden units; without scales in place of the input sums."""
    h_TBH = a_TBH if scale_D11 is None else a_TBH * scale_D11
    return h_TBH.relu_() if relu else h_TBH.sigmoid_()


def _before_activation(grad_TBH: Tensor, h_TBH: Tensor, relu: bool) -> Tensor:
    """Return the gradient of what was activated, in place of that of the hidden units."""
    if relu:
        return grad_TBH.mul_(h_TBH > 0)
    torch.ops.aten.sigmoid_backward.grad_input(grad_TBH, h_TBH, grad_input=grad_TBH)
    return grad_TBH


class _TiedLayers(torch.autograd.Function):
    """`tied_layers` with a way back that keeps the input sums at the start of each chunk only."""

    @staticmethod
    def forward(
        ctx: Any,
        e_BDE: Tensor,
        weight_DEH: Tensor,
        out_DPH: Tensor,
        a_BH: Tensor,
        scale_D11: Tensor | None,
        relu: bool,
    ) -> Tensor:
        """Return the outputs ``(D, B, P)``."""
        B, D, _ = e_BDE.shape
        outputs_DBP = e_BDE.new_empty(D, B, out_DPH.shape[1])
        room_RH, starts = a_BH.new_empty(chunk_size(e_BDE) * B, a_BH.shape[1]), []
        for start in range(0, D, chunk_size(e_BDE)):
            chunk = _Chunk(e_BDE, weight_DEH, start)
            scale = None if scale_D11 is None else scale_D11[chunk.here]
            h_TBH = _activated(chunk.sums(a_BH, room_RH), scale, relu)
            torch.bmm(h_TBH, out_DPH[chunk.here].mT, out=outputs_DBP[chunk.here])
            starts.append(a_BH)
            a_BH = chunk.sums_after(a_BH)
        ctx.save_for_backward(e_BDE, weight_DEH, out_DPH, scale_D11, *starts)
        ctx.relu = relu
        return outputs_DBP

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_DBP: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of entries, weights, output weights, first sums and scales."""
        e_BDE, weight_DEH, out_DPH, scale_D11, *starts = ctx.saved_tensors
        needed = ctx.needs_input_grad
        to_e = torch.empty_like(e_BDE) if needed[0] else None
        to_weight, to_out = torch.empty_like(weight_DEH), torch.empty_like(out_DPH)
        to_scale = None if scale_D11 is None else torch.empty_like(scale_D11)
        later_BH, size = torch.zeros_like(starts[0]), chunk_size(e_BDE)
        rooms = later_BH.new_empty(2, size * len(later_BH), later_BH.shape[1])
        for number in reversed(range(len(starts))):
            chunk = _Chunk(e_BDE, weight_DEH, number * size)
            here, grad_TBP = chunk.here, grad_DBP[chunk.here]
            sums_TBH = chunk.sums(starts[number], rooms[0])
            scale = None if scale_D11 is None else scale_D11[here]
            h_TBH = _activated(sums_TBH, scale, ctx.relu)
            torch.bmm(grad_TBP.mT, h_TBH, out=to_out[here])
            grad_TBH = rooms[1, : len(chunk.seen_RN)].view_as(h_TBH)
            torch.bmm(grad_TBP, out_DPH[here], out=grad_TBH)
            grad_TBH = _before_activation(grad_TBH, h_TBH, ctx.relu)
            if scale is not None and to_scale is not None:
                to_scale[here] = (grad_TBH * sums_TBH).sum((1, 2), keepdim=True)
                grad_TBH *= scale
            to_weight[here] = chunk.to_weight(grad_TBH, later_BH).view_as(to_weight[here])
            if to_e is not None:
                to_e[:, here] = chunk.to_entries(grad_TBH, later_BH)
            later_BH = later_BH + grad_TBH.sum(0)
        return to_e, to_weight, to_out, later_BH, to_scale, None
