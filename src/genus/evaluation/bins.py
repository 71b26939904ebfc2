r"""Statistically different bins: does each kind of example come as often as it should?

Training examples are divided into K bins by k-means, and each bin's share of the samples is held
against its share of held-out data by a test of two proportions:

.. math:: z_k = \frac{p_k - q_k}{\sqrt{r_k (1 - r_k) (1/n + 1/m)}}, \qquad
    r_k = \frac{n p_k + m q_k}{n + m}

The figure is the share of bins that differ at level alpha (NDB/K): about alpha for a perfect
model. The Jensen-Shannon divergence of the two histograms says how much they differ.

References:
    | Richardson and Weiss (2018), On GANs and GMMs, arXiv 1805.12462
    | Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding
"""

# Shapes: N examples, D values, K bins.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.errors import ConfigError, SpecError

ALPHA = 0.05
MOST_BINS = 100
PER_BIN = 20
"""Examples that a bin should get in the mean: far fewer, and the test of a bin cannot reject."""
_CHUNK = 2048


@dataclass(frozen=True)
class BinScores:
    """How the histogram of samples over bins differs from that of real data.

    Args:
        different: share of bins whose proportion differs significantly.
        divergence: Jensen-Shannon divergence of the histograms in bits, from 0 to 1.
    """

    different: float
    divergence: float


@dataclass(frozen=True, eq=False)
class Bins:
    """The Voronoi cells of some centres ``(K, D)``."""

    centres: Tensor

    @classmethod
    def of(cls, train: Tensor, bins: int, *, seed: int = 0, passes: int = 10) -> Bins:
        """Return bins by k-means: seeding by k-means++, then passes of Lloyd's algorithm.

        Args:
            train: ``(N, D)`` values.
            bins: K, or as many as there are different examples where these are fewer.
            seed: of the first centres.
            passes: at most so many; it stops when no example changes its bin.

        Raises:
            ConfigError: fewer examples than bins, or less than one bin.
            SpecError: a value is not finite.

        Example:
            >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
            >>> Bins.of(x, 2).centres.flatten().sort().values
            tensor([ 0.5000, 10.5000])
        """
        if not 1 <= bins <= len(train):
            raise ConfigError(f"bins={bins} must be from 1 to the {len(train)} examples there are")
        found = cls(_seeded(_checked(train), bins, seed))
        before = None
        for _ in range(passes):
            rows = found.rows(train)
            if before is not None and torch.equal(rows, before):
                break
            found, before = cls(_means(train, rows, found.centres)), rows
        return found

    def rows(self, x: Tensor) -> Tensor:
        """Return the bin of each example ``(N, D)``: the nearest centre.

        Raises:
            SpecError: the examples have another D, or a value is not finite.
        """
        if x.dim() != 2 or x.shape[1] != self.centres.shape[1]:
            raise SpecError(
                f"examples have shape {tuple(x.shape)}, expected (N, {self.centres.shape[1]})"
            )
        squares_K = self.centres.square().sum(1)
        parts = torch.split(_checked(x), _CHUNK)
        return torch.cat([(squares_K - 2 * part @ self.centres.T).argmin(1) for part in parts])

    def counts(self, x: Tensor) -> Tensor:
        """Return how many examples ``(N, D)`` fall in each bin, ``(K,)``."""
        return torch.bincount(self.rows(x), minlength=len(self.centres))


def suited_bins(train: int, samples: int) -> int:
    """Return how many bins so many examples can fill, at most 100.

    Example:
        >>> suited_bins(50_000, 2_000), suited_bins(300, 120)
        (100, 6)
    """
    return max(1, min(MOST_BINS, train // PER_BIN, samples // PER_BIN))


def bin_scores(samples_K: Tensor, real_K: Tensor, *, alpha: float = ALPHA) -> BinScores:
    """Return how two histograms over the same bins differ.

    Args:
        samples_K: counts of samples.
        real_K: counts of real examples; their total may be another.
        alpha: level of the test of each bin.

    Raises:
        ConfigError: the histograms have different bins, or one is empty.

    Example:
        >>> bin_scores(torch.tensor([50, 50, 0]), torch.tensor([50, 50, 0])).different
        0.0
    """
    n, m = float(samples_K.sum()), float(real_K.sum())
    if samples_K.shape != real_K.shape or n == 0 or m == 0:
        raise ConfigError(
            f"two histograms over the same bins are needed, got {len(samples_K)} bins of {n:.0f} "
            f"samples and {len(real_K)} bins of {m:.0f} real examples"
        )
    p_K, q_K = samples_K.double() / n, real_K.double() / m
    pooled_K = (samples_K + real_K).double() / (n + m)
    error_K = (pooled_K * (1 - pooled_K) * (1 / n + 1 / m)).sqrt()
    limit = math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - alpha, dtype=torch.float64)))
    different_K = (p_K - q_K).abs() > limit * error_K
    middle_K = (p_K + q_K) / 2
    divergence = (_divergence(p_K, middle_K) + _divergence(q_K, middle_K)) / 2
    return BinScores(float(different_K.double().mean()), max(0.0, divergence))


def _divergence(p_K: Tensor, q_K: Tensor) -> float:
    """Return KL(p, q) in bits; a bin without p adds nothing."""
    return float((torch.xlogy(p_K, p_K) - torch.xlogy(p_K, q_K)).sum()) / math.log(2)


def _checked(x: Tensor) -> Tensor:
    if not bool(torch.isfinite(x).all()):
        raise SpecError("the values hold NaN or infinity")
    return x


def _seeded(train: Tensor, bins: int, seed: int) -> Tensor:
    """Return first centres: examples drawn with the squared distance to those before as weight."""
    generator = torch.Generator().manual_seed(seed)
    centres = [train[int(torch.randint(len(train), (1,), generator=generator))]]
    distance_N = (train - centres[0]).square().sum(1)
    for _ in range(bins - 1):
        if not bool(distance_N.any()):
            break  # every example is a centre by now
        row = int(torch.multinomial(distance_N, 1, generator=generator))
        centres.append(train[row])
        distance_N = torch.minimum(distance_N, (train - centres[-1]).square().sum(1))
    return torch.stack(centres)


def _means(train: Tensor, rows: Tensor, centres: Tensor) -> Tensor:
    """Return the mean of each bin; one that is empty keeps its centre."""
    sums = torch.zeros_like(centres).index_add_(0, rows, train)
    counts = torch.bincount(rows, minlength=len(centres))[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), centres)
