"""Small networks against enumeration of all their layers."""

import itertools

import pytest
import torch
from tests.models.test_rbm import data_of, everything

import genus
from genus.capabilities import Completes, Energy, EnergyBounded, Features, supports
from genus.errors import ConfigError, SpecError
from genus.evaluation.likelihood import score
from genus.families.divergence import Turned
from genus.families.wake_sleep import log_bernoulli
from genus.models.dbn import DBN
from genus.random import BatchNoise
from genus.spec import Batch, Spec

BINARY = Spec(shape=(1, 2, 2), levels=2)
LEVELS = Spec(shape=(3,), levels=3)
CLASSES = Spec(shape=(4,), levels=2, classes=3)
SPECS = (BINARY, LEVELS, CLASSES)


def small(spec, *, depth=2, seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"hidden": 4, "top": 3, "chains": 30, "spread": 1.0, **options}
    model = DBN(spec, DBN.Config(depth=depth, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter))
    return model.double().eval()


@torch.no_grad()
def truth(model, label=None):
    """log p(x) of every example, or log p(x, y), by listing the states of every hidden layer."""
    spec, x = model.spec, everything(model.spec)
    layers = model.directed()
    hidden = model.config.hidden
    listed = torch.tensor(list(itertools.product((0.0, 1.0), repeat=hidden))).double()
    top = model.top.machine()
    labels = [None] if spec.classes is None else range(spec.classes)
    each = []
    for y in labels:
        state = (listed,) if y is None else (listed, torch.full((len(listed), 1), y))
        each.append(-top.free_energy(top.as_state(state)))
    log_z = torch.stack(each).logsumexp((0, 1))
    log_p = torch.stack(each).logsumexp(0) if label is None else each[label]
    for _machine, group in reversed(layers[1:]):  # p(h1) from p(h2) and so on
        given = torch.stack(
            [group.log_prob(group.logits(listed), row.expand(len(listed), -1)) for row in listed]
        )
        log_p = (given + log_p).logsumexp(1)
    _, group = layers[0]
    rows = [group.as_state(row.flatten()[None]).expand(len(listed), -1) for row in x]
    given = torch.stack([group.log_prob(group.logits(listed), row) for row in rows])
    return (given + log_p).logsumexp(1) - log_z


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("depth", [2, 3])
def test_the_bound_is_below_the_truth_and_comes_to_it(spec, depth):
    model, x = small(spec, depth=depth), everything(spec)
    exact, log_z = truth(model), model.log_partition()
    assert log_z.exact
    assert exact.logsumexp(0) == pytest.approx(0, abs=1e-9)
    generator = torch.Generator().manual_seed(0)
    means = {}
    for k in (1, 10, 20_000):
        times = 200 if k < 100 else 1
        rows = [-model.free_energy_bound(x, k, generator=generator) for _ in range(times)]
        means[k] = torch.stack(rows).mean(0) - log_z.estimate
    assert (means[1] - exact).mean() < -0.02  # a bound that is not the truth
    assert (means[1] < exact + 0.1).all()
    assert means[1].mean() < means[10].mean() < exact.mean() + 0.01
    assert (means[20_000] - exact).abs().mean() < 0.08  # of weights with heavy tails
    assert torch.allclose(means[20_000], exact, atol=0.25)


def test_labels_sum_out_at_the_top():
    model, x = small(CLASSES), everything(CLASSES)
    assert (
        torch.stack([truth(model, y) for y in range(3)]).logsumexp(0).sub(truth(model)).abs().max()
        < 1e-9
    )
    generator = torch.Generator().manual_seed(1)
    for label in range(3):
        y = torch.full((len(x),), label)
        found = -model.free_energy_bound(x, 20_000, y, generator=generator)
        assert torch.allclose(
            found - model.log_partition().estimate, truth(model, label), atol=0.15
        )


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_samples_follow_the_enumerated_law(spec):
    model, n = small(spec, depth=3, sample_sweeps=40), 6000
    x = model.sample(n, generator=torch.Generator().manual_seed(2))
    every, law = everything(spec), truth(model).exp()
    found = torch.tensor([(x == each).flatten(1).all(1).double().mean() for each in every])
    assert (found - law).abs().max() < 4 * (law * (1 - law) / n).sqrt().max()


