"""Small machines against enumeration: energies, classes, gradients, chains and what is kept."""

import itertools
import math

import numpy as np
import pytest
import torch

import genus
from genus.capabilities import Classifies, Completes, Density, Energy, Features, supports
from genus.data.base import ArraySplit, DataSet
from genus.errors import ConfigError, SpecError
from genus.evaluation import evaluate
from genus.evaluation.likelihood import score
from genus.models.rbm import RBM
from genus.random import BatchNoise
from genus.spec import Batch, Spec
from genus.training import TrainConfig, train

BINARY = Spec(shape=(1, 2, 4), levels=2)
LEVELS = Spec(shape=(4,), levels=3)
CLASSES = Spec(shape=(5,), levels=2, classes=3)
LEVEL_CLASSES = Spec(shape=(3,), levels=3, classes=2)
SPECS = (BINARY, LEVELS, CLASSES, LEVEL_CLASSES)


def small(spec, *, seed=0, size=0.7, **options):
    torch.manual_seed(seed)
    model = RBM(spec, RBM.Config(**{"hidden": 5, "chains": 40, "spread": size, **options}))
    with torch.no_grad():
        for bias in (*model.units.biases, model.units.bias_H):
            bias.add_(torch.randn_like(bias))
    return model.double().eval()


def everything(spec):
    return torch.tensor(list(itertools.product(range(spec.levels), repeat=spec.dims))).view(
        -1, *spec.shape
    )


def one_hot(values, count):
    return torch.eye(count, dtype=torch.float64)[values].flatten(1)


def joint_energy(model, x, y, h):
    """The energy of the docstring, unit by unit, from plain matrices."""
    spec, groups = model.spec, model.units.machine().groups
    parts = [(x.flatten(1), spec.levels, groups[0])]
    if spec.classes:
        parts.append((y[:, None], spec.classes, groups[1]))
    energy = -(h @ model.units.machine().bias_H)
    for values, count, group in parts:
        v = values.double() if count == 2 else one_hot(values, count)
        energy = energy - v @ group.bias_N - ((v @ group.weight_NH) * h).sum(1)
    return energy


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("centred", [False, True])
def test_the_free_energy_sums_over_all_hidden_states(spec, centred):
    model, x = small(spec, centred=centred), everything(spec)
    labels = [None] if spec.classes is None else range(spec.classes)
    total = []
    for label in labels:
        y = None if label is None else torch.full((len(x),), label)
        energies = [
            joint_energy(model, x, y, torch.tensor(h, dtype=torch.float64).expand(len(x), -1))
            for h in itertools.product((0, 1), repeat=5)
        ]
        expected = -torch.stack([-e for e in energies]).logsumexp(0)
        assert torch.allclose(model.free_energy(x, y), expected, atol=1e-10)
        total.append(-expected)
    assert torch.allclose(model.free_energy(x), -torch.stack(total).logsumexp(0), atol=1e-10)
    log_z = torch.stack(total).logsumexp((0, 1))
    assert model.log_partition().estimate == pytest.approx(float(log_z.detach()), abs=1e-9)


@pytest.mark.parametrize("spec", [CLASSES, LEVEL_CLASSES], ids=str)
def test_the_posterior_of_the_class_is_that_of_the_enumerated_joint(spec):
    model, x = small(spec), everything(spec)
    joint = torch.stack(
        [-model.free_energy(x, torch.full((len(x),), y)) for y in range(spec.classes)], 1
    )
    assert torch.allclose(model.class_log_prob(x), joint.log_softmax(1), atol=1e-12)
    # p(h | x) is the mean of p(h | x, y) over that posterior.
    machine = model.units.machine()
    given = [
        machine.hidden_input(
            model.units.machine().as_state(model.state_of(Batch(x, torch.full((len(x),), y))))
        ).sigmoid()
        for y in range(spec.classes)
    ]
    expected = sum(p[:, None] * h for p, h in zip(joint.softmax(1).T, given, strict=True))
    assert torch.allclose(model.features(x), expected, atol=1e-12)


