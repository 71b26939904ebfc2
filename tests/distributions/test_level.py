"""Laws over levels: masses that sum to one for any parameters, and draws that follow them."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    DiscretizedLogistic,
    EntryGaussian,
    Likelihood,
)
from genus.errors import SpecError
from genus.random import ExampleNoise
from genus.spec import Spec


@settings(max_examples=60, deadline=None)
@given(
    location=st.floats(-50, 300),
    log_scale=st.floats(-7, 5),
    levels=st.sampled_from([2, 3, 17, 256]),
)
def test_discretized_logistic_sums_to_one(location: float, log_scale: float, levels: int) -> None:
    law = DiscretizedLogistic(
        torch.tensor([location], dtype=torch.float64),
        torch.tensor([log_scale], dtype=torch.float64),
        levels,
    )
    assert law.log_probs().exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_discretized_logistic_is_a_difference_of_scipys_cdfs() -> None:
    law = DiscretizedLogistic(torch.tensor([3.3]).double(), torch.tensor([0.2]).double(), 8)
    edges = scipy.stats.logistic.cdf(np.arange(9) - 0.5, loc=3.3, scale=math.exp(0.2))
    edges[0], edges[-1] = 0, 1
    np.testing.assert_allclose(law.log_probs().exp()[0].numpy(), np.diff(edges), atol=1e-12)


def test_discretized_logistic_has_gradients_far_in_the_tail() -> None:
    location = torch.tensor([0.0], requires_grad=True)
    law = DiscretizedLogistic(location, torch.tensor([-3.0]), 256)
    law.log_prob(torch.tensor([200])).sum().backward()
    assert location.grad is not None
    assert torch.isfinite(location.grad).all()
    assert location.grad.item() > 1  # towards the value, at a rate of 1/scale


@pytest.mark.parametrize(
    "law",
    [
        Categorical(torch.randn(5, generator=torch.Generator().manual_seed(0))),
        Bernoulli(torch.tensor(0.7)),
        DiscretizedLogistic(torch.tensor(1.2), torch.tensor(0.1), 5),
    ],
    ids=["categorical", "bernoulli", "logistic"],
)
def test_draws_follow_the_mass(law: Categorical | Bernoulli | DiscretizedLogistic) -> None:
    n = 20_000
    u = torch.rand(n, generator=torch.Generator().manual_seed(1))
    wide = _expand(law, n)
    counts = torch.bincount(wide.icdf(u), minlength=wide.log_probs().shape[-1]).double()
    expected = wide.log_probs()[0].double().exp() * n
    assert scipy.stats.chisquare(counts, expected * n / expected.sum()).pvalue > 1e-4


def _expand(law, n):
    if isinstance(law, Categorical):
        return Categorical(law.logits.expand(n, -1))
    if isinstance(law, Bernoulli):
        return Bernoulli(law.logits.expand(n))
    return DiscretizedLogistic(law.location.expand(n), law.log_scale.expand(n), law.levels)


def test_inverse_transform_never_leaves_the_levels() -> None:
    edges = torch.tensor([0.0, 1 - 2**-24])
    assert Categorical(torch.tensor([[0.0, 0.0]] * 2)).icdf(edges).tolist() == [0, 1]
    assert Bernoulli(torch.zeros(2)).icdf(edges).tolist() == [0, 1]
    logistic = DiscretizedLogistic(torch.full((2,), 3.0), torch.zeros(2), 7)
    assert logistic.icdf(edges).tolist() == [0, 6]


def test_gaussians_match_scipy() -> None:
    x = torch.linspace(-2, 2, 5).double()
    law = EntryGaussian(torch.tensor(0.3, dtype=x.dtype), torch.tensor(-0.5, dtype=x.dtype))
    oracle = scipy.stats.norm(0.3, math.exp(-0.5))
    np.testing.assert_allclose(law.log_prob(x), oracle.logpdf(x), rtol=1e-12)
    u = torch.tensor([0.1, 0.5, 0.9]).double()
    np.testing.assert_allclose(law.icdf(u), oracle.ppf(u), rtol=1e-9)


def test_divergence_by_formula_equals_sampling() -> None:
    q = DiagonalGaussian(torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, -0.4]]))
    p = DiagonalGaussian(torch.tensor([[0.0, 0.3]]), torch.tensor([[-0.1, 0.1]]))
    many = DiagonalGaussian(q.mean.expand(200_000, 2), q.log_scale.expand(200_000, 2))
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    z = many.mean + many.log_scale.exp() * noise
    sampled = (q.log_prob(z) - p.log_prob(z)).mean()
    assert q.kl(p).item() == pytest.approx(sampled.item(), abs=0.02)
    assert ExampleNoise(2).normal(3).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "levels"), [("bernoulli", 3), ("gaussian", 4), ("categorical", None)]
)
def test_a_likelihood_that_does_not_fit_says_which_would(name: str, levels: int | None) -> None:
    with pytest.raises(SpecError, match="choose bernoulli"):
        Likelihood(name, Spec(shape=(2,), levels=levels))