def test_each_machine_learns_from_the_one_below_and_from_no_other_gradient():
    model = small(BINARY, depth=3).train()
    for index, objective in enumerate(model.objectives()):
        model.zero_grad()
        noise = BatchNoise(6, torch.Generator().manual_seed(3), dtype=torch.float64)
        objective.loss(Batch(everything(BINARY)[:6]), noise)["loss"].backward()
        for other, layer in enumerate(model.layers):
            moved = any(p.grad is not None for p in layer.parameters())
            assert moved == (other == index)


def test_a_network_learns_more_than_its_lowest_machine_alone():
    rows = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]]).view(-1, 1, 2, 2)
    model = small(BINARY, spread=0.1, hidden=4, sweeps=2, chains=60).train()
    players = [(o, torch.optim.Adam(o.parameters, 0.03)) for o in model.objectives()]
    generator = torch.Generator().manual_seed(4)
    batch = Batch(rows.repeat(10, 1, 1, 1))
    for _ in range(400):
        for objective, optimiser in players:
            optimiser.zero_grad()
            noise = BatchNoise(30, generator, dtype=torch.float64)
            objective.loss(batch, noise)["loss"].backward()
            optimiser.step()
    law = truth(model.eval()).exp()
    index = [int("".join(map(str, row.flatten().tolist())), 2) for row in rows]
    assert law[index].sum() > 0.7


def test_an_evaluation_is_a_bound_with_an_interval():
    spec = Spec(shape=(1, 4, 4), levels=2)
    data = data_of(spec, 40)
    exact = score(small(spec), data.test, 8)
    assert (exact.kind, exact.samples, exact.interval) == ("lower bound", 8, None)
    wide = score(DBN(spec, DBN.Config(hidden=22, top=22, chains=20)), data.test, 8)
    assert wide.kind == "lower bound"
    assert wide.interval[0] <= wide.mean <= wide.interval[1]


def test_what_it_is_and_what_it_refuses():
    assert supports(DBN, EnergyBounded)
    assert supports(DBN, Completes)
    assert supports(DBN, Features)
    assert not supports(DBN, Energy)
    with pytest.raises(ConfigError, match="depth=1 must be at least 2"):
        DBN.Config(depth=1)
    with pytest.raises(SpecError, match="data with levels"):
        genus.create("dbn", Spec(shape=(3,)))
    with pytest.raises(SpecError, match="k=0"):
        small(BINARY).free_energy_bound(everything(BINARY), 0)


def test_before_fine_tuning_the_way_up_is_the_machines_own():
    x = everything(BINARY)
    tied, untied = small(BINARY, depth=3), small(BINARY, depth=3, wake_sleep=0.3)
    untied.load_state_dict(tied.state_dict(), strict=False)
    for parameter in untied.untied.parameters():
        torch.nn.init.zeros_(parameter)
    bounds = [
        model.free_energy_bound(x, 5, generator=torch.Generator().manual_seed(0))
        for model in (tied, untied)
    ]
    assert torch.equal(*bounds)
    assert torch.equal(tied.features(x), untied.features(x))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_wake_sleep_teaches_the_way_down_from_data_and_the_way_up_from_dreams(spec):
    model = small(spec, depth=3, wake_sleep=0.3)
    x = everything(spec)
    y = None if spec.classes is None else torch.zeros(len(x), dtype=torch.long)
    model.anneal(0.8)
    for index in range(2):
        model.zero_grad()
        noise = BatchNoise(len(x), torch.Generator().manual_seed(0), dtype=torch.float64)
        told = model.loss(index, Batch(x, y), noise)
        told["loss"].backward()
        learns = {
            name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
        }
        ours = {name for name in learns if name.split(".")[1] == str(index)}
        assert learns == ours
        assert learns == {
            f"untied.{index}.{name}" for name in ("up_NH", "up_H", "down_NH", "down_N")
        }
    model.anneal(0.6)
    assert "energy" in model.loss(0, Batch(x, y), noise)


