import random

import numpy as np
import torch

from genus.training import rng
from genus.training.sampler import Sampler, generator_of, mixed


def rows(sampler, batches):
    return torch.cat([sampler.batch(b) for b in batches])


def test_every_epoch_has_every_row_once():
    sampler = Sampler(rows=10, batch_size=4, seed=0)
    line = rows(sampler, range(10))
    assert len(line) == 40
    for epoch in line.split(10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert not torch.equal(line[:10], line[10:20])


def test_a_batch_depends_on_its_number_alone():
    forwards, jumping = Sampler(100, 7, seed=3), Sampler(100, 7, seed=3)
    expected = [forwards.batch(b) for b in range(60)]
    for b in (59, 3, 40, 0, 59):
        assert torch.equal(jumping.batch(b), expected[b])


def test_a_batch_may_be_larger_than_the_data():
    batch = Sampler(rows=3, batch_size=8, seed=0).batch(1)
    assert len(batch) == 8
    assert set(batch.tolist()) == {0, 1, 2}


def test_seeds_differ():
    assert not torch.equal(Sampler(100, 50, 0).batch(0), Sampler(100, 50, 1).batch(0))
    assert mixed(1, 2, 3) != mixed(1, 3, 2)


def test_global_states_come_back_from_a_stack():
    """A state that is a row of a larger tensor crashes torch itself."""
    before = rng.states()
    drawn = torch.rand(3), np.random.rand(), random.gauss(0, 1), random.gauss(0, 1)
    rng.restore({name: torch.stack((state, state))[1] for name, state in before.items()})
    again = torch.rand(3), np.random.rand(), random.gauss(0, 1), random.gauss(0, 1)
    assert torch.equal(drawn[0], again[0])
    assert drawn[1:] == again[1:]


def test_generators_of_neighbouring_steps_are_unrelated():
    draws = torch.stack([torch.randn(200, generator=generator_of(0, 2, t)) for t in range(50)])
    correlation = torch.corrcoef(draws) - torch.eye(50)
    assert correlation.abs().max() < 0.35
