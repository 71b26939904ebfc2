"""The Frechet distance with an error in closed form, against its other forms and against draws."""

from __future__ import annotations

import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation.frechet import bootstrap_error, frechet_distance
from genus.evaluation.influence import frechet_with_error


def clouds(n, m, dims, *, seed=0, shift=0.3):
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(dims, dims, generator=torch.Generator().manual_seed(7)).double() / dims**0.5
    x, y = (torch.randn(k, dims, generator=g).double() for k in (n, m))
    return x @ mix + shift, (y @ mix).relu()


SIZES = [(30, 30, 48), (20, 60, 48), (60, 20, 48), (200, 100, 8), (100, 200, 8), (48, 48, 48)]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_distance_is_the_one_of_covariances(sizes):
    x, y = clouds(*sizes)
    assert frechet_with_error(x, y)[0] == pytest.approx(frechet_distance(x, y), rel=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_error_is_that_of_weights_moved_by_finite_differences(sizes):
    x, y = clouds(*sizes)
    n, m = len(x), len(y)

    def distance(p, q):
        """The distance of weighted sets, from singular values; weights p and q."""
        mean_x, mean_y = p @ x, q @ y
        a = (x - mean_x) * (p * n / (n - 1)).sqrt()[:, None]
        b = (y - mean_y) * (q * m / (m - 1)).sqrt()[:, None]
        overlap = torch.linalg.svdvals(a @ b.T).sum()
        return (mean_x - mean_y).square().sum() + a.square().sum() + b.square().sum() - 2 * overlap

    def moved(k, i):
        step, weights = 1e-5, torch.full((k,), 1 / k, dtype=torch.float64)
        toward = torch.zeros(k, dtype=torch.float64)
        toward[i] = 1
        return weights + step * (toward - weights), step

    even = [torch.full((k,), 1 / k, dtype=torch.float64) for k in (n, m)]
    base = distance(*even)
    variance = 0.0
    for side, k in enumerate((n, m)):
        slopes = []
        for i in range(k):
            weights, step = moved(k, i)
            given = [weights, even[1]] if side == 0 else [even[0], weights]
            slopes.append((distance(*given) - base) / step)
        variance += torch.stack(slopes).var() / k
    assert frechet_with_error(x, y)[1] == pytest.approx(float(variance.sqrt()), rel=1e-4)


def spread_of(pairs):
    """How much the distance varies over fresh draws, what is said of it, and by resampling."""
    found = torch.tensor([frechet_with_error(x, y) for x, y in pairs])
    resampled = torch.tensor([bootstrap_error(x, y, seed=1) for x, y in pairs[:8]]).mean()
    return float(found[:, 0].std()), float(found[:, 1].mean()), float(resampled)


@pytest.mark.parametrize("n", [24, 120])
def test_the_error_is_the_spread_of_fresh_draws(n):
    true, said, _ = spread_of([clouds(n, n, 32, seed=seed) for seed in range(100)])
    assert 0.85 * true < said < 1.3 * true


@pytest.mark.parametrize("n", [24, 120])
def test_of_one_law_it_is_somewhat_too_large_and_the_bootstrap_more(n):
    g = torch.Generator().manual_seed(0)
    draws = torch.randn(100, 2, n, 32, generator=g).double()
    true, said, resampled = spread_of([(x, y) for x, y in draws])
    assert true < said < 1.6 * true
    assert resampled > 1.2 * said


def test_sets_without_spread_and_sets_that_cannot_be_compared():
    flat = torch.ones(5, 3)
    assert frechet_with_error(flat, flat + 2) == (12.0, 0.0)
    with pytest.raises(ConfigError, match="NaN"):
        frechet_with_error(flat, flat * float("nan"))
    with pytest.raises(ConfigError, match="differ"):
        frechet_with_error(flat, torch.ones(5, 4))
