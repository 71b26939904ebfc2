"""Precision, recall, density and coverage, from k-nearest-neighbour balls.

References:
    | Kynkaanniemi et al. (2019), Improved precision and recall metric, arXiv 1904.06991
    | Naeem et al. (2020), Reliable fidelity and diversity metrics, arXiv 2002.09797
"""

# Shapes: N real examples, M samples, D features.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.errors import ConfigError

CHUNK = 512
"""Rows of a distance matrix held at a time."""
WIDE = 512
"""Of more features than this, differences one by one take minutes where a product takes seconds."""
_ROUNDING = 1e-12
"""Of two squared lengths, what a product of float64 may leave between equal points."""
_SLACK = 1e-9
"""Of a radius found by a product, so that its own neighbour stays on the surface of the ball."""


@dataclass(frozen=True)
class PRDC:
    """Four shares between samples and real examples.

    Args:
        precision: share of samples inside the ball of some real example: are they realistic?
        recall: share of real examples inside the ball of some sample: is all of the data covered?
        density: mean number of real balls that a sample lies in, over k; 1 for a perfect model,
            and it may exceed 1.
        coverage: share of real examples whose ball holds a sample; for a perfect model
            1 - 2**-k at equal sizes.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, samples: Tensor, k: int = 5) -> PRDC:
    """Return precision, recall, density and coverage of samples against real examples.

    The ball of an example reaches to its k-th nearest neighbour in its own set, itself not
    counted, and includes its surface, so that identical points count as inside.

    Args:
        real: ``(N, D)`` features of held-out data.
        samples: ``(M, D)`` features of samples.
        k: neighbours.

    Raises:
        ConfigError: a set has no more than ``k`` examples.

    Example:
        >>> x = torch.arange(20.0)[:, None]
        >>> prdc(x, x + 100).precision
        0.0
    """
    smallest = min(len(real), len(samples))
    if k < 1 or smallest <= k:
        raise ConfigError(
            f"k={k} neighbours need more than {k} examples in each set, got {smallest}"
        )
    real, samples = real.double(), samples.double()
    if real.shape[1] > WIDE:  # a product keeps the more digits the nearer to zero they lie
        middle = real.mean(0)
        real, samples = real - middle, samples - middle
    real_radius, sample_radius = _radii(real, k), _radii(samples, k)
    inside_real = torch.zeros(len(samples), dtype=torch.float64)  # balls that each sample is in
    inside_sample, covered = [], []
    for start in range(0, len(real), CHUNK):
        rows = slice(start, start + CHUNK)
        distance_NM = _distances(real[rows], samples)
        in_ball_NM = distance_NM <= real_radius[rows, None]
        inside_real += in_ball_NM.sum(0)
        covered.append(in_ball_NM.any(1))
        inside_sample.append((distance_NM <= sample_radius).any(1))
    return PRDC(
        precision=float((inside_real > 0).double().mean()),
        recall=float(torch.cat(inside_sample).double().mean()),
        density=float(inside_real.mean() / k),
        coverage=float(torch.cat(covered).double().mean()),
    )


def _distances(a: Tensor, b: Tensor) -> Tensor:
    if a.shape[1] > WIDE:
        return _by_product(a, b)
    # Without the matrix-product shortcut, which loses the zero between equal points.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _by_product(a: Tensor, b: Tensor) -> Tensor:
    """Return distances from a matrix product, with the zero between equal points restored."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    found = squares - 2 * a @ b.T
    return torch.where(found > _ROUNDING * squares, found, 0.0).sqrt()


def _radii(features: Tensor, k: int) -> Tensor:
    parts = [
        _distances(features[start : start + CHUNK], features).kthvalue(k + 1, dim=1).values
        for start in range(0, len(features), CHUNK)
    ]
    radii = torch.cat(parts)
    return radii * (1 + _SLACK) if features.shape[1] > WIDE else radii
