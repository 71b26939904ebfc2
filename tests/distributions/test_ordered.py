"""A law of entries one after the other, held against the sum over all examples."""

import itertools
import math

import pytest
import torch

from genus.distributions import Bernoulli
from genus.distributions.ordered import DRAWS, OrderedLaw

D = 4
ORDER = [2, 0, 3, 1]


class Chain:
    """Bits that follow one another in an order, each with log-odds linear in those before it."""

    def __init__(self, rows):
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(D, D, generator=generator).double()
        rank = torch.tensor(ORDER).argsort()
        self.weight = torch.where(rank[None] < rank[:, None], 2 * weight, 0.0)
        self.bias = torch.randn(rows, D, generator=generator).double()

    def conditionals(self, x):
        logits = x.flatten(1).double() @ self.weight.T + self.bias
        return Bernoulli(logits.view(x.shape))

    def stream(self):
        return Walk(self)

    def law(self):
        rows = len(self.bias)
        return OrderedLaw(self.conditionals, self.stream, ORDER, (rows, 1, 2, 2))


class Walk:
    def __init__(self, chain):
        self.chain, self.position = chain, 0
        self.x = torch.zeros(len(chain.bias), D, dtype=torch.long)

    def next(self):
        return Bernoulli(self.chain.conditionals(self.x).logits[:, ORDER[self.position]])

    def push(self, value):
        self.x[:, ORDER[self.position]] = value
        self.position += 1


def everything():
    return torch.tensor(list(itertools.product((0, 1), repeat=D))).view(-1, 1, 2, 2)


def probabilities(temperature=1.0):
    """p of all 16 examples under the first row's law."""
    chain = Chain(16)
    chain.bias = chain.bias[:1].expand(16, -1)
    return chain.law().tempered(temperature).log_prob(everything()).flatten(1).sum(1).exp()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_probabilities_of_all_examples_sum_to_one(temperature):
    assert probabilities(temperature).sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_law(temperature):
    n, chain = 20_000, Chain(1)
    chain.bias = chain.bias.expand(n, -1)
    u = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = chain.law().tempered(temperature).icdf(u).flatten(1)
    counts = torch.bincount((drawn * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    chain.bias = chain.bias[:16]
    p = chain.law().tempered(temperature).log_prob(everything()).flatten(1).sum(1).exp()
    error = (n * p * (1 - p)).sqrt().clamp(min=1)
    assert ((counts - n * p).abs() / error).max() < 5


def test_temperatures_multiply():
    law, x = Chain(16).law(), everything()
    twice = law.tempered(2.0).tempered(0.25)
    torch.testing.assert_close(twice.log_prob(x), law.tempered(0.5).log_prob(x))


def test_filling_keeps_what_is_known_and_lets_it_tell_what_comes_after():
    n, chain = 20_000, Chain(1)
    chain.bias = chain.bias.expand(n, -1)
    first = ORDER[0]
    x = torch.ones(n, 1, 2, 2, dtype=torch.long)
    known = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    known.view(-1)[first] = True
    u = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    filled = chain.law().fill(x, known.expand_as(x), u).flatten(1)
    assert (filled[:, first] == 1).all()
    chain.bias = chain.bias[:16]
    space = everything()
    p = chain.law().log_prob(space).flatten(1).sum(1).exp()
    p = torch.where(space.flatten(1)[:, first] == 1, p, 0.0)
    expected = (p / p.sum()) @ space.flatten(1).double()
    error = (expected * (1 - expected) / n).sqrt().clamp(min=1e-3)
    assert ((filled.double().mean(0) - expected).abs() / error).max() < 5


def test_nothing_is_asked_behind_the_last_missing_entry():
    chain, asked = Chain(2), []

    class Counted(Walk):
        def next(self):
            asked.append(self.position)
            return super().next()

    law = OrderedLaw(chain.conditionals, lambda: Counted(chain), ORDER, (2, 1, 2, 2))
    u = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    known = torch.ones(2, 1, 2, 2, dtype=torch.bool)
    known.view(2, D)[0, ORDER[0]] = known.view(2, D)[1, ORDER[1]] = False
    x = torch.ones(2, 1, 2, 2, dtype=torch.long)
    filled = law.fill(x, known, u)
    assert asked == [0, 1]
    assert torch.equal(filled[known], x[known])
    assert torch.equal(law.fill(filled, torch.ones_like(known), u), filled)
    assert asked == [0, 1]


def test_the_mean_is_that_of_draws_which_are_always_the_same():
    law = Chain(500).law()
    mean = law.mean
    assert torch.equal(mean, law.mean)
    assert torch.equal(mean * DRAWS, (mean * DRAWS).round())
    exact = sum(
        law.log_prob(x.expand(500, 1, 2, 2)).flatten(1).sum(1).exp().view(-1, 1, 1, 1) * x
        for x in everything()
    )
    error = 0.5 / math.sqrt(DRAWS)
    assert (mean.double() - exact).mean((0, 1)).abs().max() < 3 * error
    assert torch.corrcoef(torch.stack([mean.flatten().double(), exact.flatten()]))[0, 1] > 0.7


def test_the_mean_of_a_row_does_not_depend_on_the_others():
    many, one = Chain(500), Chain(500)
    one.bias = one.bias[:1]
    assert torch.equal(many.law().mean[:1], one.law().mean)
    many.bias = many.bias[:1].expand(500, -1)
    assert torch.equal(many.law().mean, one.law().mean.expand(500, 1, 2, 2))