def exact_gradients(model, batch):
    """Gradients of the mean log-likelihood per dimension, with Z by enumeration."""
    spec, x = model.spec, everything(model.spec)
    model.zero_grad()
    if spec.classes is None:
        log_z = (-model.free_energy(x)).logsumexp(0)
    else:
        ys = range(spec.classes)
        log_z = torch.cat([-model.free_energy(x, torch.full((len(x),), y)) for y in ys]).logsumexp(
            0
        )
    ((model.free_energy(batch.x, batch.y) + log_z).mean() / spec.dims).backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_long_persistent_chains_give_the_exact_gradient(spec):
    model = small(spec, chains=30_000, sweeps=40).train()
    x = everything(spec)[[1, 5, 5, 7]]
    batch = Batch(x, None if spec.classes is None else torch.tensor([0, 1, 1, 0]))
    expected = exact_gradients(model, batch)
    model.zero_grad()
    (objective,) = model.objectives()
    noise = BatchNoise(4, torch.Generator().manual_seed(1), dtype=torch.float64)
    objective.loss(batch, noise)["loss"].backward()
    for found, wanted in zip([p.grad for p in model.parameters()], expected, strict=True):
        assert torch.allclose(found, wanted, atol=0.02 / spec.dims)
        assert wanted.abs().max() > 0.06 / spec.dims  # so that the comparison means something


def test_a_short_batch_does_not_change_the_negative_phase():
    model = small(BINARY, sweeps=3).train()
    x = everything(BINARY)[:8]
    twin = small(BINARY, sweeps=3).train()
    ends = []
    for each, batch in ((model, Batch(x)), (twin, Batch(x[:3]))):
        noise = BatchNoise(1, torch.Generator().manual_seed(2), dtype=torch.float64)
        ends.append(each.negatives(batch, noise).x)
    assert torch.equal(*ends)
    assert len(ends[0]) == 40
    # And the energy of chains is a mean over chains, whatever the number of examples.
    short = model.divergence(Batch(x[:3]), Batch(ends[0]))[1]
    assert torch.allclose(short, model.free_energy(ends[0]).mean())


