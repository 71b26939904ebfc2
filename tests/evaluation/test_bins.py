"""Bins: k-means, the test of two proportions, the share of false alarms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import torch

from genus.errors import ConfigError, SpecError
from genus.evaluation.bins import Bins, bin_scores, suited_bins


def clusters(n, seed, kinds=8, wide=0.05):
    """Points around corners of a cube, and which corner."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.randint(kinds, (n,), generator=g)
    bits = torch.stack([corner >> i & 1 for i in range(3)], 1).float()
    return bits + wide * torch.randn(n, 3, generator=g), corner


def test_finds_clusters_that_are_there():
    x, corner = clusters(800, 0)
    rows = Bins.of(x, 8).rows(x)
    table = torch.zeros(8, 8).index_put_((rows, corner), torch.ones(800), accumulate=True)
    assert ((table > 0).sum(0) == 1).all()
    assert ((table > 0).sum(1) == 1).all()


def test_is_a_fixed_point_about_as_good_as_that_of_scikit_learn():
    from sklearn.cluster import KMeans

    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    bins = Bins.of(x, 12, passes=100)
    rows = bins.rows(x)
    for k in range(12):
        torch.testing.assert_close(bins.centres[k], x[rows == k].mean(0))
    ours = float((x - bins.centres[rows]).square().sum())
    theirs = KMeans(12, n_init=10, random_state=0).fit(x.numpy()).inertia_
    assert ours < 1.1 * theirs


def test_rows_are_the_nearest_centre_and_chunks_change_nothing(monkeypatch):
    from genus.evaluation import bins as module

    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    found = Bins.of(x, 9)
    distance = scipy.spatial.distance.cdist(x.numpy(), found.centres.numpy())
    np.testing.assert_array_equal(found.rows(x).numpy(), distance.argmin(1))
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert torch.equal(found.rows(x), torch.from_numpy(distance.argmin(1)))


def test_same_seed_same_bins_and_the_global_generator_is_left_alone():
    x, _ = clusters(200, 0, wide=0.5)
    before = torch.random.get_rng_state()
    assert torch.equal(Bins.of(x, 6).centres, Bins.of(x, 6).centres)
    assert not torch.equal(Bins.of(x, 6).centres, Bins.of(x, 6, seed=1).centres)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_constant_examples_have_one_bin():
    bins = Bins.of(torch.ones(50, 3), 4)
    assert bins.counts(torch.ones(7, 3)).tolist() == [7]


def test_each_bin_is_tested_as_the_textbook_does():
    samples, real = torch.tensor([60, 30, 10, 0]), torch.tensor([80, 75, 40, 5])
    n, m = 100, 200
    different = 0
    for a, b in zip(samples.tolist(), real.tolist(), strict=True):
        pooled = (a + b) / (n + m)
        z = (a / n - b / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        different += 2 * scipy.stats.norm.sf(abs(z)) < 0.05
    found = bin_scores(samples, real)
    assert found.different == different / 4
    assert 0 < found.different < 1
    p, q = samples.numpy() / n, real.numpy() / m
    expected = scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2
    assert found.divergence == pytest.approx(expected)


def test_of_two_bins_the_test_is_chi_squared():
    samples, real = torch.tensor([68, 32]), torch.tensor([160, 40])
    expected = scipy.stats.chi2_contingency(torch.stack([samples, real]), correction=False).pvalue
    assert bin_scores(samples, real, alpha=1.01 * expected).different == 1
    assert bin_scores(samples, real, alpha=0.99 * expected).different == 0


def test_under_the_null_a_share_of_alpha_differs():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(50, 5.0))
    found = [
        bin_scores(*(torch.from_numpy(rng.multinomial(n, p)) for n in (2000, 3000)))
        for _ in range(60)
    ]
    assert np.mean([f.different for f in found]) == pytest.approx(0.05, abs=0.012)
    # In nats (K - 1) / 8 (1 / n + 1 / m) to first order.
    expected = 49 / 8 * (1 / 2000 + 1 / 3000) / np.log(2)
    assert np.mean([f.divergence for f in found]) == pytest.approx(expected, rel=0.1)


def test_a_missing_cluster_is_seen_and_a_scrambled_reference_is_not_needed():
    bins = Bins.of(clusters(800, 0)[0], 8)
    real = bins.counts(clusters(800, 1)[0])
    x, corner = clusters(800, 2)
    assert bin_scores(bins.counts(x), real).different <= 0.25
    missing = bin_scores(bins.counts(x[corner > 0]), real)
    assert missing.different >= 0.125
    assert missing.divergence > 10 * bin_scores(bins.counts(x), real).divergence


def test_how_many_bins():
    assert suited_bins(10, 10) == 1
    assert suited_bins(10_000, 359) == 17


def test_says_what_is_wrong():
    x = torch.randn(10, 3)
    with pytest.raises(ConfigError, match="bins=11 must be from 1 to the 10 examples"):
        Bins.of(x, 11)
    with pytest.raises(SpecError, match="NaN"):
        Bins.of(x * float("nan"), 2)
    with pytest.raises(SpecError, match=r"shape \(10, 2\), expected \(N, 3\)"):
        Bins.of(x, 2).rows(x[:, :2])
    with pytest.raises(ConfigError, match="3 bins of 0 samples and 2 bins of 5 real"):
        bin_scores(torch.zeros(3), torch.tensor([2, 3]))
