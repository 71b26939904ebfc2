"""Annealed importance sampling brackets the sum over all states, and says how well."""

import math

import numpy as np
import pytest
import torch

from genus.errors import ConfigError
from genus.families import annealing
from genus.families.annealing import combine, log_partition
from genus.families.bipartite import Group
from genus.families.divergence import Bipartite


def machine(groups=((24, 2),), hidden=16, size=0.4, seed=0):
    torch.manual_seed(seed)
    block = Bipartite(groups, hidden, chains=50, spread=size).double()
    with torch.no_grad():
        for bias in (*block.biases, block.bias_H):
            bias.add_(torch.randn_like(bias))
    return block


def annealed(block, steps, seed=0, chains=200):
    generator = torch.Generator().manual_seed(seed)
    return log_partition(
        block.machine(), block.chains, chains=chains, steps=steps, generator=generator, exact=False
    )


SHAPES = {
    "binary": {},
    "binary, more visible": {"hidden": 12, "groups": ((40, 2),), "size": 0.25},
    "three levels": {"groups": ((8, 3),)},
    "with labels": {"groups": ((10, 2), (1, 4))},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("steps", [4, 50, 400])
def test_the_interval_holds_the_sum_over_all_states(shape, steps):
    block = machine(**shape)
    truth = float(block.machine().log_partition().detach())
    for seed in range(3):
        found = annealed(block, steps, seed)
        assert found.lower <= truth <= found.upper
        assert found.lower <= found.estimate <= found.upper
        assert abs(found.estimate - truth) < 5 * found.standard_error
        assert not found.exact


def test_the_interval_narrows_with_steps():
    widths = [f.upper - f.lower for f in (annealed(machine(), steps) for steps in (4, 40, 400))]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_each_side_errs_to_its_own_side(monkeypatch):
    seen = []
    monkeypatch.setattr(
        annealing, "combine", lambda f, b, s: seen.append((f, b)) or combine(f, b, s)
    )
    block = machine(size=0.8)
    truth = float(block.machine().log_partition().detach())
    for seed in range(100):
        annealed(block, 3, seed, chains=4)
    below = np.mean([float(f.logsumexp(0)) - math.log(4) for f, _ in seen])
    above = np.mean([-float((-b).logsumexp(0)) + math.log(4) for _, b in seen])
    assert below < truth - 0.1
    assert above > truth + 0.1
    mean = torch.cat([f for f, _ in seen]).sub(truth).exp().mean()
    assert 0.5 < float(mean) < 2  # the weights themselves are unbiased


PLANTED = {
    "a transition at another temperature": lambda move: (
        lambda self, a, noise, beta: move(self, a, noise, beta**0.5)
    ),
    "a transition with another beginning": lambda move: (
        lambda self, a, noise, beta: move(
            annealing._Path(self.machine, tuple(b + 2 for b in self.base)), a, noise, beta
        )
    ),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_wrong_transition_is_caught(monkeypatch, plant):
    block = machine(size=1.0)
    truth = float(block.machine().log_partition().detach())
    found = annealed(block, 50)
    assert found.lower <= truth <= found.upper
    monkeypatch.setattr(annealing._Path, "move", plant(annealing._Path.move))
    found = annealed(block, 50)
    centred_well = abs(found.estimate - truth) < 5 * found.standard_error
    assert not (centred_well and found.lower <= truth <= found.upper)


def test_transitions_of_another_machine_are_caught(monkeypatch):
    block = machine()
    truth = float(block.machine().log_partition().detach())
    plain = Group.logits
    monkeypatch.setattr(Group, "logits", lambda self, h: plain(self, h) + 0.3)
    found = annealed(block, 50)
    assert abs(found.estimate - truth) > 5 * found.standard_error


def test_log_weights_without_spread_give_one_number():
    found = combine(torch.full((5,), 3.0).double(), torch.full((5,), 3.0).double(), 10)
    assert found.lower == found.upper == pytest.approx(3.0)
    assert found.estimate == pytest.approx(3.0)
    assert found.effective == pytest.approx(5.0)


def test_bennetts_estimate_is_that_of_two_gaussians():
    # Work of forward and backward runs between Gaussians: N(z - s^2/2, s) and N(z + s^2/2, s).
    generator, spread, z = torch.Generator().manual_seed(0), 1.5, 7.0
    noise = torch.randn(2, 20_000, generator=generator, dtype=torch.float64)
    found = combine(z - spread**2 / 2 + spread * noise[0], z + spread**2 / 2 + spread * noise[1], 1)
    assert abs(found.estimate - z) < 4 * found.standard_error < 0.1
    assert found.lower < z < found.upper


def test_few_states_are_summed_whichever_layer_is_smaller():
    for hidden in (5, 30):
        block = machine(groups=((10, 2),), hidden=hidden)
        found = log_partition(block.machine(), block.chains)
        x = torch.cartesian_prod(*[torch.arange(2.0)] * 10).double()
        energy = block.machine().free_energy((x,))
        assert found.exact
        assert found.estimate == pytest.approx(float((-energy).logsumexp(0).detach()), abs=1e-9)


def test_a_machine_turned_over_is_the_same_machine():
    plain = machine().machine()
    turned = plain.turned()
    assert float((plain.log_partition() - turned.log_partition()).detach()) == pytest.approx(
        0, abs=1e-9
    )
    h = torch.ones(3, 16).double()
    assert torch.allclose(turned.free_energy((h,)), plain.hidden_free_energy(h))
    assert [machine(g).machine().can_be_turned for g in SHAPES_OF_GROUPS] == [True, False, False]


SHAPES_OF_GROUPS = (((4, 2),), ((4, 3),), ((4, 2), (1, 2)))


def test_of_two_paths_the_shorter_is_taken(monkeypatch):
    lengths, used = {}, []
    schedule, run = annealing._Path.schedule, annealing._Path.run

    def measured(path, noise, steps):
        betas, length = schedule(path, noise, steps)
        lengths[len(path.base[0])] = length
        return betas, length

    monkeypatch.setattr(annealing._Path, "schedule", measured)
    monkeypatch.setattr(
        annealing._Path,
        "run",
        lambda path, *args: used.append(len(path.base[0])) or run(path, *args),
    )
    block = machine(size=0.8)
    for each in (block.machine(), block.machine().turned()):
        starts = (torch.zeros(9, len(each.groups[0].bias_N)),)
        generator = torch.Generator().manual_seed(0)
        found = log_partition(each, starts, steps=50, generator=generator, exact=False)
        truth = float(each.log_partition().detach())
        assert abs(found.estimate - truth) < 5 * found.standard_error
        assert set(lengths) == {16, 24}
        shorter = min(lengths, key=lambda side: lengths[side])
        assert used[-2:] == [shorter] * 2  # forwards and backwards


def test_too_few_chains_are_refused():
    with pytest.raises(ConfigError, match="chains=1"):
        annealed(machine(), 10, chains=1)