@pytest.mark.parametrize("method", ["pcd", "cd"])
def test_the_loss_is_the_same_for_a_batch_given_twice(method):
    model = small(CLASSES, method=method)
    x, y = everything(CLASSES)[:6], torch.arange(6) % 3
    losses = []
    for times in (1, 2):
        model.zero_grad()
        batch = Batch(x.repeat(times, 1), y.repeat(times))

        class Noise:
            n = 6 * times
            own = BatchNoise(6, torch.Generator().manual_seed(3), dtype=torch.float64)

            def uniform(self, *shape):
                return self.own.uniform(*shape).repeat(self.n // 6, *[1] * len(shape))

        loss = model.loss(batch, Noise())["loss"]
        loss.backward()
        losses.append((loss.detach(), model.units.bias_H.grad.clone()))
    assert torch.allclose(losses[0][0], losses[1][0])
    assert torch.allclose(losses[0][1], losses[1][1])


def test_training_remembers_its_chains_and_evaluation_does_not():
    model, batch = small(BINARY), Batch(everything(BINARY)[:4])
    before = model.units.chains[0].clone()
    noise = BatchNoise(4, torch.Generator().manual_seed(4), dtype=torch.float64)
    model.loss(batch, noise)
    assert torch.equal(model.units.chains[0], before)
    model.train().loss(batch, noise)
    assert not torch.equal(model.units.chains[0], before)


@pytest.mark.parametrize("spec", [BINARY, CLASSES], ids=str)
def test_the_first_biases_are_those_of_the_data(spec):
    model = RBM(spec, RBM.Config(hidden=3, spread=1e-9)).double()
    x = (torch.rand(400, *spec.shape, generator=torch.Generator().manual_seed(0)) < 0.8).long()
    y = None if spec.classes is None else (torch.arange(400) % 4).clamp(max=2)
    model.initialise(Batch(x, y))
    law = (-model.free_energy(everything(spec))).softmax(0)
    means = (law[:, None] * everything(spec).flatten(1)).sum(0)
    assert torch.allclose(means, x.flatten(1).double().mean(0), atol=0.01)
    if y is not None:
        shares = model.class_log_prob(x[:1]).exp()[0]
        assert torch.allclose(shares, torch.tensor([0.25, 0.25, 0.5]).double(), atol=0.01)


@pytest.mark.parametrize("spec", [BINARY, LEVEL_CLASSES], ids=str)
def test_completions_follow_the_enumerated_conditional_law(spec):
    model, n = small(spec, sample_sweeps=30), 4000
    known = torch.zeros(spec.shape, dtype=torch.bool)
    known.view(-1)[: spec.dims // 2] = True
    x = everything(spec)[3].expand(n, *spec.shape)
    y = None if spec.classes is None else torch.ones(n, dtype=torch.long)
    done = model.complete(x, known, y=y, generator=torch.Generator().manual_seed(5))
    assert not done.exact
    assert "Gibbs" in done.method
    assert torch.equal(done.x[:, known], x[:, known])
    every = everything(spec)
    agrees = (every == x[0])[:, known].all(1)
    law = -model.free_energy(every, None if y is None else torch.ones(len(every)).long())
    law = law.masked_fill(~agrees, -torch.inf).softmax(0).detach()
    found = torch.tensor([(done.x == each).flatten(1).all(1).double().mean() for each in every])
    assert (found - law).abs().max() < 4 * 0.5 / math.sqrt(n)


def data_of(spec, n=300):
    rng = np.random.default_rng(0)
    x = (rng.random((n, *spec.shape)) * rng.random((1, *spec.shape)) * spec.levels).astype(int)
    y = None if spec.classes is None else rng.integers(0, spec.classes, n)
    half = ArraySplit(x, y)
    return DataSet("toy", spec, {"train": half, "valid": half, "test": half}, "sha256:0")


def test_training_resumes_to_the_bit_with_its_chains(tmp_path):
    spec, weights = LEVEL_CLASSES, []
    from genus.training import TrainingInterrupted
    from genus.training.hooks import Hook

    class Stop(Hook):
        def on_step(self, session):
            if session.step == 6:
                session.interrupts.received = 2

    for name, hooks in (("once", ()), ("twice", (Stop(),))):
        torch.manual_seed(0)
        model = RBM(spec, RBM.Config(hidden=4, chains=10))
        config = TrainConfig(steps=12, samples=0, checkpoint_every=0)
        try:
            train(model, data_of(spec), tmp_path / name, config, hooks=hooks)
        except TrainingInterrupted:
            train(model, data_of(spec), tmp_path / name, resume=True)
        weights.append(model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_an_evaluation_has_an_interval_unless_log_z_is_a_sum(tmp_path):
    spec = Spec(shape=(1, 5, 5), levels=2)
    data = data_of(spec)
    model = RBM(spec, RBM.Config(hidden=6))
    assert score(model, data.test).kind == "exact"
    wide = RBM(spec, RBM.Config(hidden=30))
    found = evaluate(wide, data, samples=0)
    assert found.likelihood.kind == "estimate"
    low, high = found.likelihood.interval
    assert low <= found.likelihood.mean <= high
    content = found.to_json()
    assert content["likelihood"]["interval"] == [low, high]
    back = type(found).from_json(content, found.likelihood.nats, None)
    assert back.likelihood.interval == (low, high)
    less, more = found.bits_per_dim_interval
    assert less <= found.bits_per_dim <= more


def test_it_can_what_its_family_can():
    for capability in (Energy, Completes, Classifies, Features):
        assert supports(RBM, capability)
    assert not supports(RBM, Density)


def test_what_it_cannot_take_is_refused():
    with pytest.raises(SpecError, match="data with levels"):
        genus.create("rbm", Spec(shape=(3,)))
    with pytest.raises(ConfigError, match="hidden=0"):
        RBM.Config(hidden=0)
    with pytest.raises(SpecError, match="labels"):
        small(CLASSES).loss(Batch(everything(CLASSES)[:2]), BatchNoise(2))
