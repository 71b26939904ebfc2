"""Losses and penalties against closed forms; what each player may touch."""

import contextlib
import math

import pytest
import torch
from torch import nn

from genus.errors import ConfigError, SpecError
from genus.families.adversarial import BLOCK, Adversarial, frozen
from genus.families.adversarial_loss import NonSaturating, gradient_penalty
from genus.random import BatchNoise
from genus.spec import Batch, Spec


class LinearCritic(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, dims))

    def forward(self, x, y):
        flat = x.flatten(1)
        return flat @ self.weight, flat


class LinearGenerator(nn.Module):
    def __init__(self, latents, shape):
        super().__init__()
        self.linear = nn.Linear(latents, math.prod(shape))
        self.shape = shape

    def forward(self, z, y):
        return self.linear(z).view(-1, *self.shape)


class Toy(Adversarial):
    latents = 3
    penalties = (1.0, 0.5)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        torch.manual_seed(0)
        self.generator = LinearGenerator(self.latents, spec.shape)
        self.critic = LinearCritic(spec.dims)


class Watching(NonSaturating):
    """A loss that looks at both kinds, as relativistic ones do."""

    needs_real = True

    def generator(self, real_B, fake_B):
        assert len(real_B) == len(fake_B)
        assert not real_B.requires_grad
        return nn.functional.softplus(real_B - fake_B).mean()


SPEC = Spec(shape=(1, 2, 3), levels=5)


@pytest.fixture
def toy():
    return Toy(SPEC)


def batch(n=8, spec=SPEC):
    return Batch(torch.randint(5, (n, *spec.shape), generator=torch.Generator().manual_seed(0)))


