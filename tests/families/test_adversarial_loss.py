"""Losses and penalties against their formulas."""

import math

import pytest
import torch
from torch import nn

from genus.families.adversarial_loss import (
    LOSSES,
    between,
    gradient_penalty,
    unit_slope_penalty,
)

REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.4, 3.0])


def log1p_exp(s):
    return (1 + s.exp()).log().mean()


FORMULAS = {
    "non-saturating": (log1p_exp(-REAL) + log1p_exp(FAKE), log1p_exp(-FAKE)),
    "minimax": (log1p_exp(-REAL) + log1p_exp(FAKE), (1 - FAKE.sigmoid()).log().mean()),
    "least-squares": (
        ((REAL - 1) ** 2).mean() / 2 + (FAKE**2).mean() / 2,
        ((FAKE - 1) ** 2).mean() / 2,
    ),
    "wasserstein": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "hinge": ((0 + 1.5 + 0.7) / 3 + (0 + 1.4 + 4) / 3, -FAKE.mean()),
    "relativistic": (log1p_exp(FAKE - REAL), log1p_exp(REAL - FAKE)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_their_papers(name):
    critic, generator = FORMULAS[name]
    loss = LOSSES[name]
    real_B = REAL if loss.needs_real else REAL[:0]
    assert float(loss.critic(REAL, FAKE)) == pytest.approx(float(critic), rel=1e-5)
    assert float(loss.generator(real_B, FAKE)) == pytest.approx(float(generator), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_each_player_is_drawn_to_its_own_side(name):
    """The critic raises real scores and lowers others; the generator raises generated ones."""
    loss = LOSSES[name]
    real_B, fake_B = (s.clone().requires_grad_() for s in (0.2 * REAL, 0.2 * FAKE))
    loss.critic(real_B, fake_B).backward()
    assert (real_B.grad <= 0).all()
    if name != "least-squares":  # which draws scores below 0 upwards
        assert (fake_B.grad >= 0).all()
    fake_B.grad = None
    loss.generator(real_B.detach(), fake_B).backward()
    assert (fake_B.grad <= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_scores_however_large_give_numbers(name):
    sure = torch.full((3,), 1e4)
    for real_B, fake_B in ((sure, -sure), (-sure, sure)):
        assert LOSSES[name].critic(real_B, fake_B).isfinite()
        assert LOSSES[name].generator(real_B, fake_B).isfinite()


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    critic = nn.Linear(6, 1)
    slope = float(critic.weight.detach().norm())
    for n in (1, 7):  # of each example, whatever the batch
        x = torch.randn(n, 6, requires_grad=True)
        penalty_B = unit_slope_penalty(critic(x).squeeze(1), x)
        assert torch.allclose(penalty_B, torch.full((n,), (slope - 1) ** 2), atol=1e-5)


def test_a_critic_without_slope_has_a_penalty_with_a_gradient():
    critic = nn.Linear(6, 1)
    nn.init.zeros_(critic.weight)
    x = torch.randn(4, 6, requires_grad=True)
    penalty = unit_slope_penalty(critic(x).squeeze(1), x).mean()
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(1, abs=1e-4)
    assert critic.weight.grad.isfinite().all()


def test_a_penalty_looks_at_each_example_by_itself():
    """Not at a norm over the batch: the penalty of two is the mean of the penalties of one."""
    x = torch.randn(2, 3)

    def penalty(rows):
        rows = rows.clone().requires_grad_()
        return gradient_penalty((rows**3).sum(1), rows)

    assert torch.allclose(penalty(x), torch.cat([penalty(x[:1]), penalty(x[1:])]))


def test_points_between_lie_on_the_line_of_their_own_pair():
    real, fake = torch.randn(5, 1, 2, 3), torch.randn(5, 1, 2, 3)
    u = torch.tensor([0.0, 1.0, 0.5, 0.25, math.sqrt(0.5)])
    point = between(real, fake, u)
    assert torch.equal(point[0], real[0])
    assert torch.allclose(point[1], fake[1])
    assert torch.allclose(point[3], 0.75 * real[3] + 0.25 * fake[3])
