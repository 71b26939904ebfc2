"""The kernel distance: a double loop, no bias, the spread that it claims, chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from genus.errors import ConfigError
from genus.evaluation import kernel
from genus.evaluation.kernel import kernel_distance


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(x, y):
    """Pair by pair, as the definition is written."""
    d, n, m = len(x[0]), len(x), len(y)

    def k(a, b):
        return (float(np.dot(a, b)) / d + 1) ** 3

    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * sum(k(a, b) for a in x for b in y) / n / m


@pytest.mark.parametrize(("n", "m", "d"), [(12, 12, 3), (9, 17, 5)])
def test_agrees_with_a_double_loop(n, m, d):
    x, y = normal(n, d, 0), 1.5 * normal(m, d, 1) + 0.5
    assert kernel_distance(x, y).value == pytest.approx(oracle(x.numpy(), y.numpy()), rel=1e-10)


def test_agrees_with_the_kernel_of_scikit_learn():
    x, y = normal(150, 16, 0), 1.2 * normal(200, 16, 1)
    xx, yy, xy = (
        polynomial_kernel(a, b, degree=3, gamma=1 / 16, coef0=1)
        for a, b in ((x, x), (y, y), (x, y))
    )
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    expected = sum(within) - 2 * xy.mean()
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-10)


def claimed_over_true(n, m, shift, draws=150):
    """Return the mean of the errors that are claimed, over the spread of the values; the values."""
    found = [
        kernel_distance(normal(n, 16, 2 * i) + shift, normal(m, 16, 2 * i + 1))
        for i in range(draws)
    ]
    values = np.array([f.value for f in found])
    return np.mean([f.standard_error for f in found]) / values.std(), values


CASES = [(100, 100, 0.0), (150, 60, 0.0), (100, 150, 0.4), (300, 80, 0.1)]


@pytest.mark.parametrize(("n", "m", "shift"), CASES)
def test_the_error_is_the_spread_over_fresh_samples(n, m, shift):
    ratio, values = claimed_over_true(n, m, shift)
    assert 0.8 < ratio < 1.25
    if shift == 0:  # no bias; with the diagonal of the matrices it would be far from zero
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
        assert values.min() < 0


def test_leaving_the_pairs_out_would_not_give_the_error(monkeypatch):
    """Between samples of one law the pairs are all there is."""
    monkeypatch.setattr(kernel, "_between_pairs", lambda sums: torch.zeros(()))
    monkeypatch.setattr(kernel, "_within_pairs", lambda sums: torch.zeros(()))
    assert claimed_over_true(100, 100, 0.0)[0] > 1.3


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_chunks_change_nothing(chunk):
    x, y = normal(130, 8, 0), normal(90, 8, 1) + 0.2
    whole, parts = kernel_distance(x, y), kernel_distance(x, y, chunk=chunk)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-10)


def test_is_symmetric_does_not_mind_the_order_and_gives_the_same_bits():
    x, y = normal(40, 5, 0), normal(50, 5, 1) + 1
    assert kernel_distance(x, y) == kernel_distance(x, y)
    assert kernel_distance(y, x).value == pytest.approx(kernel_distance(x, y).value)
    assert kernel_distance(x.flip(0), y).value == pytest.approx(kernel_distance(x, y).value)


def test_constant_features_are_at_distance_zero_of_themselves():
    found = kernel_distance(torch.ones(10, 4), torch.ones(12, 4))
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.standard_error == pytest.approx(0, abs=1e-6)


def test_says_all_that_is_wrong():
    with pytest.raises(ConfigError) as caught:
        kernel_distance(torch.full((3, 2), float("nan")), torch.zeros(5, 4))
    for part in (r"(3, 2) and (5, 4)", "at least 4 examples", "got 3", "NaN"):
        assert part in str(caught.value)