def gap_of(model):
    """How far the bound of one sample is below the truth, in the mean over the model's law."""
    x, generator = everything(model.spec), torch.Generator().manual_seed(1)
    rows = [-model.free_energy_bound(x, 1, generator=generator) for _ in range(300)]
    bound = torch.stack(rows).mean(0) - model.log_partition().estimate
    return float((truth(model).exp() * (truth(model) - bound)).sum())


def test_asleep_the_way_up_comes_nearer_to_the_posterior():
    """With the way down held, dreams alone raise the bound towards the truth."""
    model, x = small(BINARY, wake_sleep=0.5), everything(BINARY)
    before = gap_of(model)
    model.train().anneal(1.0)
    optimiser = torch.optim.Adam([p for n, p in model.untied.named_parameters() if "up" in n], 0.03)
    generator = torch.Generator().manual_seed(2)
    for _ in range(150):
        noise = BatchNoise(200, generator, dtype=torch.float64)
        model.top.negatives((model.top.chains[0],), noise, "pcd", 5)
        optimiser.zero_grad()
        model.loss(0, Batch(x[torch.arange(200) % len(x)]), noise)["loss"].backward()
        optimiser.step()
    assert gap_of(model) < 0.7 * before


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_reweighted_every_machine_climbs_the_likelihood(spec):
    """Of many weighted states the gradients are those of the enumerated log-likelihood."""
    model = small(spec, wake_sleep=0.5, wake_samples=4000).train()
    x = everything(spec)[:6]
    y = None if spec.classes is None else torch.arange(6) % 3
    model.anneal(0.9)
    exact = truth.__wrapped__(model, None)[:6]
    if y is not None:
        each = torch.stack([truth.__wrapped__(model, label)[:6] for label in range(3)], 1)
        exact = each[torch.arange(6), y]
    down = [model.untied[0].down_NH, model.untied[0].down_N]
    top = [*model.top.weights, *model.top.biases, model.top.bias_H]
    wanted = torch.autograd.grad(-(exact + log_z_of(model)).mean(), [*down, *top])
    noise = BatchNoise(6, torch.Generator().manual_seed(0), dtype=torch.float64)
    for index, ours in ((0, down), (1, top)):
        told = model.loss(index, Batch(x, y), noise)["loss"]
        entries = spec.dims if index == 0 else model.config.hidden
        found = torch.autograd.grad(told * entries, ours, retain_graph=True)
        if index:  # what the chains say of log Z is not in question here
            machine = model.top.machine()
            ends = machine.free_energy(machine.as_state(model.top.chains)).mean()
            found = [a + b for a, b in zip(found, torch.autograd.grad(ends, ours), strict=True)]
        for a, b in zip(found, wanted[: len(down)] if index == 0 else wanted[2:], strict=True):
            assert torch.allclose(a, b, atol=0.03), (a - b).abs().max()


def log_z_of(model):
    """log Z of the top machine, with its gradient."""
    return model.top.machine().log_partition()


def test_reweighted_the_way_up_learns_awake_as_well():
    """With no dreams to learn from, weights alone raise the bound towards the truth."""
    model, x = small(BINARY, wake_sleep=0.5, wake_samples=30), everything(BINARY)
    before = gap_of(model)
    model.train().anneal(1.0)
    optimiser = torch.optim.Adam([p for n, p in model.untied.named_parameters() if "up" in n], 0.03)
    generator = torch.Generator().manual_seed(2)
    for _ in range(100):
        noise = BatchNoise(len(x), generator, dtype=torch.float64)
        awake, states, weight_R = model._awake(Batch(x), noise)
        input_RH = model.rise(0, awake.x.flatten(1))
        optimiser.zero_grad()
        (-(weight_R * log_bernoulli(input_RH, states[0])).sum()).backward()
        optimiser.step()
    assert gap_of(model) < 0.7 * before
    told = model.loss(0, Batch(x), noise)
    assert min(told["wake"], told["sleep"], told["rise"]) > 0  # minus logs of probabilities
    parts = told["wake"] + told["sleep"] + told["rise"]
    assert float(told["loss"].detach()) == pytest.approx(float(parts) / BINARY.dims)


