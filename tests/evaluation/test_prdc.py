"""Precision, recall, density and coverage: null expectations and one-sided failures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation.prdc import prdc


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_null_density_is_one_and_null_coverage_is_one_less_two_to_the_minus_k():
    draws = [prdc(normal(600, 8, 2 * i), normal(600, 8, 2 * i + 1)) for i in range(6)]
    assert np.mean([p.density for p in draws]) == pytest.approx(1, abs=0.03)
    assert np.mean([p.coverage for p in draws]) == pytest.approx(1 - 2**-5, abs=0.01)
    assert np.mean([prdc(normal(600, 8, 0), normal(600, 8, 1), k=2).coverage]) == pytest.approx(
        0.75, abs=0.05
    )


def test_a_collapsed_model_is_precise_and_recalls_nothing():
    real = normal(400, 8, 0)
    collapsed = real.mean(0) + 0.01 * normal(400, 8, 1)
    result = prdc(real, collapsed)
    assert result.precision == 1
    assert result.recall < 0.05
    assert result.coverage < 0.5
    assert result.density > 2


def test_a_noisy_model_recalls_all_and_is_imprecise():
    result = prdc(normal(400, 8, 0), 4 * normal(400, 8, 1))
    assert result.recall > 0.9
    assert result.precision < 0.2
    assert result.density < 0.2


def test_a_missing_mode_costs_recall_and_coverage():
    real = torch.cat([normal(200, 4, 0), normal(200, 4, 1) + 50])
    result = prdc(real, normal(400, 4, 2))
    assert result.coverage == pytest.approx(0.5, abs=0.03)
    assert result.recall <= 0.5
    assert result.precision > 0.8


def test_matches_a_direct_count_over_several_chunks(monkeypatch):
    from genus.evaluation import prdc as module

    real, fake = normal(83, 3, 0), normal(71, 3, 1) * 1.2
    expected = _direct(real.numpy(), fake.numpy(), 5)
    monkeypatch.setattr(module, "CHUNK", 10)
    result = prdc(real, fake)
    found = (result.precision, result.recall, result.density, result.coverage)
    assert found == pytest.approx(expected)


def _direct(real, fake, k):
    def radius(points):
        d = np.linalg.norm(points[:, None] - points, axis=2)
        return np.sort(d, axis=1)[:, k]

    between = np.linalg.norm(real[:, None] - fake, axis=2)
    in_real = between <= radius(real)[:, None]
    in_fake = between <= radius(fake)
    return (
        in_real.any(0).mean(),
        in_fake.any(1).mean(),
        in_real.sum(0).mean() / k,
        in_real.any(1).mean(),
    )


def test_identical_points_are_inside_and_order_does_not_matter():
    same = torch.ones(20, 3)
    result = prdc(same, same)
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)
    real, fake = normal(50, 3, 0), normal(60, 3, 1)
    assert prdc(real.flip(0), fake.flip(0)) == prdc(real, fake)


def test_too_few_examples():
    with pytest.raises(ConfigError, match="need more than 5 examples in each set, got 5"):
        prdc(normal(5, 2, 0), normal(50, 2, 1))


def test_many_features_take_another_way_to_the_same_shares():
    from genus.evaluation.prdc import WIDE

    def sets(real, fake):
        """Add points that both sets share, and points that are there several times."""
        return torch.cat([real, *[real[:3]] * 8]), torch.cat([fake, real[:50], *[fake[:3]] * 8])

    real, fake = normal(90, 6, 0), normal(70, 6, 1) * 1.2
    turn = torch.linalg.qr(normal(WIDE + 1, 6, 2)).Q.T
    # Repeated after they were turned: equal rows of a product may differ in their last bits.
    wide = sets(real @ turn + 99, fake @ turn + 99)
    assert prdc(*wide) == prdc(*sets(real, fake))


def test_of_many_features_equal_points_are_at_zero_and_neighbours_inside():
    from genus.evaluation.prdc import WIDE, _distances, _radii

    x = normal(60, WIDE + 1, 0) + 99
    distance = _distances(x, x.flip(0)).flip(1)
    assert (distance.diagonal() == 0).all()
    assert distance[~torch.eye(60, dtype=torch.bool)].min() > 1
    # What rounding takes from a distance must not put the 5th neighbour outside.
    assert (_radii(x, 5) > distance.kthvalue(6, dim=1).values).all()
