"""Mixtures and independent entries that are fitted to data of which entries are missing."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.naive_bayes import GaussianNB

from genus import Spec, create
from genus.capabilities import FitContext
from genus.distributions.moments import by_mask, expected_moments
from genus.families.mixture import kmeans
from genus.spec import Batch

KINDS = ("full", "diag", "tied")
OPTIONS = {
    "gaussian-mixture": {"components": 3, "iterations": 15},
    "bernoulli-mixture": {"components": 3, "iterations": 15},
    "independent": {},
    "naive-bayes": {},
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def fitted(model, x, y=None, known=None, seed=0):
    log = []
    model.fit(lambda: [Batch(x, y, known)], FitContext(generator(seed), log=log.append))
    return log


def clusters(n=300, dims=4, seed=0, share=0.3):
    """Return Gaussian clusters in float64, their numbers, and a mask that knows most of them."""
    draw = generator(seed)
    centre = 4 * torch.randn(3, dims, generator=draw, dtype=torch.float64)
    shear = torch.randn(3, dims, dims, generator=draw, dtype=torch.float64)
    index = torch.randint(3, (n,), generator=draw)
    noise = torch.randn(n, dims, generator=draw, dtype=torch.float64)
    x = (centre[index] + torch.einsum("nde,ne->nd", shear[index], noise)) * 10.0 ** torch.arange(
        dims
    )
    known = torch.rand(n, dims, generator=draw) >= share
    known[:, 0] |= ~known.any(1)
    return x, index, known


def levels_of(x, count=5):
    z = (x - x.mean(0)) / x.std(0)
    return ((z + 2) / 4 * count).long().clamp(0, count - 1)


def plain_step(x_ND, known_ND, weight_M, mean_MD, covariance_MDD, covariance):
    """One step of EM for Gaussians of which entries are missing, row by row (Ghahramani 1994)."""
    n, dims = x_ND.shape
    count = len(weight_M)
    share = np.zeros((n, count))
    nats = 0.0
    for row in range(n):
        k = known_ND[row]
        for m in range(count):
            law = stats.multivariate_normal(mean_MD[m, k], covariance_MDD[m][np.ix_(k, k)])
            share[row, m] = math.log(weight_M[m]) + law.logpdf(x_ND[row, k])
        top = share[row].max()
        total = top + math.log(np.exp(share[row] - top).sum())
        nats += total
        share[row] = np.exp(share[row] - total)
    filled = np.zeros((n, count, dims))
    spread = np.zeros((n, count, dims, dims))
    for row in range(n):
        k, u = known_ND[row], ~known_ND[row]
        for m in range(count):
            matrix = covariance_MDD[m]
            gain = matrix[np.ix_(u, k)] @ np.linalg.inv(matrix[np.ix_(k, k)])
            filled[row, m, k] = x_ND[row, k]
            filled[row, m, u] = mean_MD[m, u] + gain @ (x_ND[row, k] - mean_MD[m, k])
            spread[row, m][np.ix_(u, u)] = matrix[np.ix_(u, u)] - gain @ matrix[np.ix_(k, u)]
    size = share.sum(0)
    if covariance == "diag":  # only the component is hidden, so each entry counts its own rows
        weight = np.einsum("nm,nd->md", share, known_ND)
        zeros = np.where(known_ND, x_ND, 0)
        mean = share.T @ zeros / weight
        offset = np.where(known_ND[:, None], x_ND[:, None] - mean, 0)
        variance = np.einsum("nm,nmd->md", share, offset**2) / weight
        return size / n, mean, np.stack([np.diag(row) for row in variance]), nats / n
    mean = np.einsum("nm,nmd->md", share, filled) / size[:, None]
    offset = filled - mean
    scatter = np.einsum("nm,nmd,nme->mde", share, offset, offset)
    scatter += np.einsum("nm,nmde->mde", share, spread)
    if covariance == "tied":
        matrices = np.repeat(scatter.sum(0, keepdims=True) / n, count, 0)
    else:
        matrices = scatter / size[:, None, None]
    return size / n, mean, matrices, nats / n


def law_of(model):
    """Return weights, means and covariances of a Gaussian mixture in the unit of its columns."""
    parts = model.parts
    shift, scale = parts.shift_D.numpy(), parts.scale_D.numpy()
    mean = parts.mean_MD.numpy() * scale + shift
    if hasattr(parts, "log_scale_MD"):
        matrices = torch.diag_embed((2 * parts.log_scale_MD).exp()).numpy()
    else:
        matrices = parts.covariance_CDD.expand(parts.count, -1, -1).numpy()
    return model.log_weight_YK[0].exp().numpy(), mean, matrices * np.outer(scale, scale)


@pytest.mark.parametrize("covariance", KINDS)
def test_steps_are_those_of_em_written_plainly(covariance):
    x, _, known = clusters(60)
    spec = Spec(shape=(4,))
    options = {"components": 3, "covariance": covariance, "pseudo": 0.0, "min_scale": 1e-6}
    model = create("gaussian-mixture", spec, **options, iterations=1).double()
    batch = Batch(x, None, known)
    model.begin(batch, generator())
    expected = law_of(model)
    for _ in range(3):
        *expected, nats = plain_step(x.numpy(), known.numpy(), *expected[:3], covariance)
        total = {"count": torch.tensor(60.0), **model.statistics(batch)}
        assert model.update(total)["nats"] == pytest.approx(nats, abs=1e-9)
        for found, wanted in zip(law_of(model), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)


def test_masks_are_told_apart_however_wide():
    known = torch.rand(50, 70, generator=generator()) < 0.5
    known[20:40] = known[:20]
    known[45] = known[44]
    known[45, 69] = ~known[45, 69]
    found = {tuple(rows.tolist()): columns for rows, columns in by_mask(known)}
    assert len(found) == 30
    assert sorted(row for rows in found for row in rows) == list(range(50))
    for rows, columns in found.items():
        for row in rows:
            assert torch.equal(known[row].nonzero().squeeze(1), columns)
    assert list(by_mask(known[:0])) == []


@pytest.mark.parametrize("tied", [False, True])
def test_expected_moments_are_those_of_draws(tied):
    draw = np.random.default_rng(0)
    root = draw.normal(size=(1 if tied else 2, 3, 3))
    matrices = root @ root.transpose(0, 2, 1) + np.eye(3)
    mean, weight = draw.normal(size=(2, 3)), draw.random((5, 2))
    z, known = draw.normal(size=(5, 3)), draw.random((5, 3)) < 0.5
    known[0], known[1] = True, False
    first, second = np.zeros((2, 3)), np.zeros((2, 3, 3))
    for row in range(5):
        k, u = known[row], ~known[row]
        for m in range(2):
            matrix = matrices[0 if tied else m]
            gain = matrix[np.ix_(u, k)] @ np.linalg.inv(matrix[np.ix_(k, k)])
            filled, rest = z[row].copy(), np.zeros((3, 3))
            filled[u] = mean[m, u] + gain @ (z[row, k] - mean[m, k])
            rest[np.ix_(u, u)] = matrix[np.ix_(u, u)] - gain @ matrix[np.ix_(k, u)]
            first[m] += weight[row, m] * filled
            second[m] += weight[row, m] * (np.outer(filled, filled) + rest)
    strange = np.where(known, z, math.nan)
    tensors = (torch.from_numpy(part) for part in (strange, weight, known, mean, matrices))
    found = expected_moments(*tensors)
    np.testing.assert_allclose(found[0], first, atol=1e-12)
    np.testing.assert_allclose(found[1], second, atol=1e-12)


CASES = [
    *(("gaussian-mixture", None, {"covariance": kind, "components": 3}) for kind in KINDS),
    ("gaussian-mixture", 5, {"components": 3}),
    ("bernoulli-mixture", 5, {"components": 3}),
    ("bernoulli-mixture", 2, {"components": 3}),
    ("bernoulli-mixture", 40, {"components": 3}),
]


@pytest.mark.parametrize("pseudo", [0.0, 2.0])
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize(("name", "levels", "options"), CASES)
def test_what_is_climbed_never_falls(name, levels, options, classes, pseudo):
    x, y, known = clusters(200, share=0.4)
    x = x if levels is None else levels_of(x, levels)
    spec = Spec(shape=(4,), levels=levels, classes=classes)
    more = {"iterations": 25, "tolerance": -1.0, "pseudo": pseudo}
    model = create(name, spec, **options, **more).double()
    log = fitted(model, x, y if classes else None, known)
    climbed = torch.tensor([line["objective"] for line in log])
    assert len(climbed) == 25
    assert float((climbed[1:] - climbed[:-1]).min()) > -1e-9
    labels = y if classes else None
    assert float(model.marginal_log_prob(x, known, labels).mean()) >= log[-1]["nats"] - 1e-3


ALL = [
    *CASES,
    ("independent", None, {}),
    ("independent", 5, {}),
    ("naive-bayes", None, {}),
    ("naive-bayes", 2, {}),
    ("naive-bayes", 40, {}),
]


@pytest.mark.parametrize(("name", "levels", "options"), ALL)
def test_nothing_missing_is_the_fit_that_it_always_was(name, levels, options):
    x, y, _ = clusters(100)
    x = x if levels is None else levels_of(x, levels)
    spec = Spec(shape=(4,), levels=levels, classes=3)
    states = []
    for known in (None, torch.ones_like(x, dtype=torch.bool)):
        model = create(name, spec, **options).double()
        fitted(model, x, y, known)
        states.append(model.state_dict())
    for key, value in states[0].items():
        assert torch.allclose(value, states[1][key], atol=1e-12), key


@pytest.mark.parametrize(("name", "levels", "options"), ALL)
def test_what_stands_at_missing_entries_is_not_looked_at(name, levels, options):
    x, y, known = clusters(100)
    x = x if levels is None else levels_of(x, levels)
    spec = Spec(shape=(4,), levels=levels, classes=3)
    states = []
    for strange in (0, math.nan if levels is None else -7):
        model = create(name, spec, **options)
        fitted(model.double(), torch.where(known, x, strange), y, known)
        states.append(model.state_dict())
        assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@pytest.mark.parametrize(("name", "levels", "options"), ALL)
def test_batches_of_any_size_with_and_without_masks_give_the_same(name, levels, options):
    x, y, known = clusters(100)
    known[:40] = True
    x = x if levels is None else levels_of(x, levels)
    spec = Spec(shape=(4,), levels=levels, classes=3)
    parts = [Batch(x[:40], y[:40]), Batch(x[40:70], y[40:70], known[40:70])]
    parts.append(Batch(x[70:], y[70:], known[70:]))
    states = []
    for batches in ([Batch(x, y, known)], parts):
        model = create(name, spec, **options).double()
        model.fit(lambda batches=batches: batches, FitContext(generator()))
        states.append(model.state_dict())
    for key, value in states[0].items():
        assert torch.allclose(value, states[1][key], atol=1e-9), key


@pytest.mark.parametrize("classes", [None, 3])
def test_frequencies_are_those_of_the_known(classes):
    x, y, known = clusters(200)
    levels, groups = levels_of(x, 5), classes or 1
    model = create("independent", Spec(shape=(4,), levels=5, classes=classes), alpha=0.5)
    fitted(model, levels, y if classes else None, known)
    table = model.parts.table().exp().view(4, 5, groups)
    for group in range(groups):
        of_group = (y == group) if classes else torch.ones(200, dtype=torch.bool)
        for entry in range(4):
            seen = levels[of_group & known[:, entry], entry]
            counts = torch.bincount(seen, minlength=5) + 0.5
            expected = counts / counts.sum()
            assert torch.allclose(table[entry, :, group], expected, atol=1e-5)


def test_gaussians_are_those_of_scikit_learn_column_by_column():
    x, y, known = clusters(300)
    model = create("naive-bayes", Spec(shape=(4,), classes=3), alpha=1e-9).double()
    fitted(model, x, y, known)
    for column in range(4):
        rows = known[:, column]
        oracle = GaussianNB(var_smoothing=0).fit(x[rows, column : column + 1], y[rows])
        scale, shift = model.parts.scale_D[column], model.parts.shift_D[column]
        mean = model.parts.mean_MD[:, column] * scale + shift
        deviation = model.parts.log_scale_MD[:, column].exp() * scale
        np.testing.assert_allclose(mean, oracle.theta_[:, 0], rtol=1e-6)
        np.testing.assert_allclose(deviation.square(), oracle.var_[:, 0], rtol=1e-6)


def correlated(n=20_000, seed=0):
    """Return Gaussian pairs, of which the second is missing where the first is large."""
    draw = generator(seed)
    first = torch.randn(n, generator=draw, dtype=torch.float64)
    second = 0.9 * first + math.sqrt(1 - 0.81) * torch.randn(n, generator=draw, dtype=first.dtype)
    chance = torch.where(first > 0, 0.8, 0.1)
    known = torch.stack([torch.ones(n).bool(), torch.rand(n, generator=draw) > chance], 1)
    return torch.stack([first, second], 1), known


def test_missing_at_random_does_not_mislead_a_full_covariance():
    x, known = correlated()
    options = {"components": 1, "pseudo": 0.0, "tolerance": 1e-8, "iterations": 200}
    model = create("gaussian-mixture", Spec(shape=(2,)), **options).double()
    fitted(model, x, None, known)
    _, mean, matrix = law_of(model)
    np.testing.assert_allclose(mean[0], [0, 0], atol=0.03)
    np.testing.assert_allclose(matrix[0], [[1, 0.9], [0.9, 1]], atol=0.04)
    # Filling in the mean of what is known gives another law, as does leaving rows out.
    usual = (x * known).sum(0) / known.sum(0)
    filled = torch.where(known, x, usual)
    assert float(filled.mean(0)[1]) < -0.25
    assert float(torch.cov(filled.T)[0, 1]) < 0.5
    assert float(x[known.all(1)].mean(0)[1]) < -0.25


def test_clusters_are_found_where_filling_in_the_mean_hides_them():
    x, _, known = clusters(4000, share=0.4)
    x, fresh, known = x[:2000], x[2000:], known[:2000]
    spec = Spec(shape=(4,))
    options = {"components": 3, "pseudo": 0.0, "iterations": 150, "tolerance": 1e-5}
    whole, holes, imputed = (create("gaussian-mixture", spec, **options).double() for _ in "abc")
    fitted(whole, x)
    fitted(holes, x, None, known)
    usual = (x * known).sum(0) / known.sum(0)
    fitted(imputed, torch.where(known, x, usual))
    best, found, filled = (float(m.log_prob(fresh).mean()) for m in (whole, holes, imputed))
    assert best - found < 0.1
    assert best - filled > 1


def test_begin_forgets_an_earlier_fit():
    x, _, known = clusters(200)
    model = create("gaussian-mixture", Spec(shape=(4,)), components=3).double()
    fitted(model, x, None, known)
    model.begin(Batch(x, None, known), generator(1))
    fresh = create("gaussian-mixture", Spec(shape=(4,)), components=3).double()
    fresh.begin(Batch(x, None, known), generator(1))
    for key, value in fresh.state_dict().items():
        assert torch.allclose(value, model.state_dict()[key]), key


def test_units_are_those_of_the_known():
    x, _, known = clusters(500)
    for covariance in KINDS:
        model = create("gaussian-mixture", Spec(shape=(4,)), components=1, covariance=covariance)
        fitted(model.double(), x, None, known)
        each = [x[known[:, d], d] for d in range(4)]
        assert torch.allclose(model.parts.shift_D, torch.stack([part.mean() for part in each]))
        deviations = torch.stack([part.std(correction=0) for part in each])
        assert torch.allclose(model.parts.scale_D, deviations)


def test_kmeans_uses_what_is_known():
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [10.0, 10.0], [10.0, 11.0]]).repeat(20, 1)
    known = torch.ones_like(points, dtype=torch.bool)
    known[4::4, 1], known[6::4, 0], known[7::8, 1] = False, False, False
    label = kmeans(torch.where(known, points, math.nan), 2, generator(), known=known)
    truth = (points[:, 0] > 5).long()
    assert bool((label == truth).all()) or bool((label == 1 - truth).all())
    complete = kmeans(points, 2, generator())
    assert torch.equal(complete, kmeans(points, 2, generator(), known=torch.ones_like(known)))


@pytest.mark.parametrize(("name", "levels", "options"), ALL)
@pytest.mark.parametrize("pseudo", [True, False])
def test_columns_that_say_nothing_are_no_trouble(name, levels, options, pseudo):
    x, y, known = clusters(90)
    x = (x if levels is None else levels_of(x, levels)).clone()
    x[:, 1] = 3 if levels != 2 else 1  # never varies
    known[y == 1, 2] = False  # never known of a class
    known[:, 3] = False  # never known
    known[5] = False  # a row of which nothing is known
    if "mixture" in name and not pseudo:
        options = {**options, "pseudo": 0.0}
    spec = Spec(shape=(4,), levels=levels, classes=3)
    model = create(name, spec, **options).double()
    fitted(model, x, y, known)
    assert bool(model.log_prob(x).isfinite().all())
    assert bool(model.marginal_log_prob(x, known, y).isfinite().all())
    assert float(model.marginal_log_prob(x, known)[5]) == pytest.approx(0, abs=1e-9)
    assert bool(model.sample(20, generator=generator()).isfinite().all())
    if levels is not None and "gaussian" not in name:
        chance = model.parts.table().exp().view(4, levels, -1)[3]
        assert torch.allclose(chance, torch.full_like(chance, 1 / levels), atol=1e-6)


@pytest.mark.parametrize("name", [*OPTIONS, "hmm"])
def test_classes_of_examples_that_are_known_in_part(name):
    x, y, known = clusters(150)
    levels, spec = levels_of(x, 4), Spec(shape=(4,), levels=4, classes=3)
    model = create(name, spec, **OPTIONS.get(name, {"states": 2, "iterations": 5}))
    fitted(model, levels, y, known)
    strange = torch.where(known, levels, -1)
    labels = [torch.full((150,), label) for label in range(3)]
    evidence = torch.stack([model.marginal_log_prob(levels, known, label) for label in labels], 1)
    expected = (evidence + model.log_prior_Y).log_softmax(1)
    assert torch.allclose(model.class_log_prob(strange, known), expected, atol=1e-5)
    everything = torch.ones_like(known)
    assert torch.allclose(
        model.class_log_prob(levels, everything), model.class_log_prob(levels), atol=1e-5
    )
    shares = model.features(strange, known)
    assert torch.allclose(shares.sum(1), torch.ones(150), atol=1e-5)
    assert torch.allclose(model.features(levels, everything), model.features(levels), atol=1e-5)
