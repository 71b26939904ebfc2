r"""Sliced Wasserstein distance: how far samples must be moved, seen along many directions.

.. math:: \frac{D}{L} \sum_{l=1}^{L} \int_0^1
    \big(F^{-1}_{\theta_l \cdot x}(u) - F^{-1}_{\theta_l \cdot y}(u)\big)^2 \, du

The factor D makes a shift by a vector cost its squared length, as in the Frechet distance, so the
two stand in one unit. Unlike that one it compares whole distributions along each direction, not
means and covariances only; it sees less of how features depend on each other. Its bias from few
samples grows with D, not with D squared.

References:
    | Rabin et al. (2011), Wasserstein barycenter and its application to texture mixing
    | Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters of measures
"""

# Shapes: N and M examples, D features, K pieces of [0, 1].
from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genus.evaluation.clouds import check_clouds

DIRECTIONS = 256
"""At least so many directions are looked along, in whole bases."""


def sliced_distance(
    first: Tensor, second: Tensor, *, directions: int = DIRECTIONS, seed: int = 0
) -> float:
    """Return D times the mean squared 2-Wasserstein distance along fixed directions.

    The directions are orthonormal bases, as many as are needed, so that a shift is measured
    exactly and not only in the mean over directions. Sets of different size are compared by their
    quantile functions, without drawing from the larger one.

    Args:
        first: ``(N, D)`` features.
        second: ``(M, D)`` features; M may differ from N.
        directions: rounded up to a multiple of D.
        seed: of the directions; figures compare only where it is the same.

    Raises:
        ConfigError: no examples, no common D, or values that are not finite.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
        >>> round(sliced_distance(x, x + torch.tensor([3.0, 4.0])), 6)
        25.0
    """
    x_ND, y_MD = check_clouds(first, second, least=1)
    x_row_K, y_row_K, width_K = _pieces(len(x_ND), len(y_MD))
    along = []
    for basis_DD in _bases(x_ND.shape[1], directions, seed):
        x_sorted_ND, y_sorted_MD = ((z @ basis_DD).sort(0).values for z in (x_ND, y_MD))
        gap_KD = x_sorted_ND[x_row_K] - y_sorted_MD[y_row_K]
        # Each direction of a basis is one term of the squared distance: their sum is D times
        # their mean.
        along.append((width_K @ gap_KD.square()).sum())
    return float(torch.stack(along).mean())


def _bases(dims: int, directions: int, seed: int) -> Iterator[Tensor]:
    """Yield orthonormal bases ``(D, D)``; on a line there is only one."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(-(-directions // dims) if dims > 1 else 1):
        normal = torch.randn(dims, dims, generator=generator, dtype=torch.float64)
        yield torch.linalg.qr(normal).Q


def _pieces(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pieces of [0, 1] on which both quantile functions are constant.

    Returns:
        For each piece the row of either sorted set, and its width. Ends are counted in units of
        1 / (n m), in integers, so that equal ends are equal.
    """
    ends_K = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n])
    ends_K = torch.unique_consecutive(ends_K.sort().values)
    starts_K = torch.cat([torch.zeros(1, dtype=torch.int64), ends_K[:-1]])
    return starts_K // m, starts_K // n, (ends_K - starts_K).double() / (n * m)
