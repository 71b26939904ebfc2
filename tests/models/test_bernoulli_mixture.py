"""EM on levels against enumeration, a written-out step, and its own monotony."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from genus.capabilities import FitContext
from genus.distributions.level_components import CategoricalComponents
from genus.errors import ConfigError, SpecError
from genus.models.bernoulli_mixture import BernoulliMixture, BernoulliMixtureConfig
from genus.spec import Batch, Spec


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=300, dims=6, levels=2, seed=0):
    """Return examples of three kinds, and the kind of each."""
    logits = 2 * torch.randn(3, dims, levels, generator=generator(seed))
    kind = torch.arange(n) % 3
    rows = logits.softmax(-1)[kind].flatten(0, 1)
    return torch.multinomial(rows, 1, generator=generator(seed + 1)).view(n, dims), kind


def fitted(spec, x, y=None, *, log=None, **config):
    model = BernoulliMixture(spec, BernoulliMixtureConfig(**config)).double()
    log = [] if log is None else log
    model.fit(lambda: [Batch(x, y)], FitContext(generator(), log=log.append))
    return model


@pytest.mark.parametrize("levels", [2, 4, 40])
def test_a_step_is_that_of_the_textbook(levels, monkeypatch):
    x, _ = blobs(levels=levels)
    model = fitted(Spec(shape=(6,), levels=levels), x, components=3, pseudo=0.0, iterations=2)
    mass = model.parts.log_mass_EM.exp().view(6, levels, 3).numpy()
    weight = model.log_weight_YK[0].exp().numpy()
    given = np.stack([mass[d, x[:, d].numpy()] for d in range(6)]).prod(0)  # (N, K)
    share = weight * given
    assert np.allclose(model.log_prob(x).numpy(), np.log(share.sum(1)), atol=1e-9)
    share /= share.sum(1, keepdims=True)
    assert np.allclose(model.features(x).numpy(), share, atol=1e-9)
    monkeypatch.setattr(model, "begin", lambda seen, generator: None)
    model.iterations = 1
    model.fit(lambda: [Batch(x[:99]), Batch(x[99:])])
    assert np.allclose(model.log_weight_YK[0].exp().numpy(), share.mean(0), atol=1e-12)
    for level in range(levels):
        expected = (share[:, None, :] * (x.numpy() == level)[:, :, None]).sum(0) / share.sum(0)
        found = model.parts.log_mass_EM.exp().view(6, levels, 3)[:, level].numpy()
        assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("pseudo", [0.0, 2.0])
@pytest.mark.parametrize(("levels", "classes"), [(2, None), (2, 3), (5, None)])
def test_em_never_lowers_what_it_climbs(levels, classes, pseudo):
    x, kind = blobs(levels=levels)
    log, spec = [], Spec(shape=(6,), levels=levels, classes=classes)
    fitted(
        spec, x, kind if classes else None, log=log,
        components=4, pseudo=pseudo, iterations=40, tolerance=-1.0,
    )  # fmt: skip
    objective = np.array([entry["objective"] for entry in log])
    assert len(objective) == 40
    assert np.diff(objective).min() > -1e-9
    assert objective[-1] > objective[0] + 0.01


def test_what_is_climbed_is_the_likelihood_with_pseudo_examples(monkeypatch):
    x, _ = blobs(levels=3)
    model = fitted(Spec(shape=(6,), levels=3), x, components=4, pseudo=2.0, iterations=2)
    monkeypatch.setattr(model, "begin", lambda seen, generator: None)
    mass = model.parts.log_mass_EM.view(6, 3, 4)
    shares = torch.stack([(x == level).double().mean(0) for level in range(3)], 1)  # (D, L)
    shares = (shares * len(x) + 1 / 3) / (len(x) + 1)  # one uniform example added
    pseudo = model.log_weight_YK.sum() + (shares.unsqueeze(2) * mass).sum()
    expected = (model.log_prob(x).sum() + 2 * pseudo) / len(x)
    log, model.iterations = [], 1
    model.fit(lambda: [Batch(x)], FitContext(log=log.append))
    assert log[0]["objective"] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("levels", [2, 3])
def test_masses_of_all_examples_sum_to_one_known_or_not(levels):
    spec = Spec(shape=(1, 2, 2), levels=levels, classes=3)
    x, kind = blobs(dims=4, levels=levels)
    model = fitted(spec, x.view(-1, 1, 2, 2), kind, components=2, pseudo=0.0)
    every = torch.tensor(list(itertools.product(range(levels), repeat=4))).view(-1, 1, 2, 2)
    assert float(model.log_prob(every).exp().sum()) == pytest.approx(1, abs=1e-12)
    known = torch.tensor([[True, False], [False, True]])
    seen = every[(every[:, 0, 0, 1] == 0) & (every[:, 0, 1, 0] == 0)]
    assert float(model.marginal_log_prob(seen, known).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_completion_is_the_conditional():
    x, _ = blobs(dims=3, levels=3)
    model, n = fitted(Spec(shape=(3,), levels=3), x, components=3, pseudo=0.5), 20_000
    known = torch.tensor([True, False, False])
    done = model.complete(torch.tensor([[2, 0, 0]]).expand(n, 3), known, generator=generator())
    every = torch.tensor([[2, a, b] for a in range(3) for b in range(3)])
    law = model.log_prob(every).softmax(0)
    index = done.x[:, 1] * 3 + done.x[:, 2]
    counts = torch.bincount(index, minlength=9).numpy()
    assert stats.chisquare(counts, n * law.numpy()).pvalue > 1e-4
    assert torch.allclose(done.log_conditional, law.log()[index], atol=1e-9)


def test_binary_data_are_scored_as_by_their_table():
    parts = CategoricalComponents(5, 7, 2).double()
    x = torch.randint(2, (50, 7), generator=generator())
    parts.update(parts.statistics(x, torch.rand(50, 5, generator=generator()).double()), 0.3)
    known = torch.rand(50, 7, generator=generator(1)) < 0.5
    entries = parts.table().view(7, 2, 5)[torch.arange(7), x]  # (B, D, M)
    assert torch.allclose(parts.log_prob(x), entries.sum(1))
    assert torch.allclose(parts.log_prob(x, known), (entries * known.unsqueeze(2)).sum(1))


def test_counting_by_products_and_by_additions_agree():
    from genus.distributions import level_components as module

    x = torch.randint(5, (40, 3), generator=generator())
    weight = torch.rand(40, 2, generator=generator()).double()
    assert torch.allclose(
        module._count_by_products(x, weight, 5), module._count_by_additions(x, weight, 5)
    )
    known = torch.rand(40, 3, generator=generator()) < 0.6
    assert torch.allclose(
        module._count_by_products(x * known, weight, 5, known),
        module._count_by_additions(x * known, weight, 5, known),
    )


def test_empty_components_and_entries_that_never_vary():
    x = torch.tensor([[0, 1, 1], [0, 1, 0]]).repeat(5, 1)
    for pseudo in (0.0, 1.0):
        model = fitted(Spec(shape=(3,), levels=2), x, components=10, pseudo=pseudo)
        assert torch.isfinite(model.log_prob(x)).all()
        never = torch.tensor([[1, 0, 0]])
        assert float(model.log_prob(never)) < -3
        assert torch.isfinite(model.log_prob(never)).all()
        assert float(model.log_weight_YK.exp().sum()) == pytest.approx(1)
        assert torch.equal(model.sample(9)[:, :2], x[:1, :2].expand(9, 2)) or pseudo


def test_an_absent_class_keeps_even_weights():
    x, _ = blobs()
    spec = Spec(shape=(6,), levels=2, classes=4)
    model = fitted(spec, x, torch.arange(300) % 3, components=2, pseudo=0.0)
    assert torch.allclose(model.log_weight_YK[3].exp(), torch.tensor(0.5).double())
    assert torch.isfinite(model.class_log_prob(x)).all()


def test_restarts_keep_the_best():
    x, _ = blobs(seed=5)
    log = []
    model = fitted(Spec(shape=(6,), levels=2), x, components=4, restarts=3, pseudo=0.0, log=log)
    last = {entry["restart"]: entry["nats"] for entry in log}
    assert len(set(last.values())) > 1
    assert float(model.log_prob(x).mean()) >= max(last.values()) - 1e-6


def test_criteria_find_the_number_of_kinds():
    x, _ = blobs(n=1500, dims=12)
    spec = Spec(shape=(12,), levels=2)
    found = {k: fitted(spec, x, components=k, pseudo=0.0, restarts=3).bic(x) for k in (1, 2, 3, 5)}
    assert min(found, key=found.__getitem__) == 3


def test_what_cannot_be_used_is_refused():
    with pytest.raises(SpecError, match="needs data with levels"):
        BernoulliMixture(Spec(shape=(3,)))
    with pytest.raises(ConfigError, match="components=0"):
        BernoulliMixtureConfig(components=0)
    with pytest.raises(ConfigError, match="pseudo=-1"):
        BernoulliMixtureConfig(pseudo=-1)
    with pytest.raises(SpecError, match="quantise first"):
        fitted(Spec(shape=(2,), levels=2), torch.tensor([[0.3, 0.9]]))
