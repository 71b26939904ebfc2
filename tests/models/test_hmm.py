"""Hidden Markov models against the sum over all paths, quadrature and hmmlearn."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from genus.capabilities import FitContext
from genus.distributions.level_components import CategoricalComponents
from genus.errors import ConfigError, DataError, SpecError
from genus.models.hmm import HMM, HMMConfig
from genus.spec import Batch, Spec

KINDS = [
    (Spec(shape=(4,), levels=3), {}),
    (Spec(shape=(1, 4, 2), levels=2), {"components": 2}),
    (Spec(shape=(2, 3, 1), levels=3), {"emission": "discretized"}),
    (Spec(shape=(1, 4, 2)), {"emission": "full"}),
    (Spec(shape=(1, 4, 2)), {"emission": "diag", "components": 2}),
    (Spec(shape=(5,)), {"emission": "tied"}),
    (Spec(shape=(5,), levels=2, classes=2), {}),
    (Spec(shape=(4,), levels=3), {"topology": "left-to-right"}),
    (Spec(shape=(1,), levels=4), {}),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(spec, n=60, seed=0):
    shape = (n, *spec.shape)
    if spec.levels is None:
        x = torch.randn(shape, generator=generator(seed), dtype=torch.float64).cumsum(1)
    else:
        x = torch.randint(spec.levels, shape, generator=generator(seed))
    return x, None if spec.classes is None else torch.arange(n) % spec.classes


def fitted(spec, x=None, y=None, *, known=None, seed=0, log=None, **config):
    if x is None:
        x, y = data(spec)
    model = HMM(spec, HMMConfig(**{"states": 3, "iterations": 4, **config})).double()
    log = [] if log is None else log
    model.fit(lambda: [Batch(x, y, known)], FitContext(generator(seed), log=log.append))
    return model


def paths(model, x, label=0):
    """Return every path ``(P, T)`` and log p(x, path | label) ``(B, P)``, step by step."""
    start, step = model.log_start_YS[label], model.log_step_YSS[label]
    states, k = model.log_weight_YSK.shape[1:]
    every = torch.tensor(list(itertools.product(range(states), repeat=model.steps)))
    emitted = torch.zeros(len(x), model.steps, states, dtype=torch.float64)
    for t in range(model.steps):
        row = x[:, t : t + 1] if x.dim() == 2 else x[:, :, t].flatten(1)
        parts = model.parts.log_prob(row).view(len(x), -1, states, k)[:, label]
        emitted[:, t] = (parts + model.log_weight_YSK[label]).logsumexp(-1)
    total = start[every[:, 0]].repeat(len(x), 1)
    for t in range(model.steps):
        total = total + emitted[:, t, every[:, t]]
        if t:
            total = total + step[every[:, t - 1], every[:, t]]
    return every, total


@pytest.mark.parametrize(("spec", "config"), KINDS)
def test_everything_agrees_with_the_sum_over_all_paths(spec, config):
    model, (x, y) = fitted(spec, **config), data(spec, 8, seed=1)
    labels = range(spec.classes or 1)
    joint = []
    for label in labels:
        given = None if y is None else torch.full_like(y, label)
        every, total = paths(model, x, label)
        assert torch.allclose(model.log_prob(x, given), total.logsumexp(1), rtol=1e-9)
        best, where = total.max(1)
        path, log_prob = model.viterbi(x, given)
        assert torch.allclose(log_prob, best, rtol=1e-9)
        assert torch.equal(path, every[where] + 3 * label)
        share = total.softmax(1)
        for t in range(model.steps):
            expected = torch.zeros(len(x), 3, dtype=torch.float64)
            expected.index_add_(1, every[:, t], share)
            found = model.posterior(x, given)[:, t, 3 * label : 3 * label + 3]
            assert torch.allclose(found, expected, atol=1e-9)
        prior = 0.0 if y is None else model.log_prior_Y[label]
        joint.append(total + prior)
    whole = torch.cat(joint, 1)
    assert torch.allclose(model.log_prob(x), whole.logsumexp(1), rtol=1e-9)
    assert torch.allclose(model.viterbi(x)[1], whole.amax(1), rtol=1e-9)
    assert torch.allclose(model.posterior(x).sum(2), torch.ones(8, model.steps).double())
    assert torch.allclose(model.features(x), model.posterior(x).mean(1))


@pytest.mark.parametrize("prior", [0.0, 1.0])
@pytest.mark.parametrize(("spec", "config"), KINDS)
def test_em_never_lowers_what_it_climbs(spec, config, prior):
    log = []
    fitted(spec, prior=prior, pseudo=prior, iterations=25, tolerance=-1.0, log=log, **config)
    objective = np.array([entry["objective"] for entry in log])
    assert len(objective) == 25
    assert np.diff(objective).min() > -1e-9


@pytest.mark.parametrize("topology", ["ergodic", "left-to-right"])
def test_both_ways_to_add_paths_agree(topology):
    spec = Spec(shape=(1, 6, 2))
    model, (x, _) = fitted(spec, topology=topology), data(spec, 20)
    chain = model.chain()
    assert chain.dense == (topology == "ergodic")
    chain.dense = False
    emission = model._emission(model._components(x, None))[:, :, 0]
    length = torch.full((20,), 6)
    for slow, fast in zip(
        chain.expected(emission, length), model.chain().expected(emission, length), strict=True
    ):
        assert torch.allclose(slow, fast, rtol=1e-9, atol=1e-12)


def test_a_path_that_is_a_thousand_nats_behind_is_not_lost():
    model = HMM(Spec(shape=(3,)), HMMConfig(states=2, topology="left-to-right")).double()
    model.parts.mean_MD.copy_(torch.tensor([[0.0], [60.0]]))
    x = torch.tensor([[0.0, 60.0, -60.0]])  # only a chain that never moved explains the end
    _, total = paths(model, x)
    assert torch.allclose(model.log_prob(x), total.logsumexp(1))
    chain = model.chain()
    chain.dense = True  # the test can fail
    emission = model._emission(model._components(x, None))[:, :, 0]
    assert float(chain.log_prob(emission)) < float(total.logsumexp(1)) - 1000


# -- hmmlearn ------------------------------------------------------------------------------------


def oracle_of(model, kind, **options):
    hmm = pytest.importorskip("hmmlearn.hmm")
    oracle = getattr(hmm, kind)(
        model.config.states, n_iter=1, tol=-np.inf, init_params="", **options
    )
    oracle.startprob_ = model.log_start_YS[0].exp().numpy()
    oracle.startprob_ /= oracle.startprob_.sum()
    oracle.transmat_ = model.log_step_YSS[0].exp().numpy()
    oracle.transmat_ /= oracle.transmat_.sum(1, keepdims=True)
    return oracle


def flat(x):
    return (
        x.transpose(1, 2).flatten(2).flatten(0, 1).numpy()
        if x.dim() == 4
        else x.view(-1, 1).numpy()
    )


def one_step(model, x, monkeypatch):
    monkeypatch.setattr(model, "begin", lambda seen, generator: None)
    model.iterations = 1
    model.fit(lambda: [Batch(x[:25]), Batch(x[25:])])


def unit(model):
    """Return the log of the columns' units, which hmmlearn was not told."""
    return model.steps * float(model.parts.scale_D.log().sum())


