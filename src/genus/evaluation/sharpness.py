"""Are samples smoother or noisier than real data? Two figures of each image, one of each vector."""

# Shapes: N samples, M real examples, C channels, H height, W width, K groups.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 0.05
"""The smallest difference from real data that is worth a word."""


def contrast(x: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of each image, ``(N,)``.

    Blur and lost contrast lower it. Edges make most of it, so a little noise hardly changes it.

    Args:
        x: ``(N, C, H, W)``.

    Example:
        >>> contrast(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
        [0.5]
    """
    x = x.double()
    down, across = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    squares = down.square().sum((1, 2, 3)) + across.square().sum((1, 2, 3))
    return squares / max(1, down[0].numel() + across[0].numel())


def grain(x: Tensor) -> Tensor:
    r"""Return the mean of :math:`|x_{ij} - x_{i+1,j} - x_{i,j+1} + x_{i+1,j+1}|` of each image.

    Flat parts and straight edges add nothing, noise adds everywhere.

    Args:
        x: ``(N, C, H, W)`` with H and W of at least 2.

    Example:
        >>> grain(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]], [[[0.0, 1.0], [1.0, 0.0]]]])).tolist()
        [0.0, 2.0]
    """
    x = x.double()
    across = x[..., 1:] - x[..., :-1]
    return (across[..., 1:, :] - across[..., :-1, :]).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Relative:
    """A mean over samples, divided by what real data of the same kinds have.

    Args:
        value: 1 for a perfect model.
        standard_error: of the value under the hypothesis that samples vary as real data do.
    """

    value: float
    standard_error: float

    @property
    def z(self) -> float:
        """Standard errors above 1."""
        return (self.value - 1) / self.standard_error


def relative(
    samples: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor], groups: int, independent: float
) -> Relative | None:
    r"""Return the mean of samples over that of real data with the same numbers in each group.

    .. math:: \sum_k w_k s_k \Big/ \sum_k w_k r_k, \qquad w_k = n_k / N

    with means :math:`s_k` of the samples and :math:`r_k` of the real examples of group k. So a
    model that lacks a kind, or draws it too often, is not called blurred for that.

    Args:
        samples: figure ``(N,)`` and group ``(N,)`` of each sample.
        real: the same of real examples, ``(M,)``.
        groups: K.
        independent: to how many independent samples the N amount.

    Returns:
        The ratio, or None where real data have no figure to compare with (zero everywhere).
    """
    (s_N, group_N), (r_M, group_M) = samples, real
    n_K, s_K, s_variance = _by_group(s_N, group_N, groups)
    m_K, r_K, r_variance = _by_group(r_M, group_M, groups)
    w_K = torch.where(m_K >= 2, n_K, 0.0)
    if not bool(w_K.sum() > 0):
        return None
    w_K = w_K / w_K.sum()
    expected = float((w_K * r_K).sum())
    if expected <= 0:
        return None
    spread = max(s_variance, r_variance)
    variance = spread / independent + r_variance * float((w_K.square() / m_K.clamp(min=1)).sum())
    error = max(math.sqrt(variance), 1e-12 * expected)
    return Relative(float((w_K * s_K).sum()) / expected, error / expected)


def _by_group(values: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor, float]:
    """Return count and mean of each group, and the variance inside groups."""
    counts_K = torch.bincount(group, minlength=groups).double()
    means_K = torch.bincount(group, values.double(), minlength=groups) / counts_K.clamp(min=1)
    inside = float((values.double() - means_K[group]).square().sum())
    free = len(values) - int((counts_K > 0).sum())
    return counts_K, means_K, inside / max(1, free)
