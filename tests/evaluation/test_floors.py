"""Floors are what theory says, and no figure depends on how the work was cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.evaluation import bins, features, kernel, memorisation, prdc, rows
from genus.evaluation.frechet import frechet_distance, null_floor
from genus.evaluation.samples import Reference


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [1000, 5000, 10_000])
def test_real_against_real_is_the_closed_form_within_its_interval(n):
    """64 features: 2 D / N + D (D + 1) / 2 N; without the covariances it would be 2 D / N."""
    draws = [frechet_distance(normal(n, 64, 2 * i), normal(n, 64, 2 * i + 1)) for i in range(40)]
    mean, error = np.mean(draws), np.std(draws, ddof=1) / np.sqrt(40)
    closed = null_floor(torch.eye(64), n)
    assert closed == pytest.approx(2 * 64 / n + 64 * 65 / (2 * n))
    assert abs(mean - closed) < 3 * error
    assert error < 0.01 * closed


def test_the_size_of_pieces_changes_nothing(toys, cache_folder, quick, monkeypatch):
    data = toys.make_bars(sizes=(300, 60, 100))
    first = Reference(data)
    block = first.measure(first.real[:90])
    for module, name in ((kernel, "CHUNK"), (prdc, "CHUNK"), (memorisation, "CHUNK")):
        monkeypatch.setattr(module, name, 17)
    monkeypatch.setattr(kernel.kernel_distance, "__kwdefaults__", {"chunk": 17})
    monkeypatch.setattr(bins, "_CHUNK", 17)
    monkeypatch.setattr(features, "BATCH", 17)
    monkeypatch.setattr(rows.blocks, "__defaults__", (17,))
    again = Reference(data).measure(first.real[:90])
    assert again.nearer_to_train == block.nearer_to_train
    assert again.bins == block.bins
    assert again.classes == block.classes
    assert again.fingerprint == block.fingerprint
    for net, scores in block.scores.items():
        for name in ("frechet", "kernel", "sliced", "precision", "recall", "density", "coverage"):
            before, after = getattr(scores, name), getattr(again.scores[net], name)
            # Single precision of a network moves with its batch, in the last digit.
            assert after.value == pytest.approx(before.value, rel=1e-4, abs=1e-5), name


def test_the_order_of_samples_changes_nothing(toys, cache_folder, quick):
    reference = Reference(toys.make_bars(sizes=(300, 60, 100)))
    block, turned = (reference.measure(x) for x in (reference.real, reference.real.flip(0)))
    assert turned.bins == block.bins
    assert turned.classes == block.classes
    for net, scores in block.scores.items():
        for name in ("frechet", "kernel", "sliced", "precision", "recall", "density", "coverage"):
            before, after = getattr(scores, name), getattr(turned.scores[net], name)
            assert after.value == pytest.approx(before.value, rel=1e-4, abs=1e-5), name
