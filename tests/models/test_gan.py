"""The networks at every size, and that the game moves towards the data."""

import copy

import pytest
import torch

from genus.errors import ConfigError
from genus.models.gan import GAN
from genus.nn.mirrored import halvings
from genus.random import BatchNoise
from genus.spec import Batch, Spec

SPECS = [
    Spec(shape=(1, 8, 8), levels=17),
    Spec(shape=(1, 28, 28), levels=256, classes=10),
    Spec(shape=(3, 32, 32), levels=256),
    Spec(shape=(3, 5, 12), levels=2, classes=2),
    Spec(shape=(1, 1, 1), levels=2),
    Spec(shape=(1, 1, 40), levels=3),
    Spec(shape=(2, 9, 9)),
    Spec(shape=(6,), levels=4, classes=3),
    Spec(shape=(13,), classes=3),
]


def random_batch(spec, n=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *spec.shape, generator=generator)
    if spec.levels:
        x = torch.randint(spec.levels, x.shape, generator=generator)
    return Batch(x, torch.arange(n) % spec.classes if spec.classes else None)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_it_works_at_any_size(spec):
    model = GAN(spec, GAN.Config(**GAN.tiny, r2=0.1))
    batch = random_batch(spec)
    spec.check(model.sample(2, y=None if batch.y is None else batch.y[:2]))
    assert model.score(batch.x).shape == (3,)
    assert model.features(batch.x).shape == (3, 16)
    for objective in model.objectives():
        model.zero_grad()
        objective.loss(batch, BatchNoise(3))["loss"].backward()
        for parameter in objective.parameters:
            assert parameter.grad is not None


def test_sizes_halve_rounding_up():
    assert halvings(28, 28)[-1] == (7, 7)
    assert halvings(32, 32)[-1] == (4, 4)
    assert halvings(1, 40) == [(1, 40), (1, 20), (1, 10), (1, 5)]


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_every_level_is_within_reach(levels):
    model = GAN(Spec(shape=(1, 4, 4), levels=levels), GAN.Config(**GAN.tiny))
    for extreme, level in ((-50.0, 0), (50.0, levels - 1)):
        model.generator.body[-1].bias.data.fill_(extreme)
        assert (model.sample(4) == level).all()


def test_examples_do_not_see_each_other():
    model = GAN(SPECS[0], GAN.Config(**GAN.tiny)).double()
    x = random_batch(SPECS[0], 6).x
    assert torch.allclose(model.score(x)[:2], model.score(x[:2]), atol=1e-12)
    z = torch.randn(6, 4).double()
    assert torch.allclose(model.decode(z).mean[:2], model.decode(z[:2]).mean, atol=1e-12)


def test_the_class_reaches_both_players_and_not_the_features():
    spec = Spec(shape=(1, 8, 8), levels=17, classes=2)
    model = GAN(spec, GAN.Config(**GAN.tiny))
    x = random_batch(spec, 4).x
    zeros, ones = torch.zeros(4).long(), torch.ones(4).long()
    assert torch.equal(model.score(x, zeros), model.score(x, ones))  # it begins impartial
    torch.nn.init.normal_(model.critic.embed.weight)
    assert not torch.equal(model.score(x, zeros), model.score(x, ones))
    z = torch.randn(4, 4)
    assert not torch.equal(model.decode(z, zeros).mean, model.decode(z, ones).mean)


def test_the_penalty_grows_with_the_entries():
    small, large = GAN(Spec(shape=(1, 8, 8), levels=2)), GAN(Spec(shape=(3, 16, 16), levels=2))
    assert large.penalties[0] == pytest.approx(12 * small.penalties[0])


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"r1=-1"):
        GAN.Config(r1=-1)
    with pytest.raises(ConfigError, match="channels=0"):
        GAN.Config(channels=0)


@pytest.mark.slow
def test_training_moves_towards_the_data():
    """Bars, upright or lying by class, in one of six places."""
    spec = Spec(shape=(1, 6, 6), levels=9, classes=2)
    generator = torch.Generator().manual_seed(0)

    def draw(n):
        y = torch.randint(2, (n,), generator=generator)
        place = torch.randint(6, (n,), generator=generator)
        x = torch.zeros(n, 1, 6, 6).long()
        x[torch.arange(n), 0, :, place] = 8
        return Batch(torch.where(y.view(-1, 1, 1, 1) == 1, x.transpose(2, 3), x), y)

    torch.manual_seed(0)
    model = GAN(spec, GAN.Config(latents=8, channels=8, hidden=32, learning_rate=4e-3))
    mean = copy.deepcopy(model.generator)
    players = [
        (o, torch.optim.Adam(o.parameters, o.learning_rate, o.betas)) for o in model.objectives()
    ]
    for _ in range(300):
        for objective, optimiser in players:
            optimiser.zero_grad()
            objective.loss(draw(32), BatchNoise(32, generator))["loss"].backward()
            optimiser.step()
        for slow, fast in zip(mean.parameters(), model.generator.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.05)
    model.generator = mean
    y = torch.arange(200) % 2
    x = model.sample(200, y=y, generator=torch.Generator().manual_seed(1)).squeeze(1)
    x = torch.where(y.view(-1, 1, 1) == 1, x.transpose(1, 2), x).double()
    columns = x.mean(1)  # (200, 6): one should be near 8 and the others near 0
    assert float(columns.max(1).values.mean()) > 5
    assert float((columns.sum(1) - columns.max(1).values).mean()) < 5
    assert len(columns.argmax(1).unique()) >= 3
