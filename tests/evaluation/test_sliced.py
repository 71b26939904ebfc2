"""The sliced Wasserstein distance: shifts, Gaussians, one dimension by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation.frechet import bootstrap_error, frechet_distance
from genus.evaluation.sliced import sliced_distance


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_force(x, y):
    """On a line: as many copies of each value as make both sets equally large, matched in order."""
    return np.square(np.sort(np.repeat(x, len(y))) - np.sort(np.repeat(y, len(x)))).mean()


@pytest.mark.parametrize(("n", "m"), [(7, 7), (6, 9), (5, 8), (1, 4), (30, 31)])
def test_one_dimension_agrees_with_matching_in_order(n, m):
    x, y = normal(n, 1, 0), 2 * normal(m, 1, 1) + 1
    expected = brute_force(x.flatten().numpy(), y.flatten().numpy())
    assert sliced_distance(x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (12, 18)])
def test_agrees_with_brute_force_along_many_directions(n, m):
    x, y = normal(n, 3, 0), 1.5 * normal(m, 3, 1) + 0.3
    directions = normal(4000, 3, 2)
    directions /= directions.norm(dim=1, keepdim=True)
    each = [brute_force((x @ t).numpy(), (y @ t).numpy()) for t in directions]
    found = sliced_distance(x, y, directions=3000)
    assert found == pytest.approx(3 * np.mean(each), rel=0.02)


@pytest.mark.parametrize("d", [1, 2, 64, 300])
def test_a_shift_costs_its_squared_length_to_the_last_digit(d):
    x, shift = normal(25, d, 0), normal(1, d, 1)
    assert sliced_distance(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-9)


def test_gaussians_have_a_closed_form_and_the_unit_of_the_frechet_distance():
    d, wide = 16, 1.5
    x, y = normal(6000, d, 0), wide * normal(6000, d, 1) + 0.2
    expected = d * (wide - 1) ** 2 + d * 0.2**2
    assert sliced_distance(x, y) == pytest.approx(expected, rel=0.05)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=0.05)


def test_sees_a_shape_that_means_and_covariances_do_not():
    n, d = 3000, 4
    signs = normal(n, d, 0).sign()  # the same mean and covariance as the normal law
    null = sliced_distance(normal(n, d, 1), normal(n, d, 2))
    assert frechet_distance(signs, normal(n, d, 2)) < 0.05
    assert sliced_distance(signs, normal(n, d, 2)) > 10 * null


def test_its_floor_grows_with_d_and_not_with_d_squared():
    floors = [
        np.mean([sliced_distance(normal(500, d, 2 * i), normal(500, d, 2 * i + 1)) for i in (0, 1)])
        for d in (8, 64)
    ]
    assert floors[1] / floors[0] == pytest.approx(8, rel=0.35)


def test_same_bits_symmetric_and_independent_of_order():
    x, y = normal(30, 5, 0), normal(42, 5, 1)
    assert sliced_distance(x, y) == sliced_distance(x, y)
    assert sliced_distance(x, y) != sliced_distance(x, y, seed=1)
    assert sliced_distance(y, x) == pytest.approx(sliced_distance(x, y))
    assert sliced_distance(x.flip(0), y) == pytest.approx(sliced_distance(x, y))
    assert sliced_distance(x, x) == 0


def test_bootstrap_error_matches_the_spread_over_fresh_samples():
    def pair(i):
        return normal(300, 4, 2 * i) + 1, normal(300, 4, 2 * i + 1)

    fresh = [sliced_distance(*pair(i), directions=4) for i in range(60)]
    error = bootstrap_error(*pair(99), sliced_distance, repeats=40)
    assert error == pytest.approx(np.std(fresh), rel=0.4)


def test_says_all_that_is_wrong():
    with pytest.raises(ConfigError, match="NaN"):
        sliced_distance(torch.full((3, 2), float("inf")), torch.zeros(3, 2))
    with pytest.raises(ConfigError, match=r"\(3, 2\) and \(3, 4\)"):
        sliced_distance(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ConfigError, match=r"at least 1 example.* got 0"):
        sliced_distance(torch.zeros(0, 2), torch.zeros(3, 2))
