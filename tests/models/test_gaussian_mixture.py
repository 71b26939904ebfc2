"""EM against scikit-learn, masses against quadrature and enumeration."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.mixture import GaussianMixture as Oracle

from genus.capabilities import FitContext
from genus.distributions.discretized_gaussian import DiscretizedGaussian
from genus.errors import ConfigError
from genus.models.gaussian_mixture import GaussianMixture, GaussianMixtureConfig
from genus.spec import Batch, Spec


def mixture(spec, **config):
    return GaussianMixture(spec, GaussianMixtureConfig(**config))


def clusters(n=400, dims=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centre = 3 * torch.randn(4, dims, generator=generator)
    shear = torch.randn(4, dims, dims, generator=generator)
    index = torch.randint(4, (n,), generator=generator)
    noise = torch.randn(n, dims, generator=generator)
    x = centre[index] + torch.einsum("nde,ne->nd", shear[index], noise)
    return x * 10.0 ** torch.arange(dims), index


def fit(model, x, y=None, seed=0):
    log = []
    context = FitContext(torch.Generator().manual_seed(seed), log=log.append)
    model.fit(lambda: [Batch(x, y)], context)
    return log


@pytest.mark.parametrize("covariance", ["full", "diag", "tied"])
def test_em_takes_the_steps_of_scikit_learn(covariance, monkeypatch):
    x = clusters()[0].double()
    z = (x - x.mean(0)) / x.std(0, correction=0)
    model = mixture(
        Spec(shape=(3,)), components=4, covariance=covariance, pseudo=0.0, min_scale=1e-6,
        iterations=12, tolerance=-1.0,
    ).double()  # fmt: skip
    model.begin(Batch(x), torch.Generator().manual_seed(0))
    if covariance == "diag":
        precision = torch.diag_embed((-2 * model.parts.log_scale_MD).exp()).numpy()
    else:
        precision = torch.linalg.inv(model.parts.covariance_CDD).numpy()
    weights = model.log_weight_YK.exp()[0].numpy()
    oracle = Oracle(
        4,
        covariance_type=covariance,
        reg_covar=0,
        tol=0,
        max_iter=12,
        weights_init=weights / weights.sum(),
        means_init=model.parts.mean_MD.numpy().copy(),
        precisions_init={
            "full": precision,
            "diag": np.stack([np.diag(matrix) for matrix in precision]),
            "tied": precision[0],
        }[covariance],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        oracle.fit(z.numpy())
    monkeypatch.setattr(model, "begin", lambda seen, generator: None)
    fit(model, x)
    unit = float(x.std(0, correction=0).log().sum())
    ours = float(model.log_prob(x).mean()) + unit
    assert ours == pytest.approx(float(oracle.score(z.numpy())), rel=1e-6)
    for criterion in ("aic", "bic"):
        expected = getattr(oracle, criterion)(z.numpy()) + 2 * len(x) * unit
        assert getattr(model, criterion)(Batch(x)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("pseudo", [0.0, 2.0])
@pytest.mark.parametrize("kind", ["full", "diag", "tied", "levels"])
def test_em_never_lowers_what_it_climbs(kind, pseudo):
    x = clusters()[0].double()
    spec = Spec(shape=(3,))
    if kind == "levels":
        z = (x - x.mean(0)) / x.std(0)
        x, spec = (8 + 4 * z).round().clamp(0, 16).long(), Spec(shape=(3,), levels=17)
    model = mixture(
        spec, components=5, covariance="auto" if kind == "levels" else kind, pseudo=pseudo,
        iterations=40, tolerance=-1.0,
    ).double()  # fmt: skip
    objective = np.array([entry["objective"] for entry in fit(model, x)])
    assert len(objective) == 40
    assert np.diff(objective).min() > -1e-9
    assert objective[-1] - objective[0] > 0.01


def test_levels_are_fitted_as_well_as_by_a_direct_search():
    law = stats.norm(2.2, 1.7)
    x = torch.from_numpy(law.rvs((2000, 1), random_state=0)).round().clamp(0, 4).long()
    model = mixture(
        Spec(shape=(1,), levels=5), components=1, pseudo=0.0, iterations=500, tolerance=1e-12
    ).double()
    fit(model, x)
    counts = torch.bincount(x[:, 0], minlength=5).double()
    best = max(
        float((counts * DiscretizedGaussian(mean, scale.log(), 5).log_probs()).sum())
        for mean in torch.linspace(1.8, 2.6, 81).double()
        for scale in torch.linspace(1.2, 2.2, 101).double()
    )
    assert float(model.log_prob(x).sum()) >= best - 1e-3


def test_masses_of_all_examples_sum_to_one():
    spec = Spec(shape=(1, 2, 2), levels=3, classes=2)
    x = torch.randint(3, (50, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    model = mixture(spec, components=3).double()
    fit(model, x, torch.arange(50) % 2)
    everything = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 1, 2, 2)
    for y in (None, torch.zeros(81).long(), torch.ones(81).long()):
        assert float(model.log_prob(everything, y).exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("mean", "scale"), [(3.2, 0.5), (3.0, 300.0), (-8.0, 0.4), (255.4, 30.0)])
def test_masses_and_moments_meet_quadrature(mean, scale):
    location = torch.tensor([mean], dtype=torch.float64)
    law = DiscretizedGaussian(location, torch.tensor([scale], dtype=torch.float64).log(), 256)
    assert float(law.log_probs().logsumexp(-1)) == pytest.approx(0, abs=1e-12)
    first, second = law.cell_moments()
    for level in (0, 1, 3, 128, 255):
        low = -math.inf if level == 0 else (level - 0.5 - mean) / scale
        high = math.inf if level == 255 else (level + 0.5 - mean) / scale
        mirrored = low + high > 0  # so that SciPy's distribution function does not cancel
        mass = stats.norm.cdf(-low) - stats.norm.cdf(-high) if mirrored else (
            stats.norm.cdf(high) - stats.norm.cdf(low)
        )  # fmt: skip
        if mass < 1e-250:
            continue
        assert float(law.log_probs()[0, level]) == pytest.approx(math.log(mass), rel=1e-9)
        near = min(max(0.0, low), high)
        v = np.linspace(max(low, near - 12), min(high, near + 12), 20_001)
        weight = np.exp(0.5 * (near**2 - v**2))
        weight /= integrate.simpson(weight, x=v)
        for power, ours in ((1, first), (2, second)):
            exact = integrate.simpson(v**power * weight, x=v)
            assert float(ours[0, level]) == pytest.approx(exact, rel=1e-6, abs=1e-8)


def test_far_tails_keep_their_logarithm():
    law = DiscretizedGaussian(torch.zeros(1), torch.zeros(1), 4000)
    # Mills' ratio: the mass beyond t is about phi(t) / t.
    t = 2999.5
    expected = -0.5 * t**2 - math.log(t * math.sqrt(2 * math.pi))
    assert float(law.log_prob(torch.tensor([3000]))) == pytest.approx(expected, rel=1e-6)


def test_classes_have_mixtures_of_their_own():
    x, index = clusters(800)
    model = mixture(Spec(shape=(3,), classes=4), components=2)
    fit(model, x, index)
    single = mixture(Spec(shape=(3,)), components=2)
    posterior = model.class_log_prob(x)
    assert float(posterior.exp().sum(1).sub(1).abs().max()) < 1e-5
    expected = torch.stack([model.log_prob(x, torch.full((800,), k)) for k in range(4)], 1)
    assert torch.allclose(posterior, (expected + model.log_prior_Y).log_softmax(1), atol=1e-4)
    assert float((posterior.argmax(1) == index).float().mean()) > 0.9
    fit(single, x)
    assert model.log_prob(x).mean() > single.log_prob(x).mean()


@pytest.mark.parametrize("covariance", ["full", "diag", "tied"])
def test_completion_of_reals_is_the_conditional(covariance):
    x = clusters()[0]
    model = mixture(Spec(shape=(3,)), components=3, covariance=covariance).double()
    fit(model, x)
    n, known = 20_000, torch.tensor([True, False, True])
    row = x[:1].double()
    done = model.complete(row.expand(n, 3), known, generator=torch.Generator().manual_seed(1))
    assert done.exact
    assert torch.equal(done.x[:, 0], row[0, 0].expand(n))
    # On a grid over the missing column the joint density, normalised, is the conditional.
    grid = torch.linspace(-300, 300, 20_001).double()
    points = row.repeat(len(grid), 1)
    points[:, 1] = grid
    density = model.log_prob(points).exp()
    evidence = torch.trapezoid(density, grid)
    cdf = torch.cumulative_trapezoid(density / evidence, grid)
    statistic = stats.kstest(done.x[:, 1].numpy(), lambda v: np.interp(v, grid[1:], cdf)).statistic
    assert statistic < 2 / math.sqrt(n)
    assert torch.allclose(done.log_prob, model.log_prob(done.x) - evidence.log(), atol=1e-4)


def test_completion_of_levels_is_the_conditional():
    x = torch.tensor([[0, 0, 1], [3, 3, 2], [0, 1, 0], [3, 2, 3]]).repeat(20, 1)
    model = mixture(Spec(shape=(3,), levels=4), components=2, pseudo=0.5).double()
    fit(model, x)
    n, known = 20_000, torch.tensor([True, False, True])
    seen = torch.tensor([[0, 0, 1]]).expand(n, 3)
    done = model.complete(seen, known, generator=torch.Generator().manual_seed(0))
    whole = model.log_prob(torch.tensor([[0, level, 1] for level in range(4)])).exp()
    expected = (whole / whole.sum()).numpy()
    counts = torch.bincount(done.x[:, 1], minlength=4).numpy()
    assert stats.chisquare(counts, n * expected).pvalue > 1e-4
    table = torch.from_numpy(np.log(expected))
    assert torch.allclose(done.log_prob, table[done.x[:, 1]], atol=1e-9)


def test_samples_of_reals_have_the_density():
    x = clusters()[0]
    model = mixture(Spec(shape=(3,)), components=3).double()
    fit(model, x)
    drawn = model.sample(4000, generator=torch.Generator().manual_seed(0))
    # The density of draws, seen through the model that drew: means and covariances agree.
    weight = model.log_weight_YK.exp()[0]
    mean = weight @ model.parts.mean_MD * model.parts.scale_D + model.parts.shift_D
    error = (drawn.mean(0) - mean) / (drawn.std(0) / math.sqrt(4000))
    assert float(error.abs().max()) < 4
    again = mixture(Spec(shape=(3,)), components=3).double()
    fit(again, drawn)
    assert float(again.log_prob(drawn).mean()) == pytest.approx(
        float(model.log_prob(drawn).mean()), abs=0.1
    )


def test_the_table_follows_the_parameters():
    model = mixture(Spec(shape=(2,), levels=4), components=2)
    x = torch.tensor([[0, 3]])
    before = model.log_prob(x)
    model.parts.mean_MD.add_(1.0)
    after = model.log_prob(x)
    assert not torch.equal(before, after)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    other = mixture(Spec(shape=(2,), levels=4), components=2)
    other.log_prob(x)
    other.load_state_dict(state)
    assert torch.equal(other.log_prob(x), after)
    assert model.double().log_prob(x).dtype == torch.float64


@pytest.mark.parametrize("levels", [None, 5])
def test_more_components_than_examples_and_constant_columns(levels):
    x = torch.tensor([[1, 2], [1, 2], [1, 3]])
    x = x if levels else x.float()
    for pseudo in (0.0, 2.0):
        model = mixture(Spec(shape=(2,), levels=levels), components=10, pseudo=pseudo)
        fit(model, x)
        assert torch.isfinite(model.log_prob(x)).all()
        assert torch.isfinite(model.sample(20).double()).all()


KINDS = ["full", "diag", "tied"]


@pytest.mark.parametrize("pseudo", [0.0, 2.0])
@pytest.mark.parametrize("covariance", KINDS)
def test_singular_data_end_at_the_floor(covariance, pseudo):
    x = clusters()[0][:, :2]
    # A copy of a column, a column that never varies, and more components than points in places.
    x = torch.cat([x, x[:, :1], torch.full((len(x), 1), 1e7)], 1)
    log = []
    model = mixture(
        Spec(shape=(4,)), components=30, covariance=covariance, pseudo=pseudo, iterations=30
    )
    context = FitContext(torch.Generator().manual_seed(0), log=log.append)
    model.fit(lambda: [Batch(x)], context)
    assert np.diff([entry["objective"] for entry in log]).min() > -1e-4
    assert torch.isfinite(model.log_prob(x)).all()
    assert torch.isfinite(model.sample(50)).all()
    if covariance != "diag":
        least = torch.linalg.eigvalsh(model.parts.covariance_CDD.double()).min()
        assert float(least) > 0.99 * 0.01**2
        assert pseudo or float(least) < 1.01 * 0.01**2
    # The column that never varies is still not certain: the floor holds in its own unit.
    other = x.clone()
    other[:, 3] += 1
    assert torch.isfinite(model.log_prob(other)).all()
    assert (model.log_prob(other) < model.log_prob(x)).all()


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_a_floor_below_the_digits_of_float32_holds(covariance):
    """Of a column and its copy the difference has a deviation of 1e-5, in what is stored too."""
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, x], 1)
    options = {"components": 2, "covariance": covariance, "min_scale": 1e-5, "pseudo": 0.0}
    model = mixture(Spec((6,)), **options)
    model.fit(lambda: [Batch(x)], FitContext(torch.Generator().manual_seed(0)))
    twin = mixture(Spec((6,)), **options)
    twin.load_state_dict(model.state_dict())
    least = torch.linalg.eigvalsh(twin.parts.covariance_CDD).amin(1)
    torch.testing.assert_close(least, torch.full_like(least, 1e-10), rtol=0.05, atol=0)
    assert twin.log_prob(x).isfinite().all()
    known = torch.tensor([True, False, True, False, True, True])
    assert twin.complete(x[:3], known.expand(3, 6)).x.isfinite().all()
    with pytest.raises(ConfigError, match=f"1e-07 is too small for a {covariance} covariance"):
        mixture(Spec((6,)), **{**options, "min_scale": 1e-7})


def test_an_empty_component_has_no_weight_and_stays():
    x = torch.tensor([[0.0], [0.0], [1.0]])
    model = mixture(Spec(shape=(1,)), components=4, pseudo=0.0, iterations=5)
    fit(model, x)
    weight = model.log_weight_YK[0].exp()
    assert float(weight.sum()) == pytest.approx(1)
    assert int((weight > 1e-6).sum()) == 2
    assert torch.isfinite(model.parts.mean_MD).all()


@pytest.mark.parametrize("covariance", KINDS)
def test_the_marginal_is_that_of_scipy(covariance):
    x = clusters()[0].double()
    model = mixture(Spec(shape=(3,)), components=3, covariance=covariance).double()
    fit(model, x)
    unit, shift = model.parts.scale_D, model.parts.shift_D
    if covariance == "diag":
        matrices = torch.diag_embed((2 * model.parts.log_scale_MD).exp())
    else:
        matrices = model.parts.covariance_CDD.expand(3, 3, 3)
    known = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]]).bool()
    holes = x[:5].masked_fill(~known, math.nan)
    found = model.marginal_log_prob(holes, known)
    for row in range(5):
        keep = known[row].nonzero().squeeze(1)
        density = 0.0 if len(keep) else 1.0
        for k in range(3):
            mean = (model.parts.mean_MD[k] * unit + shift)[keep].numpy()
            matrix = (matrices[k] * unit * unit.unsqueeze(1))[keep][:, keep].numpy()
            if len(keep):
                weight = float(model.log_weight_YK[0, k].exp())
                density += weight * stats.multivariate_normal(mean, matrix).pdf(x[row, keep])
        assert float(found[row]) == pytest.approx(math.log(density), abs=1e-9)


def test_wide_and_narrow_examples_are_counted_alike():
    from genus.distributions.gaussian_components import GaussianComponents
    from genus.distributions.moments import weighed_products

    z = torch.randn(30, 70, dtype=torch.float64)
    weight = torch.rand(30, 3, dtype=torch.float64)
    wide = GaussianComponents(3, 70).double().statistics(z, weight)["second"]
    assert torch.allclose(wide, weighed_products(z, weight))


@pytest.mark.parametrize("covariance", KINDS)
def test_the_totals_know_the_likelihood(covariance):
    x = clusters()[0].double()
    model = mixture(Spec(shape=(3,)), components=3, covariance=covariance).double()
    fit(model, x)
    share = model.features(x)
    total = model.parts.statistics(x, share)
    expected = float((share * model.parts.log_prob(x)).sum())
    assert float(model.parts.log_likelihood(total)) == pytest.approx(expected, rel=1e-9)


def test_options_that_cannot_be_used():
    with pytest.raises(ConfigError, match="needs real data"):
        mixture(Spec(shape=(2,), levels=4), covariance="full")
    with pytest.raises(ConfigError, match="pseudo=-1"):
        mixture(Spec(shape=(2,)), pseudo=-1)
    with pytest.raises(ConfigError, match="components=0"):
        mixture(Spec(shape=(2,)), components=0)
