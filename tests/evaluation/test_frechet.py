"""The Frechet distance against closed forms, SciPy and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from genus.errors import ConfigError
from genus.evaluation.frechet import Moments, bootstrap_error, frechet_distance, null_floor


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(a, b):
    """By the matrix square root, as the formula is written."""
    first, second = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(first @ second)
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return float(shift + np.trace(first + second - 2 * np.real(root)))


@pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 5), (500, 400, 32)])
def test_agrees_with_the_matrix_square_root(n, m, d):
    a = normal(n, d, 0) @ normal(d, d, 1)
    b = normal(m, d, 2) @ normal(d, d, 3) + 0.5
    assert frechet_distance(a, b) == pytest.approx(oracle(a.numpy(), b.numpy()), rel=1e-8)


def test_gaussians_with_the_same_axes_have_a_closed_form():
    mean, first, second = (
        torch.tensor([1.0, -2.0]),
        torch.tensor([4.0, 9.0]),
        torch.tensor([1.0, 1.0]),
    )
    a = Moments(torch.zeros(2).double(), first.double().diag(), 10)
    b = Moments(mean.double(), second.double().diag(), 10)
    # |mean|^2 + (2 - 1)^2 + (3 - 1)^2
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 4)


def test_is_zero_of_itself_symmetric_and_finite_with_fewer_examples_than_features():
    a, b = normal(20, 64, 0), normal(30, 64, 1)
    assert frechet_distance(a, a) < 1e-4  # singular covariance: the root of rounding errors
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, b) > 0


def test_order_of_rows_does_not_matter():
    a, b = normal(50, 4, 0), normal(60, 4, 1)
    assert frechet_distance(a.flip(0), b) == pytest.approx(frechet_distance(a, b), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "weights"),
    [
        (1000, 1000, np.ones(64)),
        (400, 800, np.ones(32)),
        (800, 800, np.geomspace(1, 1e-3, 64)),
    ],
)
def test_floor_agrees_with_simulation(n, m, weights):
    scale = torch.tensor(weights).sqrt()
    d = len(weights)
    draws = [
        frechet_distance(normal(n, d, 2 * i) * scale, normal(m, d, 2 * i + 1) * scale)
        for i in range(30)
    ]
    expected = null_floor(torch.diag(scale.square()), n, m)
    assert np.mean(draws) == pytest.approx(expected, rel=0.05)


def test_floor_falls_with_the_number_of_samples_and_ignores_empty_directions():
    covariance = torch.eye(8)
    assert null_floor(covariance, 1000) == pytest.approx(null_floor(covariance, 100) / 10)
    padded = torch.zeros(12, 12)
    padded[:8, :8] = covariance
    assert null_floor(padded, 100) == pytest.approx(null_floor(covariance, 100))


def test_bootstrap_error_matches_the_spread_over_fresh_samples():
    b_rows, shift = 300, 1.0
    fresh = [
        frechet_distance(normal(b_rows, 4, i) + shift, normal(b_rows, 4, 1000 + i))
        for i in range(60)
    ]
    error = bootstrap_error(normal(b_rows, 4, 5) + shift, normal(b_rows, 4, 6), repeats=100)
    assert error == pytest.approx(np.std(fresh), rel=0.35)
    again = bootstrap_error(normal(b_rows, 4, 5) + shift, normal(b_rows, 4, 6), repeats=100)
    assert again == error


def test_refuses_one_example_and_nan():
    with pytest.raises(ConfigError, match="at least 2 examples, got 1"):
        frechet_distance(normal(1, 3, 0), normal(5, 3, 1))
    with pytest.raises(ConfigError, match="NaN"):
        frechet_distance(torch.full((3, 2), float("nan")), normal(5, 2, 1))
