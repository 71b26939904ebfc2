"""The memorisation test: null, planted copies, and failures that are not copying."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation.memorisation import nearer_to_train

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
