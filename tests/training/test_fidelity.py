"""The score of models without a likelihood, against closed forms and planted failures."""

import math

import numpy as np
import pytest
import torch
from training_toys import MODES, make, toy_data, toy_modes

from genus import Spec
from genus.data.base import ArraySplit, DataSet
from genus.evaluation.nets import FEATURES, make_trunk
from genus.training import TrainConfig
from genus.training.fidelity import FIELDS, LEAST, MOST, Fidelity, compared, samples_for


class Copies:
    """Draws rows of an array: real examples, one of them, or what is not finite."""

    def __init__(self, x, spec=MODES):
        self.x, self.spec, self.device = torch.as_tensor(x), spec, torch.device("cpu")
        self.asked = []

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        self.asked.append((n, y))
        return self.x[torch.randint(len(self.x), (n,), generator=generator)]


def cloud(n, seed, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(n, 3, generator=generator).double()


def test_the_distance_is_that_of_two_gaussians():
    far = compared(cloud(3000, 1, shift=2.0, scale=0.5), cloud(3000, 2))
    assert far["frechet_distance"] == pytest.approx(3 * (4 + 0.25), rel=0.06)
    assert far["feature_spread"] == pytest.approx(0.5, rel=0.04)
    assert far["rows"] == 3000


def test_samples_of_one_law_get_the_floor_and_vary_as_the_data():
    found = [compared(cloud(400, s), cloud(400, 100 + s)) for s in range(20)]
    mean = np.mean([x["frechet_distance"] for x in found])
    assert mean == pytest.approx(np.mean([x["frechet_floor"] for x in found]), rel=0.3)
    assert np.mean([x["distinct"] for x in found]) == pytest.approx(1, abs=0.03)


def test_few_distinct_samples_are_seen_though_they_spread():
    """Five modes of the data and nothing else: the spread is right, what is distinct is not."""
    few = cloud(5, 3)[torch.arange(400) % 5]
    found = compared(few, cloud(400, 4))
    assert found["feature_spread"] > 0.4
    assert found["distinct"] < 1e-6


def test_constant_data_say_nothing_of_the_spread():
    found = compared(cloud(50, 0), torch.ones(50, 3).double())
    assert (found["feature_spread"], found["distinct"]) == (1, 1)


def test_it_orders_models_and_never_reads_test():
    class Secret(ArraySplit):
        def batch(self, *args, **kwargs):
            raise AssertionError("the test split was read")

    data = toy_modes()
    x = data.valid.batch(torch.arange(400)).x
    secret = Secret(np.zeros((9, 4), np.float32))
    data = DataSet("modes", MODES, {**data.splits, "test": secret}, data.digest)
    fidelity = Fidelity(data, 300, seed=0)
    real, shrunk, one = (
        fidelity(Copies(rows))["frechet_distance"]
        for rows in (data.train.batch(torch.arange(800)).x, 0.7 * x, x[:1])
    )
    assert 3 * real < shrunk < one
    assert fidelity(Copies(x[:1]))["feature_spread"] < 1e-12


def test_samples_that_are_not_finite_are_infinitely_far():
    x = toy_modes().valid.batch(torch.arange(50)).x
    x[7, 1] = math.nan
    found = Fidelity(toy_modes(), 300, seed=0)(Copies(x))
    assert found["frechet_distance"] == math.inf
    assert set(found) == set(FIELDS)


def test_the_features_are_those_that_evaluation_calls_random():
    data = toy_data(200)
    net, real_ND, _ = Fidelity(data, 40, seed=0)._ready()
    wanted = make_trunk(data.spec, 32, 0).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in net.net.state_dict().items())
    train = net(data.train.batch(torch.arange(100)).x)
    assert float(train.var(0).sum()) == pytest.approx(FEATURES)
    assert real_ND.shape == (40, FEATURES)


def test_labels_are_those_of_the_valid_examples():
    spec = Spec(shape=(1, 4, 4), levels=3, classes=2)
    data = toy_data(200, spec=spec)
    model = Copies(data.train.batch(torch.arange(100)).x, spec)
    Fidelity(data, 50, seed=0)(model)
    ((n, y),) = model.asked
    assert n == 50
    assert torch.equal(y, data.valid.batch(torch.arange(50)).y)


def test_the_same_moment_has_the_same_score_and_draws_nothing_from_others():
    model, data = make("gan", spec=MODES, latents=2, hidden=8), toy_modes()
    before = torch.get_rng_state()
    first = Fidelity(data, 200, seed=3)(model)
    assert torch.equal(torch.get_rng_state(), before)
    fidelity = Fidelity(data, 200, seed=3)
    assert fidelity(model) == fidelity(model) == first
    assert Fidelity(data, 200, seed=4)(model) != first


def test_how_many_samples():
    def count(valid=10**6, **budget):
        return samples_for(TrainConfig(batch_size=10, **budget), 3, valid)

    assert count(time_budget=60.0) == MOST
    assert count(steps=100) == max(LEAST, 10 * 3 * 10)
    assert count(steps=10) == LEAST
    assert count(steps=10**6) == MOST
    assert count(steps=10**6, evaluate_every=11) == 330
    assert count(steps=10**6, valid=77) == 77
    assert count(steps=10**6, valid_limit=50) == 50
    assert count(valid=0, steps=10) == 0
