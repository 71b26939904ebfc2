"""The adversarial models at every size, and what each of their games is made of."""

import math

import pytest
import torch
from tests.models.test_gan import random_batch
from torch import nn

from genus import registry
from genus.errors import ConfigError, SpecError
from genus.models.r3gan import R3GAN
from genus.models.sngan import SNGAN
from genus.models.wgan_gp import WGANGP
from genus.nn.inverted import InvertedResidual
from genus.random import BatchNoise
from genus.spec import Batch, Spec

IMAGES = ("dcgan", "lsgan", "r3gan")
ANY = ("wgan-gp", "sngan")
SPECS = [
    Spec(shape=(1, 8, 8), levels=17),
    Spec(shape=(1, 28, 28), levels=256, classes=10),
    Spec(shape=(3, 32, 32), levels=256),
    Spec(shape=(3, 64, 64), levels=256, classes=3),
    Spec(shape=(3, 5, 12), levels=2, classes=2),
    Spec(shape=(2, 9, 9)),
    Spec(shape=(1, 1, 1), levels=2),
]


def make(name, spec, seed=0, **options):
    torch.manual_seed(seed)
    cls = registry.get(name)
    return cls(spec, cls.Config(**{**cls.tiny, **options}))


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", [*IMAGES, *ANY])
def test_it_works_at_any_size(name, spec):
    model, batch = make(name, spec), random_batch(spec)
    spec.check(model.sample(2, y=None if batch.y is None else batch.y[:2]))
    assert model.score(batch.x).shape == (3,)
    assert model.features(batch.x).shape[0] == 3
    for objective in model.objectives():
        model.zero_grad()
        told = objective.loss(batch, BatchNoise(3))
        told["loss"].backward()
        assert all(value.isfinite() for value in told.values())
        for parameter in objective.parameters:
            assert parameter.grad is not None


@pytest.mark.parametrize("name", [*IMAGES, *ANY])
def test_a_sample_sees_no_other_whatever_the_mode(name):
    model = make(name, Spec(shape=(1, 8, 8), levels=17)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    few = model.sample(2, generator=torch.Generator().manual_seed(0))
    many = model.sample(70, generator=torch.Generator().manual_seed(0))
    assert torch.equal(few, many[:2])
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", ["gan", *IMAGES, *ANY])
def test_a_step_of_one_player_leaves_the_others_gradients_alone(name):
    model = make(name, Spec(shape=(1, 8, 8), levels=17)).train()
    batch = random_batch(model.spec)
    critic, generator = model.objectives()
    for mover, rival in ((critic, generator), (generator, critic)):
        model.zero_grad()
        mover.loss(batch, BatchNoise(3))["loss"].backward()
        assert all(weight.grad is None for weight in rival.parameters)
        assert any(weight.grad.abs().sum() > 0 for weight in mover.parameters)


@pytest.mark.parametrize("name", IMAGES)
def test_vectors_are_refused_where_networks_are_of_images(name):
    with pytest.raises(SpecError, match="images"):
        make(name, Spec(shape=(5,), levels=2))


@pytest.mark.parametrize("name", [*IMAGES, *ANY])
def test_the_critic_sees_changed_images_of_both_kinds(name, monkeypatch):
    model = make(name, Spec(shape=(1, 8, 8), levels=17), augment=0.9)
    batch, seen = random_batch(model.spec), []
    critic = model._critic
    monkeypatch.setattr(model, "_critic", lambda x, y: seen.append(x.detach()) or critic(x, y))
    for objective in model.objectives():
        objective.loss(batch, BatchNoise(3, torch.Generator().manual_seed(0)))["loss"].backward()
    plain = model.to_real(batch.x)
    assert all((x.mean((1, 2, 3)) - plain.mean((1, 2, 3))).abs().max() > 0.05 for x in seen)
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ANY)
def test_vectors_cannot_be_augmented(name):
    with pytest.raises(SpecError, match=r"images for augment=0\.5"):
        make(name, Spec(shape=(5,), levels=2), augment=0.5)