def test_samples_awake_need_a_part_of_the_training():
    with pytest.raises(ConfigError, match=r"wake_samples=4 .* wake_sleep=0"):
        DBN.Config(wake_samples=4)
    with pytest.raises(ConfigError, match="wake_samples=0 must be"):
        DBN.Config(wake_sleep=0.5, wake_samples=0)


def turned(spec, *, depth=2, **options):
    """A network whose upper machines have learned nothing but are the lower ones turned over."""
    model = small(spec, depth=depth, hidden=4, top=6, spread=1e-12, **options)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for parameter in model.layers[0].parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize(("spec", "depth"), [(BINARY, 2), (BINARY, 3), (CLASSES, 2)], ids=str)
def test_a_stack_begins_as_likely_as_its_lowest_machine(spec, depth):
    """Whatever the weights of that one; with classes, whose weights are 0, labels are uniform."""
    model, x = turned(spec, depth=depth), everything(spec)
    lowest = model.layers[0].machine()
    energy = lowest.free_energy(lowest.as_state((x.flatten(1),)))
    assert torch.allclose(truth(model), (-energy).log_softmax(0))
    upwards = -model.free_energy_bound(x, 1) - model.log_partition().estimate
    if depth == 2:  # the way up is then the posterior, so that every draw gives the truth
        assert torch.allclose(upwards, truth(model))


def test_what_cannot_be_turned_over_is_not():
    """Softmax units, and a machine with fewer hidden units than the lower one has entries."""
    for model in (small(LEVELS, top=9), small(BINARY, top=3)):
        assert not any(isinstance(layer, Turned) for layer in model.layers)
    assert isinstance(small(BINARY, top=4).top, Turned)


def test_a_turned_machine_waits_for_its_share_of_the_training():
    model, x = turned(BINARY, depth=3), everything(BINARY)
    model.train()
    noise = BatchNoise(len(x), torch.Generator().manual_seed(0), dtype=torch.float64)
    for progress, learning in [(0.0, 1), (0.3, 1), (0.34, 2), (0.6, 2), (0.67, 3), (1.0, 3)]:
        model.anneal(progress)
        for index in range(3):
            model.zero_grad()
            model.loss(index, Batch(x), noise)["loss"].backward()
            moved = any(p.grad is not None and p.grad.any() for p in model.parameters())
            assert moved == (index < learning)


def test_the_chains_of_a_waiting_machine_are_where_the_lower_ones_are():
    model = turned(BINARY, chains=4000).train()
    model.anneal(0.1)
    noise = BatchNoise(16, torch.Generator().manual_seed(0), dtype=torch.float64)
    model.loss(0, Batch(everything(BINARY)), noise)
    model.loss(1, Batch(everything(BINARY)), noise)
    lowest, below = model.layers[0].machine(), model.layers[0].chains
    rates = lowest.hidden_input(lowest.as_state(below)).sigmoid().mean(0)
    assert torch.allclose(model.top.chains[0].double().mean(0), rates, atol=0.03)
    model.eval()
    before = model.top.chains[0].clone()
    model.loss(1, Batch(everything(BINARY)), noise)
    assert torch.equal(before, model.top.chains[0])


def test_what_a_turned_machine_learns_is_gained():
    rows = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]]).view(-1, 1, 2, 2)
    model = small(BINARY, spread=0.1, hidden=2, top=6, sweeps=2, chains=60).train()
    players = [(o, torch.optim.Adam(o.parameters, 0.03)) for o in model.objectives()]
    generator = torch.Generator().manual_seed(4)
    batch, found = Batch(rows.repeat(10, 1, 1, 1)), []
    index = [int("".join(map(str, row.flatten().tolist())), 2) for row in rows]
    for step in range(600):
        model.anneal(step / 600)
        if step == 300:
            found.append(float(truth(model.eval())[index].mean()))
            model.train()
        for objective, optimiser in players:
            optimiser.zero_grad()
            noise = BatchNoise(30, generator, dtype=torch.float64)
            objective.loss(batch, noise)["loss"].backward()
            optimiser.step()
    found.append(float(truth(model.eval())[index].mean()))
    assert found[1] > found[0] + 0.1
