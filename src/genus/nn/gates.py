r"""Gates: half of the features of a map, times the logistic of the other half.

.. math:: \mathrm{tanh\_gate}([a, b]) = \tanh(a) \odot \sigma(b), \qquad
    \mathrm{glu}([a, b]) = a \odot \sigma(b)

In training a gate written in plain operations takes nearly as long as the convolution before it:
maps have their features last in memory, so that the halves of a pixel have gaps between them, and
functions over memory with gaps are several times slower; and on the way back two gradients are
padded with zeros and added. The functions here avoid both. They form

.. math:: \tanh a = 2 \sigma(2 a) - 1,

for on a processor a logistic takes a fraction of the time of a tanh; the result is as exact next to
its bound of one, and next to zero off by one rounding of one at most.

References:
    | Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016)
    | https://arxiv.org/abs/1606.05328
    | Language Modeling with Gated Convolutional Networks (Dauphin et al., 2017)
    | https://arxiv.org/abs/1612.08083
"""

# Shapes: B batch, H height, W width, F features, G = 2 F both parts of a gate.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

aten = torch.ops.aten
sigmoid_backward, tanh_backward = aten.sigmoid_backward.grad_input, aten.tanh_backward.grad_input


def tanh_gate(x_BGHW: Tensor) -> Tensor:
    """Return tanh of the first half of the features times the logistic of the second.

    Example:
        >>> tanh_gate(torch.tensor([0.5, 0.0]).view(1, 2, 1, 1)).item()
        0.23105...
    """
    if torch.is_grad_enabled():
        out_BFHW: Tensor = _TanhGate.apply(x_BGHW)  # type: ignore[no-untyped-call]
        return out_BFHW
    value, share = x_BGHW.chunk(2, 1)
    return value.mul(2).sigmoid_().mul_(2).sub_(1).mul_(share.sigmoid())


def glu(x_BGHW: Tensor) -> Tensor:
    """Return the first half of the features times the logistic of the second.

    Example:
        >>> glu(torch.tensor([0.5, 0.0]).view(1, 2, 1, 1)).item()
        0.25
    """
    if torch.is_grad_enabled():
        out_BFHW: Tensor = _Glu.apply(x_BGHW)  # type: ignore[no-untyped-call]
        return out_BFHW
    value, share = x_BGHW.chunk(2, 1)
    return value * share.sigmoid()


class _TanhGate(torch.autograd.Function):
    """Runs over copies without gaps, and forms a tanh from a logistic."""

    @staticmethod
    def forward(ctx: Any, x_BGHW: Tensor) -> Tensor:
        value, share = (half.clone() for half in x_BGHW.chunk(2, 1))
        value.mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(value, share.sigmoid_())
        return value * share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BFHW: Tensor) -> Tensor:
        value, share = ctx.saved_tensors
        grad_BGHW, (to_value, to_share) = both_halves(grad_BFHW)
        tanh_backward(grad_BFHW * share, value, grad_input=to_value)
        sigmoid_backward(grad_BFHW * value, share, grad_input=to_share)
        return grad_BGHW


class _Glu(torch.autograd.Function):
    """The logistic runs over a copy without gaps."""

    @staticmethod
    def forward(ctx: Any, x_BGHW: Tensor) -> Tensor:
        value, share = x_BGHW.chunk(2, 1)
        open_BFHW = share.clone().sigmoid_()
        ctx.save_for_backward(value, open_BFHW)
        return value * open_BFHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BFHW: Tensor) -> Tensor:
        value, open_BFHW = ctx.saved_tensors
        grad_BGHW, (to_value, to_share) = both_halves(grad_BFHW)
        torch.mul(grad_BFHW, open_BFHW, out=to_value)
        sigmoid_backward(grad_BFHW * value, open_BFHW, grad_input=to_share)
        return grad_BGHW


def both_halves(like_BFHW: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return room for twice the features, in the layout of a map, and both halves of that room."""
    B, F, H, W = like_BFHW.shape
    last = like_BFHW.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    room_BGHW = torch.empty(
        (B, 2 * F, H, W), dtype=like_BFHW.dtype, device=like_BFHW.device, memory_format=layout
    )
    return room_BGHW, room_BGHW.chunk(2, 1)
