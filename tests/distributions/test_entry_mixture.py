"""Mixtures of Gaussians for single entries, against SciPy and quadrature."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.distributions import EntryGaussian, Likelihood
from genus.distributions.entry_mixture import EntryMixture
from genus.errors import SpecError
from genus.spec import Spec


def law_of(logits: list[float], locations: list[float], log_scales: list[float]) -> EntryMixture:
    return EntryMixture(*(torch.tensor(p).double() for p in (logits, locations, log_scales)))


TWO = law_of([0.3, -0.4], [-2.0, 1.5], [-0.5, 0.3])
LAWS = {
    "two": TWO,
    "one": law_of([5.0], [3.0], [1.0]),
    "far": law_of([0.0, 1.0, -3.0], [-200.0, 0.0, 500.0], [0.0, -4.0, 2.0]),
    "nested": law_of([0.0, 0.0], [1.0, 1.0], [-6.0, 3.0]),
    "rare": law_of([0.0, -25.0], [0.0, 1e4], [0.0, 0.0]),
}


def cdf(law: EntryMixture, x: np.ndarray) -> np.ndarray:
    """The distribution function by SciPy."""
    weight = law.logits.softmax(-1).numpy()
    scale = law.log_scale.exp().numpy()
    parts = scipy.stats.norm.cdf(x[..., None], law.location.numpy(), scale)
    return (weight * parts).sum(-1)


def wide(law: EntryMixture, n: int) -> EntryMixture:
    return EntryMixture(*(p.expand(n, -1) for p in (law.logits, law.location, law.log_scale)))


def grid(law: EntryMixture) -> torch.Tensor:
    """Points that are dense around each component."""
    z = torch.linspace(-12, 12, 20_001).double()
    return torch.cat([m + s.exp() * z for m, s in zip(law.location, law.log_scale, strict=True)])


def test_the_density_is_scipys() -> None:
    x = torch.linspace(-6, 6, 25).double()
    weight, scale = TWO.logits.softmax(-1).numpy(), TWO.log_scale.exp().numpy()
    parts = scipy.stats.norm.pdf(x.numpy()[:, None], TWO.location.numpy(), scale)
    np.testing.assert_allclose(TWO.log_prob(x).exp(), (weight * parts).sum(-1), rtol=1e-12)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_quantiles_are_those_of_the_distribution_function(law: EntryMixture) -> None:
    u = torch.cat([torch.linspace(0.001, 0.999, 301).double(), torch.tensor([1e-6, 1 - 1e-6])])
    x = wide(law, len(u)).icdf(u)
    np.testing.assert_allclose(cdf(law, x.numpy()), u.numpy(), rtol=0, atol=1e-12)


def test_the_quantiles_are_scipys_roots() -> None:
    u = torch.tensor([0.02, 0.3, 0.5, 0.77, 0.9999]).double()
    roots = [
        scipy.optimize.brentq(lambda x, v=v: cdf(TWO, np.array(x)) - v, -9, 9) for v in u.numpy()
    ]
    np.testing.assert_allclose(wide(TWO, 5).icdf(u), roots, rtol=0, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(-30, 30), st.floats(-1e3, 1e3), st.floats(-9, 9)),
        min_size=1,
        max_size=5,
    ),
    u=st.floats(2**-24, 1 - 2**-24),
)
def test_any_mixture_is_inverted(rows: list[tuple[float, float, float]], u: float) -> None:
    law = law_of(*map(list, zip(*rows, strict=True)))
    x = law.icdf(torch.tensor(u, dtype=torch.float64))
    # As close as a float64 x allows: one rounding to either side encloses u.
    step = 1e-13 * max(1.0, abs(x.item()))
    lower, upper = cdf(law, np.array(x.item() - step)), cdf(law, np.array(x.item() + step))
    assert lower - 1e-12 <= u <= upper + 1e-12


def test_the_tails_keep_their_digits() -> None:
    law = wide(law_of([0.0], [0.0], [0.0]), 2)
    u = torch.tensor([2.0**-24, 1 - 2.0**-24]).double()
    low, high = law.icdf(u).tolist()
    assert low == pytest.approx(-high, abs=1e-12)
    ends = law.icdf(torch.tensor([0.0, 1 - 2.0**-24]).double())
    assert torch.isfinite(ends).all()


def test_a_draw_does_not_depend_on_its_company() -> None:
    laws = list(LAWS.values())
    size = max(len(law.logits) for law in laws)

    def padded(name: str, value: float) -> torch.Tensor:
        rows = [torch.nn.functional.pad(getattr(law, name), (0, size)) for law in laws]
        table = torch.stack([row[:size] for row in rows])
        for row, law in zip(table, laws, strict=True):
            row[len(law.logits) :] = value
        return table

    every = EntryMixture(padded("logits", -60.0), padded("location", 0), padded("log_scale", 0))
    u = torch.tensor([0.4999, 0.1, 0.77, 0.5001, 0.99]).double()
    together = every.icdf(u)
    for i in range(len(laws)):
        parts = (every.logits, every.location, every.log_scale)
        alone = EntryMixture(*(p[i : i + 1] for p in parts)).icdf(u[i : i + 1])
        assert torch.equal(alone, together[i : i + 1])


def test_draws_follow_the_density() -> None:
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).double()
    x = wide(TWO, len(u)).icdf(u).numpy()
    assert scipy.stats.kstest(x, lambda v: cdf(TWO, v)).pvalue > 1e-3


def test_one_component_is_a_gaussian() -> None:
    mean, log_scale = torch.tensor([0.3, -4.0]).double(), torch.tensor([-0.5, 1.0]).double()
    gaussian = EntryGaussian(mean, log_scale)
    law = EntryMixture(torch.ones(2, 1).double(), mean[:, None], log_scale[:, None])
    u, x = torch.tensor([0.1, 0.9]).double(), torch.tensor([1.0, 2.0]).double()
    torch.testing.assert_close(law.icdf(u), gaussian.icdf(u), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(law.mean, mean)
    for temperature in (1.0, 0.3, 4.0):
        ours, theirs = law.tempered(temperature), gaussian.tempered(temperature)
        torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x))


@pytest.mark.parametrize("temperature", [0.25, 0.7, 3.0])
def test_tempered_is_the_power_of_the_density_where_components_are_apart(
    temperature: float,
) -> None:
    law = law_of([0.0, 0.5], [-40.0, 60.0], [0.0, 0.7])
    x = torch.linspace(-120, 140, 400_001).double()
    power = law.log_prob(x) / temperature
    expected = power - torch.trapezoid(power.exp(), x).log()
    close = (x - law.location[:, None]).abs().amin(0) < 8
    torch.testing.assert_close(law.tempered(temperature).log_prob(x)[close], expected[close])


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_tempered_laws_are_densities(law: EntryMixture, temperature: float) -> None:
    tempered = law.tempered(temperature)
    x = grid(tempered).unique()
    total = torch.trapezoid(tempered.log_prob(x).exp(), x)
    assert total.item() == pytest.approx(1, abs=1e-6)
    if temperature == 1:
        assert torch.equal(tempered.log_prob(x), law.log_prob(x))


def test_cold_draws_come_from_the_highest_peak() -> None:
    """The second component has less mass than the first and a higher peak."""
    law = law_of([0.0, -0.5], [-1.0, 2.0], [0.0, -2.0]).tempered(1e-4)
    x = wide(law, 3).icdf(torch.tensor([0.01, 0.5, 0.99]).double())
    torch.testing.assert_close(x, torch.full((3,), 2.0).double(), atol=0.02, rtol=0)


def test_the_mean_is_that_of_the_density() -> None:
    x = torch.linspace(-30, 30, 100_001).double()
    by_quadrature = torch.trapezoid(x * TWO.log_prob(x).exp(), x)
    assert TWO.mean.item() == pytest.approx(by_quadrature.item(), abs=1e-9)


def test_there_is_a_gradient_far_from_all_components() -> None:
    location = torch.tensor([-1.0, 1.0], requires_grad=True)
    law = EntryMixture(torch.zeros(2), location, torch.full((2,), -3.0))
    law.log_prob(torch.tensor(100.0)).backward()
    assert torch.isfinite(location.grad).all()
    assert location.grad[1] > 1


def test_the_likelihood_reads_logits_then_locations_then_scales() -> None:
    likelihood = Likelihood("gaussian-mixture", Spec(shape=(4,)), components=2)
    assert likelihood.width == 6
    law = likelihood(torch.tensor([0.0, math.log(3), -8.0, 8.0, 0.5, 0.7]))
    assert isinstance(law, EntryMixture)
    assert law.mean.item() == pytest.approx(4)
    assert law.log_scale.tolist() == pytest.approx([0.5, 0.7])
    with pytest.raises(SpecError, match="does not fit data with levels=3"):
        Likelihood("gaussian-mixture", Spec(shape=(4,), levels=3))
