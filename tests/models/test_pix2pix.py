"""pix2pix: what is in its losses, how far its critic looks, and that it learns to use the image."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genus.capabilities import Criticises, Decodes, Features, Samples, Trains, supports
from genus.data.degradations import Downsample
from genus.errors import ConfigError, SpecError
from genus.models.pix2pix import PatchCritic, Pix2Pix, enlarged
from genus.nn.unet import UNet
from genus.random import BatchNoise
from genus.spec import Batch, Spec

SPEC = Spec((1, 8, 8), levels=17, condition=(1, 4, 4))
SMALL = Pix2Pix.Config(channels=4, critic_channels=4, latents=3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n, spec=SPEC, seed=0):
    return torch.randint(spec.levels, (n, *spec.shape), generator=generator(seed))


def made(spec=SPEC, config=SMALL, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Pix2Pix(spec, config).double()


def pairs(n, seed=0):
    x = images(n, seed=seed)
    return Batch(x, Downsample(2)(x, SPEC))


def test_it_samples_decodes_and_criticises_and_has_no_features():
    able = (Samples, Decodes, Criticises, Trains)
    assert all(supports(Pix2Pix, capability) for capability in able)
    assert not supports(Pix2Pix, Features)


def test_the_generators_loss_is_that_of_the_game_and_lambda_times_the_mean_distance():
    batch, total = pairs(5), {}
    for weight in (0.0, 100.0, 7.0):
        config = Pix2Pix.Config(channels=4, critic_channels=4, latents=3, l1=weight)
        total[weight] = made(config=config).generator_loss(
            batch, BatchNoise(5, generator(), dtype=torch.float64)
        )
    model = made()
    z = model.prior().draw(BatchNoise(5, generator(), dtype=torch.float64))
    fake = model.generator(z, batch.y.double() / 8 - 1)  # 17 levels on -1 .. 1
    distance = float((fake - (batch.x.double() / 8 - 1)).abs().mean().detach())
    for weight, found in total.items():
        own = float((found["loss"] - total[0.0]["loss"]).detach())
        assert own == pytest.approx(weight * distance)
    assert float(total[7.0]["l1"]) == pytest.approx(distance)
    assert "l1" not in total[0.0]


def test_the_critics_loss_is_logistic_on_pairs_that_share_their_condition():
    model, batch = made(), pairs(6)
    seen = []
    model.critic.register_forward_pre_hook(lambda net, given: seen.append(given))
    found = model.critic_loss(batch, BatchNoise(6, generator(), dtype=torch.float64))
    (real, y), (fake, same) = seen
    assert torch.equal(y, same)
    assert torch.equal(y, batch.y.double() / 8 - 1)
    wanted = (
        F.softplus(-model.critic(real, y)[0]).mean() + F.softplus(model.critic(fake, y)[0]).mean()
    )
    assert float(found["loss"].detach()) == pytest.approx(float(wanted.detach()))


@pytest.mark.parametrize("halvings", [1, 2, 3])
def test_a_score_is_a_mean_over_patches_of_the_side_that_is_said(halvings):
    spec = Spec((1, 48, 48), levels=2, condition=(1, 48, 48))
    critic = PatchCritic(spec, 2, halvings).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(0.1)  # so that no path is closed
    x = torch.rand(1, 1, 48, 48, generator=generator(), dtype=torch.float64, requires_grad=True)
    h = critic.score(critic.body(torch.cat([x, x.detach()], 1)))
    middle = h.shape[2] // 2
    (gradient,) = torch.autograd.grad(h[0, 0, middle, middle], x)
    assert int((gradient[0, 0] != 0).any(0).sum()) == 2 ** (halvings + 2) - 1
    assert float(critic(x, x.detach())[0].detach()) == pytest.approx(float(h.detach().mean()))


def without_norms(net):
    """Return a net whose normalisation, through which every pixel sees every other, is gone."""
    for layer in net.modules():
        if isinstance(layer, nn.Sequential):
            layer[1] = nn.Identity()
    return net.double()


def seen_from_the_corner(net):
    x = torch.randn(1, 1, 12, 9, generator=generator(), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, 0, 0], x)
    return int((gradient != 0).sum())


def test_the_net_sees_far_by_its_bottom_and_near_by_what_is_handed_across():
    net = without_norms(UNet(1, 1, (12, 9), channels=4))
    whole = seen_from_the_corner(net)
    for layer in (net.bottom, *net.up[:-1]):
        layer.register_forward_hook(lambda layer, given, out: torch.zeros_like(out))
    near = seen_from_the_corner(net)
    assert whole == 12 * 9
    assert near == 9  # two layers of 3x3 see 3 pixels each way; the corner has 9 of them


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 7), (8, 15), (28, 28), (33, 4)])
def test_images_of_any_size_work(size):
    spec = Spec((2, *size), levels=5, condition=(3, 2, 3))
    model = made(spec)
    y = images(3, Spec((3, 2, 3), levels=5))
    assert spec.check(model.sample(3, y=y, generator=generator())).shape == (3, 2, *size)
    assert model.score(images(3, spec), y).shape == (3,)


def test_a_condition_is_enlarged_by_repeating_its_pixels():
    y = torch.tensor([[[[1.0, 2.0]]]])
    assert enlarged(y, (2, 4)).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    assert enlarged(y, (1, 2)) is y


def test_samples_differ_by_noise_and_by_condition_and_by_nothing_else():
    model, y = made(), pairs(70).y
    x = model.sample(70, y=y, generator=generator(1))
    assert torch.equal(model.sample(70, y=y, generator=generator(1)), x)
    assert torch.equal(model.sample(3, y=y[:3], generator=generator(1)), x[:3])
    assert not torch.equal(model.sample(70, y=y, generator=generator(2)), x)
    assert not torch.equal(model.sample(70, y=y.flip(0), generator=generator(1)), x)


def test_what_is_missing_is_said():
    model, x = made(), images(2)
    for call in (
        lambda: model.sample(2, generator=generator()),
        lambda: model.score(x),
        lambda: model.decode(torch.zeros(2, 3, dtype=torch.float64)),
    ):
        with pytest.raises(SpecError, match="pix2pix needs images y to go by"):
            call()
    with pytest.raises(ConfigError, match=r"l1=-1\.0 must not be below zero"):
        Pix2Pix.Config(l1=-1.0)
    with pytest.raises(ConfigError, match="halvings=0 must be above zero"):
        Pix2Pix.Config(halvings=0)


def test_what_to_change_are_options_that_it_has_and_no_model_that_goes_by_nothing():
    assert made().remedies("collapse") == ("--set l1=400 (now 100)",)
    assert made().remedies("chance") == ("--set l1=25 (now 100)",)
    free = made(config=Pix2Pix.Config(channels=4, critic_channels=4, l1=0.0))
    assert free.remedies("divergence") == ("--set l1=100 (now 0)",)


def test_a_few_steps_bring_samples_nearer_to_their_own_originals():
    model = made(config=Pix2Pix.Config(channels=8, critic_channels=4, latents=2)).float()
    players = [
        (o, torch.optim.Adam(o.parameters, lr=3e-3, betas=o.betas)) for o in model.objectives()
    ]
    # Images of two levels in blocks: the smaller image says all.
    x = 16 * images(64, Spec((1, 4, 4), levels=2)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    batch = Batch(x, Downsample(2)(x, SPEC))

    def distance(y):
        made_of = model.sample(64, y=y, generator=generator(5))
        return float((made_of - x).abs().double().mean())

    before = distance(batch.y)
    for step in range(60):
        for objective, optimiser in players:
            optimiser.zero_grad()
            loss = objective.loss(batch, BatchNoise(64, generator(step)))["loss"]
            assert math.isfinite(float(loss.detach()))
            loss.backward()
            optimiser.step()
    model.eval()
    assert distance(batch.y) < 0.3 * before
    assert distance(batch.y.roll(1, 0)) > 2 * distance(batch.y)  # another's image is no help
