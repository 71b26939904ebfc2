"""The energy family carries a restricted Boltzmann machine small enough to enumerate."""

import itertools

import pytest
import torch
from torch import nn

from genus.capabilities import Density, Energy, Samples, Trains, supports
from genus.errors import ConfigError, SpecError
from genus.families.energy import EnergyModel
from genus.random import BatchNoise
from genus.spec import Batch, Spec

VISIBLE, HIDDEN = 4, 3
EVERYTHING = torch.tensor(list(itertools.product(range(2), repeat=VISIBLE)))


class RBM(EnergyModel):
    sample_sweeps = 15

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(HIDDEN, VISIBLE))
        self.visible = nn.Parameter(torch.randn(VISIBLE))
        self.hidden = nn.Parameter(torch.randn(HIDDEN))

    def energy(self, x, y):
        v = x.to(self.weight)
        return -v @ self.visible - nn.functional.softplus(v @ self.weight.T + self.hidden).sum(1)

    def chain(self, state, noise, sweeps, *, temperature=1.0, known=None):
        v = state.x.to(self.weight)
        for _ in range(sweeps):
            drive = (v @ self.weight.T + self.hidden) / temperature
            h = (noise.uniform(HIDDEN) < torch.sigmoid(drive)).to(v)
            on = noise.uniform(VISIBLE) < torch.sigmoid(
                (h @ self.weight + self.visible) / temperature
            )
            v = on.to(v) if known is None else torch.where(known.x, v, on.to(v))
        return Batch(v.long())


@pytest.fixture
def rbm():
    return RBM(Spec(shape=(VISIBLE,), levels=2))


def probabilities(model):
    return (-model.free_energy(EVERYTHING)).softmax(0).detach()


def chi_square(x, expected):
    counts = torch.bincount((x * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    expected = expected * len(x)
    return float(((counts - expected) ** 2 / expected).sum())


LIMIT = 45.0  # chi-square with 15 degrees of freedom stays below with probability 0.9999


def test_it_has_an_energy_and_no_density():
    assert all(supports(RBM, capability) for capability in (Energy, Samples, Trains))
    assert not supports(RBM, Density)


def test_chains_reach_the_distribution(rbm):
    x = rbm.sample(1500, generator=torch.Generator().manual_seed(1))
    assert chi_square(x, probabilities(rbm)) < LIMIT
    rbm.sample_sweeps = 0  # the test can fail
    assert chi_square(rbm.sample(4000), probabilities(rbm)) > LIMIT


def test_a_sweep_leaves_the_distribution_as_it_is(rbm):
    generator = torch.Generator().manual_seed(2)
    start = torch.multinomial(probabilities(rbm), 4000, replacement=True, generator=generator)
    x = rbm.gibbs(EVERYTHING[start], generator=generator)
    assert chi_square(x, probabilities(rbm)) < LIMIT


def test_the_gradient_is_that_of_the_likelihood_once_chains_are_long(rbm):
    data = EVERYTHING[[3, 3, 12, 5]].repeat(5000, 1)
    rbm.sweeps = 30
    noise = BatchNoise(len(data), torch.Generator().manual_seed(3))
    (objective,) = rbm.objectives()
    objective.loss(Batch(data), noise)["loss"].backward()
    estimate = rbm.weight.grad.clone()
    rbm.zero_grad()
    nats = -rbm.free_energy(data[:4]) - (-rbm.free_energy(EVERYTHING)).logsumexp(0)
    (-nats.mean() / VISIBLE).backward()
    assert torch.allclose(estimate, rbm.weight.grad, atol=0.005)


def test_training_raises_the_likelihood(rbm):
    data = EVERYTHING[[3, 3, 12, 5]].repeat(16, 1)
    before = probabilities(rbm)[[3, 12, 5]].sum()
    (objective,) = rbm.objectives()
    optimiser = torch.optim.Adam(objective.parameters, 0.05)
    noise = BatchNoise(len(data), torch.Generator().manual_seed(4))
    for _ in range(150):
        optimiser.zero_grad()
        objective.loss(Batch(data), noise)["loss"].backward()
        optimiser.step()
    assert probabilities(rbm)[[3, 12, 5]].sum() > max(0.8, float(before) + 0.2)


def test_samples_do_not_depend_on_their_number(rbm):
    few = rbm.sample(3, generator=torch.Generator().manual_seed(5))
    many = rbm.sample(9, generator=torch.Generator().manual_seed(5))
    assert torch.equal(few, many[:3])


def test_completions_follow_the_conditional_law(rbm):
    known = torch.tensor([True, False, True, False])
    x = torch.tensor([[1, 0, 0, 0]]).expand(3000, -1)
    done = rbm.complete(x, known, generator=torch.Generator().manual_seed(6))
    assert not done.exact
    assert "15 sweeps" in done.method
    assert torch.equal(done.x[:, known], x[:, known])
    agrees = (EVERYTHING[:, known] == x[0, known]).all(1)
    expected = probabilities(rbm) * agrees
    expected = (expected / expected.sum())[agrees] * len(x)
    index = (done.x * torch.tensor([8, 4, 2, 1])).sum(1)
    counts = torch.bincount(index, minlength=16)[agrees]
    assert float(((counts - expected) ** 2 / expected).sum()) < 21.1  # 3 degrees of freedom


def test_few_examples_are_summed_and_many_are_not(rbm):
    truth = (-rbm.free_energy(EVERYTHING)).logsumexp(0)
    found = rbm.log_partition()
    assert found.exact
    assert found.lower == found.upper == pytest.approx(float(truth.detach()), abs=1e-5)
    with pytest.raises(SpecError, match="write log_partition"):
        RBM(Spec(shape=(40,), levels=2)).log_partition()


def test_what_it_does_not_take_is_refused(rbm):
    with pytest.raises(SpecError, match="unconditional"):
        rbm.sample(1, y=torch.zeros(1).long())
    with pytest.raises(SpecError, match="labels"):
        rbm.loss(Batch(EVERYTHING[:2], torch.zeros(2).long()), BatchNoise(2))
    with pytest.raises(ConfigError, match="temperature=0"):
        rbm.sample(1, temperature=0)