def noise(n=8, seed=1):
    return BatchNoise(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("loss", [NonSaturating(), Watching()])
def test_each_player_leaves_the_others_gradients_alone(toy, loss):
    toy.loss = loss
    critic, generator = toy.objectives()
    assert not {id(p) for p in critic.parameters} & {id(p) for p in generator.parameters}
    critic.loss(batch(), noise())["loss"].backward()
    assert all(p.grad is None for p in generator.parameters)
    assert all(p.grad is not None for p in critic.parameters)
    toy.zero_grad()
    generator.loss(batch(), noise())["loss"].backward()
    assert all(p.grad is None for p in critic.parameters)
    assert all(p.grad is not None for p in generator.parameters)
    assert all(p.requires_grad for p in toy.parameters())


def test_frozen_holds_when_what_is_inside_fails():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with contextlib.suppress(ZeroDivisionError), frozen(layer):
        assert not layer.weight.requires_grad
        math.fsum([1 / 0])
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_the_penalty_of_a_linear_critic_is_its_squared_weight():
    critic = LinearCritic(6)
    for n in (1, 7):  # of each example, whatever the batch
        x = torch.randn(n, 1, 2, 3, requires_grad=True)
        slope_B = gradient_penalty(critic(x, None)[0], x)
        assert torch.allclose(slope_B, critic.weight.square().sum().expand(n))


def test_the_loss_has_the_weights_of_the_formula(toy):
    toy.spread = lambda real, noise: real
    toy.penalties = (0.0, 0.0)
    plain = float(toy.critic_loss(batch(), noise())["loss"].detach())
    square = float(toy.critic.weight.detach().square().sum())
    for r1, r2 in ((1.0, 0.0), (0.0, 3.0), (0.2, 0.4)):
        toy.penalties = (r1, r2)
        both = float(toy.critic_loss(batch(), noise())["loss"].detach())
        assert both - plain == pytest.approx((r1 + r2) / 2 * square, rel=1e-4)


def test_the_critic_at_its_optimum_gives_the_logistic_value():
    # Undecided scores cost log 2 for each kind; the generator then pays log 2.
    zero = torch.zeros(5)
    loss = NonSaturating()
    assert float(loss.critic(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(loss.generator(zero[:0], zero)) == pytest.approx(math.log(2))
    sure = torch.full((5,), 1e4)  # no overflow
    assert float(loss.critic(-sure, sure)) == pytest.approx(2e4)
    assert float(loss.generator(zero[:0], -sure)) == pytest.approx(1e4)


def test_losses_are_those_of_the_doubled_batch(toy):
    toy.spread = lambda real, noise: real
    z = torch.randn(4, 3)

    class Fixed:
        def __init__(self, times):
            self.times, self.n = times, 4 * times

        def normal(self, *shape):
            return z.repeat(self.times, 1)

        uniform = None  # not asked for

    one, two = batch(4), Batch(batch(4).x.repeat(2, 1, 1, 1))
    for loss in (toy.critic_loss, toy.generator_loss):
        assert torch.allclose(loss(one, Fixed(1))["loss"], loss(two, Fixed(2))["loss"], atol=1e-6)


def test_levels_and_reals_go_to_the_networks_scale_and_back(toy):
    x = torch.arange(5).view(-1, 1, 1, 1).expand(5, 1, 2, 3)
    assert toy.to_real(x).flatten(1)[:, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert torch.equal(toy.to_data(toy.to_real(x)).round().long(), x)
    many = x.repeat(400, 1, 1, 1)
    spread = toy.spread(toy.to_real(many), noise(2000))
    assert torch.equal(toy.to_data(spread).round().long(), many)
    deviation = float((spread - toy.to_real(many)).std())
    assert deviation == pytest.approx(0.5 / math.sqrt(12), rel=0.05)
    real = Toy(Spec(shape=(2,)))
    data = torch.tensor([[0.0, 100.0], [2.0, 300.0]])
    real.initialise(Batch(data))
    assert torch.allclose(real.to_real(data), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    assert torch.allclose(real.to_data(real.to_real(data)), data)
    assert torch.equal(real.spread(data, noise(2)), data)
    assert torch.equal(real.rounded(data), data)


def test_rounding_passes_the_gradient(toy):
    out = torch.tensor([[-1.4, -0.7, 0.1, 0.3, 0.9, 1.2]], requires_grad=True)
    rounded = toy.rounded(out)
    assert torch.allclose(rounded, torch.tensor([[-1, -0.5, 0, 0.5, 1, 1]]))
    rounded.sum().backward()  # descent lowers all: at -1.4 that leads further out
    assert out.grad.tolist() == [[0, 1, 1, 1, 1, 1]]
    out.grad = None
    (-toy.rounded(out * 1.2)).sum().backward()  # descent raises all: 1.44 is beyond 1.25
    assert torch.allclose(out.grad, -1.2 * torch.tensor([[1.0, 1, 1, 1, 1, 0]]))


def test_a_sample_depends_on_nothing_beside_it(toy):
    def draw(n):
        return toy.sample(n, generator=torch.Generator().manual_seed(3))

    many = draw(BLOCK + 5)
    assert torch.equal(draw(1), many[:1])
    assert torch.equal(draw(BLOCK + 1), many[: BLOCK + 1])
    assert toy.sample(0).shape == (0, 1, 2, 3)


def test_temperature_is_a_factor_on_the_noise(toy):
    typical = toy.decode(torch.zeros(1, 3)).icdf()
    cold = toy.sample(20, temperature=1e-9)
    assert torch.equal(cold, typical.expand(20, 1, 2, 3))
    with pytest.raises(ConfigError, match="temperature=-1"):
        toy.sample(1, temperature=-1)


def test_decoding_is_differentiable_and_wants_its_labels(toy):
    z = torch.randn(2, 3, requires_grad=True)
    toy.decode(z).mean.sum().backward()
    assert z.grad.abs().sum() > 0
    with pytest.raises(SpecError, match="unconditional"):
        toy.decode(z, torch.zeros(2).long())
    with pytest.raises(SpecError, match="labels y"):
        Toy(Spec(shape=(1, 2, 3), levels=5, classes=2)).decode(z)


def test_the_score_without_a_label_is_the_mean_over_classes():
    class Classy(LinearCritic):
        def forward(self, x, y):
            score_B, features = super().forward(x, y)
            return score_B + 10.0 * y, features

    model = Toy(Spec(shape=(1, 2, 3), levels=5, classes=2))
    model.critic = Classy(6)
    model.set_class_prior(torch.tensor([8.0, 2.0]))
    x = batch(3).x
    base = model.score(x, torch.zeros(3).long())
    assert torch.allclose(model.score(x, torch.ones(3).long()), base + 10)
    assert torch.allclose(model.score(x), base + 10 * 3 / 12, atol=1e-5)
    assert model.features(x).shape == (3, 6)
