r"""Reading and writing an image through a small grid of Gaussian filters that can be placed.

.. math:: F_{i, a} \propto \exp\Big(-\frac{(a - \mu_i)^2}{2 \sigma^2}\Big), \qquad
    \mu_i = g + (i - M / 2 + 1 / 2)\, \delta, \qquad i = 0 \dots M - 1

References:
    | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), section 3.2
    | https://arxiv.org/abs/1502.04623

The paper does not say where the filters begin. Here they begin as a grid over the whole image, as
wide as the distance to the next, and what is painted is scaled by the area of a filter.
"""

# Shapes: N rows, U units, C H W an image, M points in each direction.
from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Glimpse(nn.Module):
    """A grid of filters whose place, pitch, width and strength follow from a vector.

    Args:
        units: U, size of the vector.
        size: of the image.
        grid: M, or None for the whole image without filters.

    Example:
        >>> glimpse = Glimpse(4, (8, 6), 3)
        >>> patch = glimpse.look(torch.ones(2, 1, 8, 6), torch.zeros(2, 4))
        >>> patch.shape, glimpse.paint(patch.flatten(2), torch.zeros(2, 4)).shape
        (torch.Size([2, 1, 3, 3]), torch.Size([2, 1, 8, 6]))
    """

    def __init__(self, units: int, size: tuple[int, int], grid: int | None) -> None:
        super().__init__()
        self.size, self.grid = size, grid
        self.points = size[0] * size[1] if grid is None else grid * grid
        self.place = None if grid is None else nn.Linear(units, 5)
        if self.place is not None:
            self._cover(self.place)

    def _cover(self, place: nn.Linear) -> None:
        """Begin with filters as wide as their pitch, which see the whole image between them.

        Narrow ones would begin as points with gaps that get no gradient, and each learns slowly.
        """
        with torch.no_grad():
            place.bias.zero_()
            place.bias[2] = 2 * math.log(max(0.5, self.pitch / 2))

    @property
    def pitch(self) -> float:
        """The distance of two filters of a grid that covers the image."""
        assert self.grid is not None
        return (max(self.size) - 1) / max(1, self.grid - 1)

    def look(self, x_NCHW: Tensor, h_NU: Tensor) -> Tensor:
        """Return what is seen ``(N, C, M, M)``, or the whole image."""
        if self.place is None:
            return x_NCHW
        rows_NMH, columns_NMW, strength_N = self.filters(h_NU)
        seen = rows_NMH.unsqueeze(1) @ x_NCHW.to(h_NU.dtype) @ columns_NMW.unsqueeze(1).mT
        out: Tensor = seen * strength_N[:, None, None, None]
        return out

    def paint(self, patch: Tensor, h_NU: Tensor) -> Tensor:
        """Return what a patch ``(N, C, M * M)`` adds to the image ``(N, C, H, W)``."""
        if self.place is None or self.grid is None:
            return patch.reshape(*patch.shape[:2], *self.size)
        rows_NMH, columns_NMW, strength_N = self.filters(h_NU)
        grid = patch.reshape(*patch.shape[:2], self.grid, self.grid).to(rows_NMH.dtype)
        painted = rows_NMH.unsqueeze(1).mT @ grid @ columns_NMW.unsqueeze(1)
        # A filter sums to one, so that it is as weak as it is wide: its pitch makes up for that.
        out: Tensor = painted * self.pitch**2 / strength_N[:, None, None, None]
        return out

    def filters(self, h_NU: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the filters of rows ``(N, M, H)`` and columns ``(N, M, W)``, and a strength."""
        assert self.place is not None
        assert self.grid is not None
        out_N5 = self.place(h_NU)
        exact_N5 = out_N5 if out_N5.element_size() > 2 else out_N5.float()
        down_N, across_N, log_variance_N, log_pitch_N, log_strength_N = exact_N5.clamp(
            -10, 10
        ).unbind(1)
        height, width = self.size
        pitch_N = self.pitch * log_pitch_N.exp()
        index_M = torch.arange(self.grid, device=h_NU.device) - (self.grid - 1) / 2
        offset_NM = pitch_N[:, None] * index_M
        variance_N11 = log_variance_N.exp()[:, None, None]

        def along(length: int, middle_N: Tensor) -> Tensor:
            centre_N = (length - 1) / 2 + (length + 1) / 2 * middle_N
            centre_NM1 = (centre_N[:, None] + offset_NM).unsqueeze(2)
            place_L = torch.arange(length, device=h_NU.device)
            # A softmax normalises the filter, one that is far outside of the image too.
            filters: Tensor = (-0.5 * (place_L - centre_NM1).square() / variance_N11).softmax(2)
            return filters

        rows, columns = along(height, down_N), along(width, across_N)
        return rows.to(h_NU.dtype), columns.to(h_NU.dtype), log_strength_N.exp().to(h_NU.dtype)
