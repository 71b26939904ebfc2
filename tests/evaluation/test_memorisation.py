"""The memorisation test: null, planted copies, and failures that are not copying."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation.memorisation import (
    CHUNK,
    Neighbours,
    Usual,
    clear_ratio,
    near_copies,
    nearer_share,
    nearer_to_train,
    nearest_other,
    usual,
)

D, TRAIN, HELD = 16, 1200, 400


def normal(n, seed):
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def world(seed):
    train, held_out = normal(TRAIN, 10 * seed), normal(HELD, 10 * seed + 1)
    subset = train[torch.randperm(TRAIN, generator=torch.Generator().manual_seed(seed))[:HELD]]
    return train, subset, held_out


def shares(make, n=1000, worlds=12):
    results = []
    for seed in range(worlds):
        train, subset, held_out = world(seed)
        results.append(nearer_to_train(make(train, n, seed), subset, held_out))
    return results


def copies(fraction):
    def make(train, n, seed):
        rows = torch.randint(TRAIN, (n,), generator=torch.Generator().manual_seed(seed + 77))
        fresh = normal(n, 10 * seed + 5)
        fresh[: int(fraction * n)] = train[rows][: int(fraction * n)]
        return fresh

    return make


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_share_of_planted_copies(fraction):
    results = shares(copies(fraction))
    expected = 0.5 + fraction * HELD / (2 * TRAIN)
    assert np.mean([r.share for r in results]) == pytest.approx(expected, abs=0.02)


def test_full_copying_is_seen_and_the_null_is_not():
    assert min(r.z for r in shares(copies(1.0))) > 3
    assert max(abs(r.z) for r in shares(copies(0.0))) < 3.5


def test_shrinking_and_noise_are_no_copying():
    for scale in (0.7, 1.3):
        results = shares(lambda train, n, seed, scale=scale: scale * normal(n, 10 * seed + 5))
        assert np.mean([r.share for r in results]) == pytest.approx(0.5, abs=0.02)


def test_standard_error_is_the_spread_under_the_null():
    results = shares(copies(0.0), n=1000, worlds=40)
    spread = np.std([r.share for r in results])
    assert np.mean([r.standard_error for r in results]) == pytest.approx(spread, rel=0.3)


def test_a_collapsed_model_gets_a_large_error_instead_of_a_verdict():
    _, subset, held_out = world(0)
    result = nearer_to_train(held_out[:1].repeat(500, 1) + 0.01, subset, held_out)
    assert result.share == 0
    assert result.standard_error == pytest.approx(0.5)


def test_ties_count_one_half():
    x = torch.zeros(10, 3)
    result = nearer_to_train(x, torch.ones(4, 3), -torch.ones(4, 3))
    assert result.share == 0.5


def test_references_must_have_equal_sizes():
    with pytest.raises(ConfigError, match="3 train and 4 held-out"):
        nearer_to_train(torch.zeros(2, 1), torch.zeros(3, 1), torch.zeros(4, 1))


def clear_cases(make, n=1000, worlds=12, ratio=0.7):
    """Return the test of near copies; at this ratio some honest samples are clear cases too."""
    results = []
    for seed in range(worlds):
        train, subset, held_out = world(seed)
        found = Neighbours.of(make(train, n, seed), subset, held_out)
        results.append(near_copies(found, ratio))
    return results


@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_the_excess_of_near_copies_is_that_of_the_copies(fraction):
    results = clear_cases(copies(fraction))
    expected = fraction * HELD / TRAIN
    assert np.mean([r.share for r in results]) == pytest.approx(expected, abs=0.02)


def test_near_copies_see_what_the_share_of_all_samples_does_not():
    few = copies(0.1)
    assert max(r.z for r in shares(few)) < 3
    assert np.mean([r.z for r in clear_cases(few, ratio=0.5)]) > 5


def test_honest_clear_cases_lie_on_both_sides():
    """In the plane they are many; a test that counted one side alone would always fire."""
    g = torch.Generator().manual_seed(0)
    train, held_out, samples = torch.rand(3, 500, 2, generator=g)
    found = near_copies(Neighbours.of(samples, train, held_out), 0.5)
    assert min(found.nearer_train, found.nearer_held_out) > 50
    assert abs(found.z) < 3
    for scale in (0.5, 1.5):
        found = near_copies(Neighbours.of(scale * samples, train, held_out), 0.5)
        assert abs(found.z) < 3


def test_the_error_of_near_copies_is_their_spread_under_the_null():
    results = clear_cases(copies(0.0), worlds=60)
    spread = np.std([r.share for r in results])
    assert np.mean([r.standard_error for r in results]) == pytest.approx(spread, rel=0.3)


def test_the_ratio_of_clear_cases_follows_the_data():
    def ratio(dims):
        g = torch.Generator().manual_seed(1)
        train, held_out, real = torch.randn(3, 1000, dims, generator=g)
        return clear_ratio(Neighbours.of(real, train, held_out))

    # In the plane the squared distances are exponential, so that a ratio below r has probability
    # 2 r^2 / (1 + r^2).
    assert ratio(2) == pytest.approx(0.1, abs=0.03)
    assert ratio(2) < ratio(4) < ratio(16) == 0.5


def test_the_nearest_other_sample_is_never_the_sample_itself():
    x = torch.randn(CHUNK + 200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    expected = distances.fill_diagonal_(torch.inf).amin(1).square()
    torch.testing.assert_close(nearest_other(x), expected, atol=1e-6, rtol=1e-5)


def test_what_is_fair_is_one_half_where_splits_can_be_interchanged():
    for seed in range(12):
        _, subset, held_out = world(seed)
        assert usual(subset, held_out, 0.5) == Usual()


def test_what_is_fair_is_what_train_examples_get_where_splits_differ():
    shift = torch.zeros(D, dtype=torch.float64)
    shift[0] = 2.0
    honest, copied, plain = [], [], []
    for seed in range(8):
        train, subset, held_out = world(seed)
        fair = usual(subset, held_out + shift, 0.5)
        assert 0.65 < fair.share < 0.95
        fresh = normal(1000, 10 * seed + 5)
        found = Neighbours.of(fresh, subset, held_out + shift)
        honest.append(nearer_share(found, fair).z)
        plain.append(nearer_share(found).z)
        copy = Neighbours.of(copies(1.0)(train, 1000, seed), subset, held_out + shift)
        copied.append(nearer_share(copy, fair).z)
    assert max(honest) < 3
    assert min(plain) > 3  # without it every honest model is called a copier
    assert np.mean(copied) > 2
