r"""Frechet distance between two clouds of features, with what chance alone would give.

.. math:: |\mu_1 - \mu_2|^2 + \operatorname{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2})

It is the squared Wasserstein distance of two Gaussians. Estimated from samples it is biased up,
so a figure means little without its floor: the distance that two samples of one law show.

References:
    | Dowson and Landau (1982), The Frechet distance between multivariate normal distributions
    | Heusel et al. (2017), GANs trained by a two time-scale update rule, arXiv 1706.08500
    | Chong and Forsyth (2020), Effectively unbiased FID, arXiv 1911.07023
"""

# Shapes: N examples, D features.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.errors import ConfigError


@dataclass(frozen=True)
class Moments:
    """Mean ``(D,)`` and covariance ``(D, D)`` in float64, of ``n`` examples."""

    mean: Tensor
    covariance: Tensor
    n: int

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Return the moments of features ``(N, D)``.

        Raises:
            ConfigError: there are fewer than two examples, or a value is not finite.
        """
        if len(features) < 2:
            raise ConfigError(f"a covariance needs at least 2 examples, got {len(features)}")
        if not bool(torch.isfinite(features).all()):
            raise ConfigError("features hold NaN or infinity")
        values = features.double()
        mean = values.mean(0)
        centred = values - mean
        return cls(mean, centred.T @ centred / (len(values) - 1), len(values))


def frechet_distance(first: Tensor | Moments, second: Tensor | Moments) -> float:
    """Return the Frechet distance of two sets of features.

    Args:
        first: ``(N, D)`` features or their moments.
        second: ``(M, D)`` features or their moments; M may differ from N.

    Raises:
        ConfigError: fewer than two examples, or values that are not finite.

    Example:
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> frechet_distance(x, x + 2), frechet_distance(x, 3 * x)
        (4.0, 4.0)
    """
    a = first if isinstance(first, Moments) else Moments.of(first)
    b = second if isinstance(second, Moments) else Moments.of(second)
    shift = float((a.mean - b.mean).square().sum())
    root = _square_root(a.covariance)
    product = root @ b.covariance @ root
    # Symmetric eigenvalues: they stay real and exact where a matrix square root of the product,
    # which is singular for N < D, turns complex.
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * overlap
    return max(0.0, shift + float(spread))


def null_floor(covariance: Tensor, n: int, m: int | None = None) -> float:
    r"""Return the expected distance of two samples from one law: the floor of a perfect model.

    To second order in the sampling error, with eigenvalues :math:`\lambda` of the covariance,

    .. math:: \Big(\frac1n + \frac1m\Big) \Big[\sum_i \lambda_i
        + \frac12 \sum_{ij} \frac{\lambda_i \lambda_j (1 + \delta_{ij})}{\lambda_i + \lambda_j}\Big]

    The fourth moments are taken to be Gaussian.

    Args:
        covariance: ``(D, D)``, for instance of the reference.
        n: size of one sample.
        m: size of the other; the same when left out.

    Example:
        >>> round(null_floor(torch.eye(64), 1000), 3)  # 2 D / N + D (D + 1) / (2 N)
        2.208
    """
    weights = torch.linalg.eigvalsh(covariance.double()).clamp(min=0)
    weights = weights[weights > 1e-12 * weights.max().clamp(min=1e-300)]
    pairs = weights[:, None] * weights / (weights[:, None] + weights)
    second_order = (pairs.sum() + pairs.diagonal().sum()) / 2
    return (1 / n + 1 / (m or n)) * float(weights.sum() + second_order)


def bootstrap_error(
    first: Tensor,
    second: Tensor,
    distance: Callable[[Tensor, Tensor], float] = frechet_distance,
    *,
    repeats: int = 40,
    seed: int = 0,
) -> float:
    """Return the standard error of a distance by resampling the rows of both sets.

    Only the spread is used: a resampled distance is biased up a second time, so its percentiles
    would not cover the estimate.

    Args:
        first: ``(N, D)`` features.
        second: ``(M, D)`` features.
        distance: of two such sets.
        repeats: how many times they are drawn again.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = [
        distance(_resample(first, generator), _resample(second, generator)) for _ in range(repeats)
    ]
    return float(torch.tensor(draws, dtype=torch.float64).std())


def _resample(features: Tensor, generator: torch.Generator) -> Tensor:
    return features[torch.randint(len(features), (len(features),), generator=generator)]


def _square_root(covariance: Tensor) -> Tensor:
    weights, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * weights.clamp(min=0).sqrt()) @ vectors.T
    return root
