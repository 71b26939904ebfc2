r"""The activation of PixelCNN++: the exponential linear units of a map and of its negative.

.. math:: e(x) = [\mathrm{elu}(x), \mathrm{elu}(-x)], \qquad
    \mathrm{elu}(x) = \max\big(x, e^{-|x|} - 1\big)

One exponential does for both halves, and the slope follows from the result, so that in training
nothing but the result is kept.

References:
    | PixelCNN++ (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, F features, H height, W width.
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from genus.nn.gates import both_halves


def concat_elu(x_BFHW: Tensor) -> Tensor:
    """Return ``(B, 2 F, H, W)``, the exponential linear units of x and of -x.

    Example:
        >>> concat_elu(torch.full((1, 1, 1, 1), 2.0)).flatten()
        tensor([ 2.0000, -0.8647])
    """
    if torch.is_grad_enabled():
        out_BGHW: Tensor = _ConcatElu.apply(x_BFHW)  # type: ignore[no-untyped-call]
        return out_BGHW
    return F.elu(torch.cat([x_BFHW, -x_BFHW], 1))


class _ConcatElu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BFHW: Tensor) -> Tensor:
        below_BFHW = x_BFHW.abs().neg_().expm1_()
        out_BGHW, (of_x, of_minus) = both_halves(x_BFHW)
        torch.maximum(x_BFHW, below_BFHW, out=of_x)
        torch.maximum(-x_BFHW, below_BFHW, out=of_minus)
        ctx.save_for_backward(out_BGHW)
        return out_BGHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BGHW: Tensor) -> Tensor:
        [out_BGHW] = ctx.saved_tensors
        slope = torch.ops.aten.elu_backward(grad_BGHW, 1, 1, 1, True, out_BGHW)
        of_x, of_minus = slope.chunk(2, 1)
        grad_BFHW: Tensor = of_x - of_minus
        return grad_BFHW
