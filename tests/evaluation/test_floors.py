"""Floors are what theory says, and no figure depends on how the work was cut into pieces."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from genus.data import load_data
from genus.evaluation import bins, features, kernel, memorisation, prdc, rows
from genus.evaluation.features import random_net
from genus.evaluation.frechet import frechet_distance, null_floor
from genus.evaluation.samples import Reference

PUBLISHED = pytest.mark.skipif(
    not os.environ.get("GENUS_DATA"),
    reason="GENUS_DATA does not name a folder with the published sets",
)


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


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("digits", (300, 600)), pytest.param("mnist", (1000, 5000, 10_000), marks=PUBLISHED)],
)
def test_real_images_against_real_images_are_near_the_closed_form(name, sizes):
    """The closed form takes features to be Gaussian; those of images have heavier tails."""
    data = load_data(name)
    found = random_net(data.spec, data.train.x[:500])(data.train.x).double()
    for n in sizes:
        draws = []
        for seed in range(8):
            order = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))
            draws.append(frechet_distance(found[order[:n]], found[order[n : 2 * n]]))
        closed = null_floor(torch.cov(found.T), n)
        assert np.mean(draws) == pytest.approx(closed, rel=0.15)


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
