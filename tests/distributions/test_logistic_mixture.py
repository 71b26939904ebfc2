"""Mixtures of discretized logistics: masses, draws, and the joint law over a pixel's colours."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.distributions.logistic_mixture import LogisticMixture
from genus.distributions.pixel_mixture import USUAL, PixelMixture, whole_levels
from genus.errors import SpecError
from genus.spec import Spec

LEVELS = [2, 17, 256]


def random_law(levels: int, *batch: int, seed: int = 0) -> LogisticMixture:
    generator = torch.Generator().manual_seed(seed)
    logits, location, log_scale = torch.randn(3, *batch, 4, generator=generator).double()
    return LogisticMixture(logits, levels / 2 * (1 + location), log_scale, levels)


@settings(max_examples=80, deadline=None)
@given(
    parameters=st.lists(
        st.tuples(st.floats(-1e4, 1e4), st.floats(-1e3, 1e3), st.floats(-9, 12)),
        min_size=1,
        max_size=4,
    ),
    levels=st.sampled_from(LEVELS),
)
def test_it_sums_to_one_for_any_parameters(
    parameters: list[tuple[float, float, float]], levels: int
) -> None:
    columns = torch.tensor(parameters, dtype=torch.float64).T
    law = LogisticMixture(*columns, levels)
    assert law.log_probs().exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert law.cumulative().shape == (levels - 1,)


@pytest.mark.parametrize("levels", LEVELS)
def test_it_is_a_weighted_sum_of_scipys_differences(levels: int) -> None:
    law = random_law(levels)
    edges = np.arange(levels + 1)[:, None] - 0.5
    cdf = scipy.stats.logistic.cdf(edges, law.location.numpy(), law.log_scale.exp().numpy())
    cdf[0], cdf[-1] = 0, 1
    masses = np.diff(cdf, axis=0) @ scipy.special.softmax(law.logits.numpy())
    np.testing.assert_allclose(law.log_probs().exp().numpy(), masses, atol=1e-12)
    np.testing.assert_allclose(law.cumulative().numpy(), masses.cumsum()[:-1], atol=1e-12)
    assert law.mean.item() == pytest.approx(float(masses @ np.arange(levels)), abs=1e-9)


@pytest.mark.parametrize("levels", LEVELS)
def test_draws_follow_the_mass(levels: int) -> None:
    n, law = 20_000, random_law(levels, seed=2)
    many = LogisticMixture(
        *(t.expand(n, 4) for t in (law.logits, law.location, law.log_scale)), levels
    )
    u = torch.rand(n, generator=torch.Generator().manual_seed(1))
    counts = torch.bincount(many.icdf(u), minlength=levels).double()
    expected = law.log_probs().exp() * n
    common = expected > 5
    found = torch.cat([counts[common], counts[~common].sum().view(1)])
    wanted = torch.cat([expected[common], expected[~common].sum().view(1)])
    keep = wanted > 0
    assert scipy.stats.chisquare(found[keep], wanted[keep]).pvalue > 1e-4


@pytest.mark.parametrize("levels", LEVELS)
def test_it_is_sampled_as_it_is_scored(levels: int) -> None:
    """Just below the mass of all levels up to one, that level is drawn; just above it, the next."""
    law = random_law(levels, 3)
    upto = law.log_probs().exp().cumsum(-1)
    for level in {0, (levels - 1) // 2, levels - 2}:
        below, above = (upto[:, level] + step for step in (-1e-9, 1e-9))
        assert (law.icdf(below) <= level).all()
        assert (law.icdf(above) > level).all()
    ends = law.icdf(torch.tensor([0.0, 1 - 2**-24, 0.5]).double())
    assert ((ends >= 0) & (ends < levels)).all()
    assert ends.dtype == torch.long


def test_temperature_is_the_exact_power_of_the_mixture() -> None:
    law = random_law(17, 2)
    power = (law.log_probs() / 0.4).softmax(-1)
    torch.testing.assert_close(law.tempered(0.4).log_probs().exp(), power)
    assert law.tempered(1.0) is law
    cold = law.tempered(1e-4).icdf(torch.tensor([0.1, 0.9]).double())
    assert torch.equal(cold, law.log_probs().argmax(-1))


def test_far_tails_are_finite_and_learn() -> None:
    location = torch.zeros(3, requires_grad=True)
    law = LogisticMixture(torch.zeros(3), location, torch.full((3,), -7.0), 256)
    values = torch.tensor([100, 254, 255])
    log_prob = LogisticMixture(law.logits, location.expand(3, 3), law.log_scale, 256).log_prob(
        values
    )
    assert torch.isfinite(log_prob).all()
    log_prob.sum().backward()
    assert location.grad is not None
    assert torch.isfinite(location.grad).all()
    assert (location.grad > 0).all()


def joint_of_the_paper(raw: np.ndarray, x: tuple[int, ...], levels: int, mixtures: int) -> float:
    """log P of a pixel by the formula of section 2.2, one component at a time, on [-1, 1]."""
    C = len(x)
    u = 2 * np.array(x) / (levels - 1) - 1
    rows = raw.reshape(-1, mixtures)
    weight = scipy.special.softmax(rows[0])
    total = 0.0
    for m in range(mixtures):
        coefficients, product = iter(rows[1 + 2 * C :, m]), 1.0
        for c in range(C):
            mean = rows[1 + c, m]
            for earlier in range(c):
                mean += np.tanh(next(coefficients)) * u[earlier]
            scale = np.exp(max(rows[1 + C + c, m] + USUAL, -7))
            plus = (u[c] - mean + 1 / (levels - 1)) / scale
            minus = (u[c] - mean - 1 / (levels - 1)) / scale
            upper = 1.0 if x[c] == levels - 1 else scipy.special.expit(plus)
            lower = 0.0 if x[c] == 0 else scipy.special.expit(minus)
            product *= upper - lower
        total += weight[m] * product
    return math.log(total)


def mixture_of(colours: int, levels: int, mixtures: int = 3) -> PixelMixture:
    return PixelMixture("logistic", Spec(shape=(colours, 1, 1), levels=levels), mixtures)


def scaled(x: torch.Tensor, levels: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return x.to(dtype) * (2 / (levels - 1)) - 1


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", LEVELS)
def test_the_product_over_colours_is_the_joint_of_the_paper(colours: int, levels: int) -> None:
    mixture = mixture_of(colours, levels)
    generator = torch.Generator().manual_seed(colours)
    raw = torch.randn(20, mixture.outputs, 1, 1, generator=generator, dtype=torch.float64)
    x = torch.randint(levels, (20, colours, 1, 1), generator=generator)
    x[0], x[1] = 0, levels - 1
    law = mixture(mixture.parameters(raw, scaled(x, levels)))
    found = law.log_prob(x).sum((1, 2, 3))
    pixels = (tuple(row) for row in x.flatten(1).tolist())
    expected = [
        joint_of_the_paper(r.flatten().numpy(), pixel, levels, mixture.components)
        for r, pixel in zip(raw, pixels, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)


@pytest.mark.parametrize(("colours", "levels"), [(3, 2), (2, 17), (3, 5), (1, 256)])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_the_joint_sums_to_one(colours: int, levels: int, size: float) -> None:
    mixture = mixture_of(colours, levels)
    raw = size * torch.randn(1, mixture.outputs, 1, 1, dtype=torch.float64)
    x = torch.tensor(list(itertools.product(range(levels), repeat=colours)))[:, :, None, None]
    law = mixture(mixture.parameters(raw.expand(len(x), -1, 1, 1), scaled(x, levels)))
    assert law.log_prob(x).sum((1, 2, 3)).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_levels_survive_scaling_in_float32() -> None:
    """The tails belong to the first and the last level, also after scaling has rounded."""
    for levels in range(2, 300):
        x = torch.arange(levels)
        assert torch.equal(
            whole_levels(scaled(x, levels, torch.float32), (levels - 1) / 2), x.float()
        )


def test_a_colour_depends_on_those_before_it_and_on_nothing_else() -> None:
    mixture = mixture_of(3, 17)
    raw = torch.randn(1, mixture.outputs, 1, 1, dtype=torch.float64)
    u = torch.rand(1, 3, 1, 1, dtype=torch.float64) * 2 - 1
    jacobian = torch.autograd.functional.jacobian(
        lambda v: mixture.parameters(raw, v)[0, :, 0, 0], u
    )
    depends = jacobian[..., 0, :, 0, 0].abs().amax(1) > 0
    assert torch.equal(depends, torch.ones(3, 3).tril(-1).bool())
    weights_only = jacobian[1:, : mixture.components, 0, 0, 0, 0]
    assert (weights_only != 0).any()


def test_the_scale_has_the_floor_of_the_paper() -> None:
    mixture = mixture_of(1, 256)
    raw = torch.full((1, mixture.outputs, 1, 1), -1e6)
    log_scale = mixture(mixture.parameters(raw, torch.zeros(1, 1, 1, 1))).log_scale
    assert log_scale.flatten().tolist() == pytest.approx([-7 + math.log(127.5)] * 3)


def test_half_precision_is_scored_in_float32() -> None:
    mixture = mixture_of(3, 256)
    raw = torch.randn(2, mixture.outputs, 1, 1).bfloat16()
    parameters = mixture.parameters(raw, torch.zeros(2, 3, 1, 1))
    assert parameters.dtype == torch.float32


def test_real_numbers_are_refused() -> None:
    with pytest.raises(SpecError, match="logistic"):
        PixelMixture("logistic", Spec(shape=(1, 2, 2)), 2)