def standardised(model, x):
    return torch.from_numpy(flat(x)).sub(model.parts.shift_D).div(model.parts.scale_D).numpy()


@pytest.mark.filterwarnings("ignore")
def test_a_step_of_levels_is_that_of_hmmlearn(monkeypatch):
    spec = Spec(shape=(7,), levels=5)
    x = data(spec)[0]
    model = fitted(spec, pseudo=0.0, prior=0.0, iterations=3)
    oracle = oracle_of(model, "CategoricalHMM", params="ste", n_features=5)
    oracle.emissionprob_ = model.parts.log_mass_EM.exp().T.numpy()
    assert float(model.log_prob(x).sum()) == pytest.approx(
        oracle.score(flat(x), [7] * 60), rel=1e-9
    )
    posterior = oracle.predict_proba(flat(x), [7] * 60)
    assert np.allclose(model.posterior(x).flatten(0, 1).numpy(), posterior, atol=1e-9)
    assert np.array_equal(model.viterbi(x)[0].flatten().numpy(), oracle.predict(flat(x), [7] * 60))
    one_step(model, x, monkeypatch)
    oracle.fit(flat(x), [7] * 60)
    assert np.allclose(model.log_step_YSS[0].exp().numpy(), oracle.transmat_, atol=1e-9)
    assert np.allclose(model.log_start_YS[0].exp().numpy(), oracle.startprob_, atol=1e-9)
    assert np.allclose(model.parts.log_mass_EM.exp().T.numpy(), oracle.emissionprob_, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["full", "diag", "tied"])
