"""Naive Bayes against scikit-learn's, and what scikit-learn's does not say: densities."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

from genus.errors import DataError, SpecError
from genus.families.factorised import FactorisedConfig
from genus.models.independent import Independent
from genus.models.naive_bayes import NaiveBayes
from genus.spec import Batch, Spec


def labelled(levels, n=300, dims=5, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=generator)
    x = torch.randn(n, dims, generator=generator) * torch.arange(1, dims + 1) + y[:, None]
    return (x if levels is None else x.round().clamp(0, levels - 1).long()), y


def fitted(levels, alpha=1.0, model=NaiveBayes):
    x, y = labelled(levels)
    built = model(Spec(shape=(5,), levels=levels, classes=3), FactorisedConfig(alpha=alpha))
    built.double().fit(lambda: [Batch(x[:99], y[:99]), Batch(x[99:], y[99:])])
    return built, x, y


ORACLES = [
    (2, BernoulliNB(alpha=1.0)),
    (4, CategoricalNB(alpha=1.0, min_categories=4)),
    (None, GaussianNB(var_smoothing=0)),
]


@pytest.mark.parametrize(("levels", "oracle"), ORACLES, ids=["binary", "levels", "real"])
def test_the_posterior_is_that_of_scikit_learn(levels, oracle):
    model, x, y = fitted(levels, 1e-12 if levels is None else 1.0)
    oracle.fit(x.double().numpy(), y.numpy())
    prior = oracle.class_prior_ if levels is None else np.exp(oracle.class_log_prior_)
    model.log_prior_Y.copy_(torch.from_numpy(prior).log())  # ours has one pseudo-count for a class
    fresh = labelled(levels, seed=1)[0]
    expected = torch.from_numpy(oracle.predict_log_proba(fresh.double().numpy()))
    assert torch.allclose(model.class_log_prob(fresh), expected, atol=1e-6)
    joint = torch.from_numpy(oracle.predict_joint_log_proba(fresh.double().numpy()))
    assert torch.allclose(model.log_prob(fresh), joint.logsumexp(1), atol=1e-6)
    assert torch.allclose(model.features(fresh), expected.exp(), atol=1e-6)


@pytest.mark.parametrize("levels", [2, 4, None])
def test_it_is_the_law_of_independent_with_classes(levels):
    ours, x, y = fitted(levels)
    other = fitted(levels, model=Independent)[0]
    assert torch.equal(ours.log_prob(x), other.log_prob(x))
    assert torch.equal(ours.log_prob(x, y), other.log_prob(x, y))


def test_masses_sum_to_one():
    model = fitted(2)[0]
    every = torch.tensor(list(itertools.product(range(2), repeat=5)))
    assert float(model.log_prob(every).exp().sum()) == pytest.approx(1, abs=1e-12)
    y = torch.ones(32).long()
    assert float(model.log_prob(every, y).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_samples_follow_the_law():
    model, n = fitted(2)[0], 20_000
    drawn = model.sample(n, generator=torch.Generator().manual_seed(0))
    every = torch.tensor(list(itertools.product(range(2), repeat=5)))
    counts = torch.bincount((drawn * (2 ** torch.arange(4, -1, -1))).sum(1), minlength=32)
    assert stats.chisquare(counts, n * model.log_prob(every).exp().numpy()).pvalue > 1e-4


def test_missing_columns_are_left_out():
    model, x, _ = fitted(None)
    known = torch.tensor([True, False, True, True, False])
    columns = known.nonzero().squeeze(1)
    mean = model.parts.mean_MD * model.parts.scale_D + model.parts.shift_D
    deviation = model.parts.log_scale_MD.exp() * model.parts.scale_D
    law = stats.norm(mean[:, columns].unsqueeze(1), deviation[:, columns].unsqueeze(1))
    each = torch.from_numpy(law.logpdf(x[:, columns].double().numpy()).sum(2)).T  # (B, Y)
    holes = x.double().masked_fill(~known, math.nan)
    found = model.marginal_log_prob(holes, known)
    assert torch.allclose(found, (each + model.log_prior_Y).logsumexp(1), atol=1e-6)


def test_a_class_with_one_example_or_none_is_no_spike():
    x = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    model = NaiveBayes(Spec(shape=(2,), classes=3))
    model.fit(lambda: [Batch(x, torch.tensor([0, 0, 2]))])
    assert torch.isfinite(model.joint_log_prob(x)).all()
    assert float(model.log_prob(x, torch.tensor([2, 2, 2]))[2]) < 10
    # Where nothing is known of a class it is like the whole data.
    assert float(model.parts.mean_MD[1].abs().max()) < 1e-6
    assert float(model.parts.log_scale_MD[1].abs().max()) < 1e-6


def test_a_column_with_a_large_offset_keeps_its_digits():
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(500, 1, generator=generator, dtype=torch.float64)
    y, spec = (small[:, 0] > 0).long(), Spec(shape=(1,), classes=2)
    nats = []
    for offset in (0.0, 1e9):
        model = NaiveBayes(spec).double()
        model.fit(lambda offset=offset: [Batch(small + offset, y)])
        nats.append(float(model.log_prob(small + offset).mean()))
    assert nats[1] == pytest.approx(nats[0], abs=1e-4)


def test_parameters_are_counted():
    assert fitted(4)[0].free_parameters() == 3 * 5 * 3 + 2
    assert fitted(None)[0].free_parameters() == 3 * 5 * 2 + 2


def test_what_cannot_be_used_is_refused():
    with pytest.raises(SpecError, match="needs data with classes"):
        NaiveBayes(Spec(shape=(2,), levels=2))
    model = NaiveBayes(Spec(shape=(2,), classes=2))
    with pytest.raises(DataError, match="no labels"):
        model.fit(lambda: [Batch(torch.zeros(3, 2))])
    with pytest.raises(SpecError, match="NaN or infinity"):
        model.log_prob(torch.tensor([[math.nan, 1.0]]))
