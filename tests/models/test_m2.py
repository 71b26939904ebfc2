"""What is special to M2: the sum over classes, its loss, and learning without labels."""

import pytest
import torch

from genus import Spec, create
from genus.errors import ConfigError, SpecError
from genus.random import BatchNoise
from genus.spec import Batch

SPEC = Spec(shape=(6,), levels=2, classes=3)


def small(**options):
    torch.manual_seed(0)
    model = create("m2", SPEC, **{"latents": 2, "hidden": 8, "depth": 1, **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    model.set_class_prior(torch.tensor([5, 2, 1]))
    return model.eval()  # without dropout, so that noise is the same in every call


def examples(n, seed=0):
    return torch.randint(2, (n, 6), generator=torch.Generator().manual_seed(seed))


def noise(n):
    return BatchNoise(n, torch.Generator().manual_seed(0), dtype=torch.float64)


def of_each_class(model, x):
    """Return ``(B, Y)``, the bound on log p(x, y), with the same noise for every class."""
    found = [
        model.elbo(x, torch.full((len(x),), y), generator=torch.Generator().manual_seed(3)).value
        for y in range(3)
    ]
    return torch.stack(found, 1) + model.log_prior_Y


def test_the_bound_without_a_label_is_the_papers_sum_over_classes():
    model, x = small(), examples(5)
    log_q = model.class_log_prob(x)
    expected = (log_q.exp() * (of_each_class(model, x) - log_q)).sum(1)
    found = model.elbo(x, generator=torch.Generator().manual_seed(3)).value
    torch.testing.assert_close(found, expected)


def test_no_classifier_gives_a_higher_bound_than_bayes_rule():
    model, x = small(), examples(20)
    best = of_each_class(model, x).logsumexp(1)
    found = model.elbo(x, generator=torch.Generator().manual_seed(3)).value
    assert (found < best).all()


def test_the_loss_of_labelled_and_unlabelled_examples_is_the_papers():
    """Labelled rows: -w L(x, y) - alpha log q(y | x); the others -U(x); weighed means of each."""
    model, x = small(alpha=4.0, shown=0.25), examples(8)
    y = torch.tensor([-1, 2, -1, 0, -1, -1, 1, 1])
    shown = y >= 0
    told = model.objectives()[0].loss(Batch(x, y), noise(8))
    eps = noise(8).normal(1, 2)
    unlabelled = model._elbo(x[~shown], None, eps[~shown]).value
    labelled = model._elbo(x[shown], y[shown], eps[shown]).value + model.log_prior_Y[y[shown]]
    log_q = model.class_log_prob(x)[shown, y[shown]]
    nats = -(unlabelled.sum() + 0.25 * labelled.sum()) / (4 + 0.25 * 4) - 4.0 * log_q.mean()
    assert told["loss"].item() == pytest.approx(nats.item() / 6)
    assert float(told["classifier"]) == pytest.approx(-log_q.mean().item())


@pytest.mark.parametrize("label", [-1, 1])
def test_a_batch_of_one_kind_alone_is_fine(label):
    told = small().objectives()[0].loss(Batch(examples(4), torch.full((4,), label)), noise(4))
    told["loss"].backward()
    assert torch.isfinite(told["loss"])
    assert (float(told["classifier"]) == 0) == (label < 0)


def test_the_classifier_learns_from_examples_without_labels():
    """Three patterns with noise, two of them alike; one label of each and 300 examples without.

    A pattern's labelled example is a bad one, so that a classifier of labels alone errs.
    """
    generator = torch.Generator().manual_seed(1)
    patterns = torch.tensor([[0] * 12, [1] * 12, [0] * 6 + [1] * 6])
    truth = torch.randint(3, (300,), generator=generator)
    flips = torch.rand(300, 12, generator=generator) < 0.1
    x = patterns[truth] ^ flips.long()
    bad = patterns.clone()
    bad[2, :4] = 1
    torch.manual_seed(0)
    model = create("m2", Spec(shape=(12,), levels=2, classes=3), latents=2, hidden=32, depth=1)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    unlabelled = torch.full((60,), -1)
    for step in range(400):
        rows = torch.randint(300, (60,), generator=generator)
        batch = Batch(torch.cat([x[rows], bad]), torch.cat([unlabelled, torch.arange(3)]))
        loss = model.objectives()[0].loss(
            batch, BatchNoise(63, torch.Generator().manual_seed(step))
        )["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = (model.class_log_prob(x).argmax(1) == truth).double().mean()
    nearest = (x[:, None] != bad).sum(2).argmin(1) == truth
    assert right > 0.95
    assert right > nearest.double().mean() + 0.05


def test_wrong_options_and_data_are_refused():
    with pytest.raises(ConfigError, match=r"alpha=-1\.0 must not be below zero"):
        create("m2", SPEC, alpha=-1.0)
    with pytest.raises(ConfigError, match=r"shown=-0\.5 must not be below zero"):
        create("m2", SPEC, shown=-0.5)
    with pytest.raises(ConfigError, match="samples=3 must be 1"):
        create("m2", SPEC, samples=3)
    with pytest.raises(ConfigError, match="objective"):
        create("m2", SPEC, objective="iwae")
    with pytest.raises(SpecError, match="needs data with classes"):
        create("m2", SPEC.unconditional())
    with pytest.raises(SpecError, match="labels in training"):
        small().objectives()[0].loss(Batch(examples(2)), noise(2))