def test_a_step_of_gaussians_is_that_of_hmmlearn(kind, monkeypatch):
    spec = Spec(shape=(1, 6, 2))
    x = data(spec)[0]
    model = fitted(spec, emission=kind, pseudo=0.0, prior=0.0, min_scale=1e-6, iterations=3)
    z = standardised(model, x)
    options = {"covars_prior": 0, "covars_weight": 1, "min_covar": 0}  # nothing but the data
    oracle = oracle_of(model, "GaussianHMM", covariance_type=kind, params="stmc", **options)
    oracle.means_ = model.parts.mean_MD.numpy().copy()
    if kind == "diag":
        oracle.covars_ = (2 * model.parts.log_scale_MD).exp().numpy()
    else:
        covariance = model.parts.covariance_CDD.numpy().copy()
        oracle.covars_ = covariance[0] if kind == "tied" else covariance
    ours = float(model.log_prob(x).sum()) + len(x) * unit(model)
    assert ours == pytest.approx(oracle.score(z, [6] * 60), rel=1e-9)
    one_step(model, x, monkeypatch)
    oracle.fit(z, [6] * 60)
    assert np.allclose(model.log_step_YSS[0].exp().numpy(), oracle.transmat_, atol=1e-9)
    assert np.allclose(model.parts.mean_MD.numpy(), oracle.means_, atol=1e-9)
    ours = float(model.log_prob(x).sum()) + len(x) * unit(model)  # and so are the covariances
    assert ours == pytest.approx(oracle.score(z, [6] * 60), rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_a_step_of_mixtures_is_that_of_hmmlearn(monkeypatch):
    spec = Spec(shape=(1, 6, 2))
    x = data(spec)[0]
    model = fitted(
        spec, emission="diag", components=2, pseudo=0.0, prior=0.0, min_scale=1e-6, iterations=3
    )
    z = standardised(model, x)
    oracle = oracle_of(model, "GMMHMM", n_mix=2, covariance_type="diag", params="stmw", min_covar=0)
    oracle.weights_ = model.log_weight_YSK[0].exp().numpy()
    oracle.means_ = model.parts.mean_MD.view(3, 2, 2).numpy().copy()
    oracle.covars_ = (2 * model.parts.log_scale_MD).exp().view(3, 2, 2).numpy()
    ours = float(model.log_prob(x).sum()) + len(x) * unit(model)
    assert ours == pytest.approx(oracle.score(z, [6] * 60), rel=1e-9)
    one_step(model, x, monkeypatch)
    oracle.fit(z, [6] * 60)
    assert np.allclose(model.log_step_YSS[0].exp().numpy(), oracle.transmat_, atol=1e-8)
    assert np.allclose(model.log_weight_YSK[0].exp().numpy(), oracle.weights_, atol=1e-8)
    assert np.allclose(model.parts.mean_MD.view(3, 2, 2).numpy(), oracle.means_, atol=1e-8)


# -- sequences of unequal length, and with gaps ----------------------------------------------------


def ragged(spec, n=40):
    x = data(spec, n)[0]
    length = torch.arange(n) % model_steps(spec) + 1
    place = torch.arange(model_steps(spec))
    known = place < length.unsqueeze(1)
    return x, length, known


def model_steps(spec):
    return spec.shape[0] if len(spec.shape) == 1 else spec.shape[1]


@pytest.mark.filterwarnings("ignore")
def test_sequences_of_unequal_length_are_those_of_hmmlearn(monkeypatch):
    spec = Spec(shape=(6,), levels=4)
    x, length, known = ragged(spec)
    model = fitted(spec, x, known=known, pseudo=0.0, prior=0.0, iterations=3)
    oracle = oracle_of(model, "CategoricalHMM", params="ste", n_features=4)
    oracle.emissionprob_ = model.parts.log_mass_EM.exp().T.numpy()
    rows = x[known].view(-1, 1).numpy()
    ours = float(model.marginal_log_prob(x, known).sum())
    assert ours == pytest.approx(oracle.score(rows, length.tolist()), rel=1e-9)
    monkeypatch.setattr(model, "begin", lambda seen, generator: None)
    model.iterations = 1
    model.fit(lambda: [Batch(x[:9], None, known[:9]), Batch(x[9:], None, known[9:])])
    oracle.fit(rows, length.tolist())
    assert np.allclose(model.log_step_YSS[0].exp().numpy(), oracle.transmat_, atol=1e-9)
    assert np.allclose(model.parts.log_mass_EM.exp().T.numpy(), oracle.emissionprob_, atol=1e-9)


def test_what_stands_at_missing_steps_does_not_matter():
    spec = Spec(shape=(1, 6, 2))
    x, _, known = ragged(spec)
    known = known.view(40, 1, 6, 1).expand(x.shape)
    strange = torch.where(known, x, math.nan)
    models = [fitted(spec, data, known=known) for data in (x, strange)]
    states = [model.state_dict() for model in models]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_gaps_are_climbed_over():
    spec, log = Spec(shape=(6,), levels=3), []
    x = data(spec)[0]
    known = torch.rand(x.shape, generator=generator(3)) < 0.6
    known[:, 2] = True
    model = fitted(
        spec, x, known=known, pseudo=0.0, prior=0.0, iterations=20, tolerance=-1.0, log=log
    )
    nats = np.array([entry["nats"] for entry in log])
    assert np.diff(nats).min() > -1e-9
    assert float(model.marginal_log_prob(x, known).mean()) >= nats[-1]


def test_many_sequences_are_not_one_long_one():
    alternating = torch.tensor([[0, 1], [0, 1]]).repeat(20, 1)
    model = fitted(
        Spec(shape=(2,), levels=2), alternating, states=2, iterations=50, pseudo=0.0, prior=0.0
    )
    assert float(model.log_prob(alternating[:1])) == pytest.approx(0, abs=1e-3)
    # Joined, the end of one would be followed by the start of the next.
    state = model.viterbi(alternating[:1])[0][0]
    assert float(model.log_step_YSS[0, state[0], state[1]].exp()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("prior", [0.0, 2.0])
def test_a_state_that_is_never_left_keeps_the_prior(prior):
    spec = Spec(shape=(1,), levels=3)  # sequences of one step: nothing ever follows
    x = data(spec)[0]
    model = HMM(spec, HMMConfig(states=2, prior=prior, pseudo=0.0)).double()
    model.begin = lambda seen, generator: None
    before = model.log_step_YSS.clone()
    model.fit(lambda: [Batch(x)])
    assert torch.allclose(model.log_step_YSS, before)
    assert float(model.log_prob(torch.arange(3).view(3, 1)).exp().sum()) == pytest.approx(1)


# -- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "config"), [KINDS[0], KINDS[6], KINDS[7]])
def test_samples_and_completions_follow_the_law(spec, config):
    model, n = fitted(spec, **config), 20_000
    levels, dims = spec.levels, spec.dims
    everything = torch.tensor(list(itertools.product(range(levels), repeat=dims)))
    law = model.log_prob(everything).exp()
    place = levels ** torch.arange(dims - 1, -1, -1)
    drawn = model.sample(n, generator=generator())
    counts = torch.bincount((drawn * place).sum(1), minlength=len(law)).numpy()
    likely = law.numpy() > 5 / n
    expected = n * law.numpy()[likely]
    assert (
        stats.chisquare(counts[likely], expected * counts[likely].sum() / expected.sum()).pvalue
        > 1e-4
    )
    known = torch.arange(dims) % 2 == 0
    done = model.complete(everything[:1].expand(n, dims), known, generator=generator())
    agrees = ((everything == everything[0]) | ~known).all(1)
    conditional = (law * agrees / law[agrees].sum()).numpy()
    counts = torch.bincount((done.x * place).sum(1), minlength=len(law)).numpy()
    likely = conditional > 5 / n
    expected = n * conditional[likely]
    assert (
        stats.chisquare(counts[likely], expected * counts[likely].sum() / expected.sum()).pvalue
        > 1e-4
    )
    index = (done.x * place).sum(1)
    assert torch.allclose(done.log_prob.exp(), torch.from_numpy(conditional)[index], atol=1e-9)


def test_real_completions_are_the_conditional():
    spec, n = Spec(shape=(1, 3, 2)), 20_000
    model, x = fitted(spec), data(spec, 1)[0]
    known = torch.ones(1, 3, 2, dtype=torch.bool)
    known[0, 1, 0] = False
    done = model.complete(x.expand(n, 1, 3, 2), known, generator=generator())
    grid = torch.linspace(-20, 20, 20_001).double()
    points = x.repeat(len(grid), 1, 1, 1)
    points[:, 0, 1, 0] = grid
    density = model.log_prob(points).exp()
    evidence = torch.trapezoid(density, grid)
    assert float(model.marginal_log_prob(x, known)[0]) == pytest.approx(
        float(evidence.log()), abs=1e-5
    )
    cdf = torch.cumulative_trapezoid(density / evidence, grid)
    found = stats.kstest(done.x[:, 0, 1, 0].numpy(), lambda v: np.interp(v, grid[1:], cdf))
    assert found.statistic < 2 / math.sqrt(n)


def test_an_image_is_read_row_by_row():
    spec = Spec(shape=(2, 3, 4), levels=5)
    model = HMM(spec, HMMConfig(states=2))
    x = torch.arange(24).view(1, 2, 3, 4) % 5
    steps = model._split(x)
    assert torch.equal(steps[1], torch.cat([x[0, 0, 1], x[0, 1, 1]]))
    assert torch.equal(model._joined_steps(steps), x)


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_with_default_options_leaves_its_first_plateau(seed):
    x = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).repeat(20, 1)
    model = HMM(Spec(shape=(6,), levels=2), HMMConfig(states=2, pseudo=0, prior=0))
    model.fit(lambda: [Batch(x)], FitContext(generator(seed)))
    # Half for the first symbol, and one change in five steps: the maximum for two states.
    best = math.log(0.5) + 4 * math.log(0.8) + math.log(0.2)
    assert float(model.log_prob(x).mean()) == pytest.approx(best, abs=0.02)


# -- what a user may do ---------------------------------------------------------------------------


def test_any_components_may_be_emitted():
    spec = Spec(shape=(4,), levels=6)
    emission = CategoricalComponents(6, 1, 6)
    model = HMM(spec, HMMConfig(states=3), emission=emission)
    model.fit(lambda: [Batch(data(spec)[0])], FitContext(generator()))
    assert model.log_weight_YSK.shape == (1, 3, 2)
    assert model.parts is emission
    with pytest.raises(ConfigError, match="a multiple of 3"):
        HMM(spec, HMMConfig(states=3), emission=CategoricalComponents(4, 1, 6))
    with pytest.raises(ConfigError, match="of 1 "):
        HMM(spec, HMMConfig(states=3), emission=CategoricalComponents(3, 2, 6))


def test_parameters_are_counted():
    spec = Spec(shape=(1, 4, 2), classes=2)
    gaussian = HMM(spec, HMMConfig(states=3, components=2))
    # Of a class: start, steps, weights; means and triangles of 6 Gaussians in two dimensions.
    assert gaussian.free_parameters() == 2 * (2 + 6 + 3 + 6 * (2 + 3)) + 1
    chain = HMM(Spec(shape=(4,), levels=5), HMMConfig(states=3, topology="left-to-right"))
    assert chain.free_parameters() == 2 + 3 * 4


def test_what_cannot_be_used_is_refused():
    spec = Spec(shape=(4,), levels=3)
    x = data(spec, 4)[0]
    known = torch.ones(4, 4, dtype=torch.bool)
    known[2] = False
    with pytest.raises(DataError, match="1 of 4 sequences have length 0"):
        fitted(spec, x, known=known)
    pairs = Spec(shape=(1, 4, 2), levels=3)
    half = torch.ones(4, 1, 4, 2, dtype=torch.bool)
    half[0, 0, 0, 0] = False
    with pytest.raises(DataError, match="known in part"):
        fitted(pairs, data(pairs, 4)[0], known=half)
    with pytest.raises(ConfigError, match="emission='full' needs real data"):
        HMM(spec, HMMConfig(emission="full"))
    with pytest.raises(ConfigError, match="emission='categorical' needs levels"):
        HMM(Spec(shape=(4,)), HMMConfig(emission="categorical"))
    with pytest.raises(ConfigError, match="states=0"):
        HMMConfig(states=0)
    with pytest.raises(ConfigError, match="prior=-1"):
        HMMConfig(prior=-1)
    with pytest.raises(SpecError, match="boolean mask"):
        fitted(spec).marginal_log_prob(x, known.long())