def test_a_normalised_layer_has_slope_one():
    model = make("sngan", Spec(shape=(1, 8, 8), levels=17)).train()
    batch = random_batch(model.spec)
    for _ in range(60):  # each pass improves the singular value by one iteration
        model.score(batch.x)
    largest = torch.linalg.matrix_norm(model.critic.score.weight.detach(), 2)
    assert float(largest) == pytest.approx(1, abs=1e-3)
    for module in model.critic.body:
        if isinstance(module, torch.nn.Linear):
            assert float(torch.linalg.matrix_norm(module.weight.detach(), 2)) == pytest.approx(
                1, abs=0.02
            )
    model.eval()
    assert torch.equal(model.score(batch.x), model.score(batch.x))


def test_the_wasserstein_critic_pays_for_its_slope():
    model = make("wgan-gp", Spec(shape=(1, 8, 8), levels=17))
    batch = random_batch(model.spec)
    told = model.critic_loss(batch, BatchNoise(3, torch.Generator().manual_seed(0)))
    expected = told["fake"] - told["real"] + 10 * told["unit_slope"]
    assert float(told["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)
    assert [o.repeats for o in model.objectives()] == [2, 1]


def test_real_numbers_are_learnt_in_reduced_precision():
    model = make("wgan-gp", Spec((3,)))
    with torch.autocast("cpu", torch.bfloat16):
        for objective in model.objectives():
            noise = BatchNoise(4, torch.Generator().manual_seed(0))
            objective.loss(Batch(torch.randn(4, 3)), noise)["loss"].backward()


def test_the_penalties_fall_to_their_rest_in_half_of_the_training():
    model = make("r3gan", Spec(shape=(1, 32, 32), levels=2), gamma=0.8, rest=0.25)
    found = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.anneal(progress)
        assert model.penalties[0] == model.penalties[1]
        found.append(model.penalties[0])
    assert found == pytest.approx([0.8, 0.5, 0.2, 0.2])


def test_fresh_blocks_pass_their_input_on():
    model = make("r3gan", Spec(shape=(1, 28, 28), levels=256))
    for player in (model.generator, model.critic):
        blocks = [part for part in player.modules() if isinstance(part, InvertedResidual)]
        assert blocks
        for block in blocks:
            x = torch.randn(2, block.widen.in_channels, 7, 7)
            assert torch.equal(block(x), x)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 64, 64)])
def test_the_penalties_grow_with_the_number_of_entries(shape):
    model = make("r3gan", Spec(shape=shape, levels=256), gamma=0.8)
    assert model.penalties == pytest.approx((0.8 * math.prod(shape) / 1024,) * 2)


def test_options_out_of_range_are_refused():
    for config, message in (
        (lambda: R3GAN.Config(gamma=-1), "gamma=-1"),
        (lambda: R3GAN.Config(rest=1.0), r"rest=1\.0"),
        (lambda: WGANGP.Config(critic_steps=0), "critic_steps=0"),
        (lambda: SNGAN.Config(channels=0), "channels=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            config()


@pytest.mark.parametrize("shape", [(1, 17, 33), (3, 64, 64), (2, 16, 5), (1, 1, 20)])
def test_r3gan_takes_images_of_any_size(shape):
    model = make("r3gan", Spec(shape=shape, levels=256))
    x = model.sample(2, generator=torch.Generator().manual_seed(0))
    assert x.shape == (2, *shape)
    assert model.score(x).shape == (2,)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (3, 1, 2)])
@pytest.mark.parametrize("name", ["dcgan", "lsgan"])
def test_a_fresh_generator_already_makes_images_of_unit_size(name, shape):
    """Beyond the range of levels the game is lost at first; at nothing all samples are the same."""
    torch.manual_seed(0)
    model = registry.get(name)(Spec(shape, levels=256)).eval()
    with torch.no_grad():
        made = model.generator(torch.randn(200, model.latents), None)
    assert 0.3 < float(made.std(0).mean()) < 1.5
    norms = [module for module in model.generator.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
