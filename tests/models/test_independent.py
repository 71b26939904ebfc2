"""Independent entries against scikit-learn's naive Bayes."""

import math

import pytest
import torch
from sklearn.naive_bayes import CategoricalNB, GaussianNB

from genus.capabilities import FitContext
from genus.families.factorised import FactorisedConfig
from genus.models.independent import Independent
from genus.spec import Batch, Spec


def fitted(spec, x, y=None, **config):
    model = Independent(spec, FactorisedConfig(**config))
    model.fit(
        lambda: [
            Batch(x[:70], None if y is None else y[:70]),
            Batch(x[70:], None if y is None else y[70:]),
        ]
    )
    return model


@pytest.fixture
def labelled():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (200,), generator=generator)
    return y, generator


def test_levels_agree_with_categorical_naive_bayes(labelled):
    y, generator = labelled
    x = (torch.randint(5, (200, 4), generator=generator) + y[:, None]).clamp(max=5)
    model = fitted(Spec(shape=(4,), levels=6, classes=3), x, y, alpha=0.7)
    oracle = CategoricalNB(alpha=0.7, min_categories=6).fit(x.numpy(), y.numpy())
    model.log_prior_Y.copy_(torch.from_numpy(oracle.class_log_prior_))
    expected = torch.from_numpy(oracle.predict_joint_log_proba(x.numpy())).float()
    assert torch.allclose(model.joint_log_prob(x), expected, atol=1e-4)


def test_real_columns_agree_with_gaussian_naive_bayes(labelled):
    y, generator = labelled
    x = torch.randn(200, 4, generator=generator) * torch.tensor([1e3, 1, 1e-2, 1]) + y[:, None]
    model = fitted(Spec(shape=(4,), classes=3), x, y, alpha=1e-9)
    oracle = GaussianNB(var_smoothing=0).fit(x.double().numpy(), y.numpy())
    model.log_prior_Y.copy_(torch.from_numpy(oracle.class_prior_).log())
    expected = torch.from_numpy(oracle.predict_joint_log_proba(x.double().numpy())).float()
    assert torch.allclose(model.joint_log_prob(x), expected, atol=1e-3)


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("levels", [4, None])
def test_the_logged_likelihood_is_that_of_the_data(labelled, levels, classes):
    y, generator = labelled
    x = torch.randint(4, (200, 5), generator=generator)
    x = x if levels else x + torch.randn(200, 5, generator=generator)
    spec = Spec(shape=(5,), levels=levels, classes=classes)
    model = Independent(spec)
    total = model._total(lambda: [Batch(x, y if classes else None)], FitContext())
    nats = model.update(total)["nats"]
    assert nats == pytest.approx(float(model.log_prob(x, y if classes else None).mean()), abs=1e-4)


def test_a_constant_column_and_an_absent_class_stay_finite():
    x = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    model = fitted(Spec(shape=(2,), classes=3), x, torch.tensor([0, 0, 2]))
    assert torch.isfinite(model.joint_log_prob(x)).all()


def test_completion_is_the_exact_conditional():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (300,), generator=generator)
    x = (torch.rand(300, 3, generator=generator) < 0.2 + 0.6 * y[:, None]).long()
    model = fitted(Spec(shape=(3,), levels=2, classes=2), x, y)
    # Seeing two ones makes the second class likely, and with it another one.
    seen = torch.tensor([[1, 1, 0]]).expand(4000, 3)
    known = torch.tensor([True, True, False])
    done = model.complete(seen, known, generator=generator)
    assert done.exact
    whole = model.log_prob(torch.tensor([[1, 1, 0], [1, 1, 1]])).exp()
    expected = float(whole[1] / whole.sum())
    assert float(done.x[:, 2].float().mean()) == pytest.approx(expected, abs=0.03)
    ones = done.x[:, 2] == 1
    assert float(done.log_prob[ones][0]) == pytest.approx(math.log(expected), abs=1e-5)
    assert torch.equal(done.x[:, :2], seen[:, :2])


def test_missing_values_of_real_data_may_be_nan():
    model = Independent(Spec(shape=(2,)))
    x = torch.tensor([[1.0, math.nan]])
    done = model.complete(x, ~x.isnan())
    assert torch.isfinite(done.x).all()
    assert float(done.x[0, 0]) == 1
