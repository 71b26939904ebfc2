r"""Kernel distance (KID): the squared maximum mean discrepancy with a cubic kernel.

.. math:: \frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
    - \frac{2}{nm} \sum_{ij} k(x_i, y_j), \qquad k(x, y) = \Big(\frac{x \cdot y}{D} + 1\Big)^3

It has no bias at any number of samples, so the figure of a perfect model lies around zero and may
be negative. All pairs are used: nothing is drawn at random. The kernel is a polynomial, so only
the first three moments of the features are compared.

References:
    | Gretton et al. (2012), A kernel two-sample test, JMLR 13
    | Binkowski et al. (2018), Demystifying MMD GANs, arXiv 1801.01401
    | Hoeffding (1948), A class of statistics with asymptotically normal distribution
"""

# Shapes: N and M examples, D features, C rows of a chunk.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.evaluation.clouds import check_clouds

CHUNK = 512
"""Rows of a kernel matrix held at a time."""


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and its standard error."""

    value: float
    standard_error: float


def kernel_distance(first: Tensor, second: Tensor, *, chunk: int = CHUNK) -> KernelDistance:
    r"""Return the unbiased squared MMD of two sets of features.

    The standard error is in closed form. Hoeffding's decomposition splits the estimate into
    uncorrelated parts, one sum over single examples of each set and one over the pairs of each
    kind, so with the variances of their terms

    .. math:: \frac4n \sigma_x^2 + \frac4m \sigma_y^2 + \frac{2 \sigma_{xx}^2}{n(n-1)}
        + \frac{2 \sigma_{yy}^2}{m(m-1)} + \frac{4 \sigma_{xy}^2}{nm},

    where the first two vanish when both sets have one law, and the others remain. The variances
    are estimated from sums and squares over rows of the kernel matrices. As none may be negative,
    the error of a perfect model comes out somewhat too large.

    Args:
        first: ``(N, D)`` features.
        second: ``(M, D)`` features; M may differ from N.
        chunk: rows of a kernel matrix held at a time: memory, not the result.

    Raises:
        ConfigError: fewer than 4 examples, no common D, or values that are not finite.

    Example:
        >>> x = torch.arange(8.0)[:, None]
        >>> kernel_distance(x, x + 9).value > 0, kernel_distance(x, x).value < 0
        (True, True)
    """
    x_ND, y_MD = check_clouds(first, second, least=4)
    n, m = len(x_ND), len(y_MD)
    xx, yy = _within(x_ND, chunk), _within(y_MD, chunk)
    xy = _between(x_ND, y_MD, chunk)
    value = xx.rows.mean() + yy.rows.mean() - 2 * xy.rows.mean()
    pairs_xx, pairs_yy, pairs_xy = _within_pairs(xx), _within_pairs(yy), _between_pairs(xy)
    # What a row's mean owes to the pairs in it, and not to the example, is taken off again.
    single_x = (xx.rows - xy.rows).var() - pairs_xx / (n - 1) - pairs_xy / m
    single_y = (yy.rows - xy.columns).var() - pairs_yy / (m - 1) - pairs_xy / n
    variance = (4 * single_x / n + 4 * single_y / m).clamp(min=0)
    variance += 2 * pairs_xx / (n * (n - 1)) + 2 * pairs_yy / (m * (m - 1))
    variance += 4 * pairs_xy / (n * m)
    return KernelDistance(float(value), float(variance.sqrt()))


@dataclass(frozen=True)
class _Sums:
    """A kernel matrix in short: the means of rows and columns and the mean of the squares."""

    rows: Tensor
    columns: Tensor
    square: Tensor

    @property
    def variance(self) -> Tensor:
        return self.square - self.rows.mean().square()


def _kernel(a_CD: Tensor, b_MD: Tensor) -> Tensor:
    return (a_CD @ b_MD.T / b_MD.shape[1] + 1).pow(3)


def _within(x_ND: Tensor, chunk: int) -> _Sums:
    """Return the sums over the pairs of one set, an example with itself left out."""
    n = len(x_ND)
    rows, square = [], torch.zeros((), dtype=torch.float64)
    for start in range(0, n, chunk):
        part_CD = x_ND[start : start + chunk]
        k_CN = _kernel(part_CD, x_ND)
        k_CN[torch.arange(len(part_CD)), torch.arange(start, start + len(part_CD))] = 0
        rows.append(k_CN.sum(1))
        square += k_CN.square().sum()
    means = torch.cat(rows) / (n - 1)
    return _Sums(means, means, square / (n * (n - 1)))


def _between(x_ND: Tensor, y_MD: Tensor, chunk: int) -> _Sums:
    n, m = len(x_ND), len(y_MD)
    rows, square = [], torch.zeros((), dtype=torch.float64)
    columns = torch.zeros(m, dtype=torch.float64)
    for part_CD in torch.split(x_ND, chunk):
        k_CM = _kernel(part_CD, y_MD)
        rows.append(k_CM.sum(1))
        columns += k_CM.sum(0)
        square += k_CM.square().sum()
    return _Sums(torch.cat(rows) / m, columns / n, square / (n * m))


def _within_pairs(sums: _Sums) -> Tensor:
    """Return the variance of what a pair adds beyond its two examples."""
    others = len(sums.rows) - 1
    # var(rows) = single + pairs / others, and variance = 2 single + pairs.
    single = (sums.rows.var() - sums.variance / others) / (1 - 2 / others)
    return (sums.variance - 2 * single.clamp(min=0)).clamp(min=0)


def _between_pairs(sums: _Sums) -> Tensor:
    n, m = len(sums.rows), len(sums.columns)
    left = sums.variance - sums.rows.var() - sums.columns.var()
    return (left / (1 - 1 / n - 1 / m)).clamp(min=0)
