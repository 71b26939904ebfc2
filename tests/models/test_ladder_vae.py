"""What is special to the ladder VAE: groups given those above them, on one way down."""

import pytest
import torch

from genus import create
from genus.errors import ConfigError
from genus.families.latent import LatentVariable
from genus.nn.ladder import group_sizes
from genus.spec import Spec

SPEC = Spec(shape=(1, 12, 9), levels=2)


def loud(spec=SPEC, **config):
    torch.manual_seed(0)
    options = {"groups": 3, "latents": 2, "features": 6, "blocks": 1, **config}
    model = create("ladder-vae", spec, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def test_groups_halve_the_image_and_stop_at_four():
    assert group_sizes(28, 28, 3) == [(4, 4), (7, 7), (14, 14)]
    assert group_sizes(12, 9, 3) == [(3, 3), (3, 3), (6, 5)]
    assert group_sizes(1, 1, 2) == [(1, 1), (1, 1)]
    model = loud()
    assert model.splits == [18, 18, 60]
    assert model.latent_size == 96


def test_the_way_that_infers_agrees_with_encoder_prior_and_decoder():
    model, x = loud(), torch.randint(2, (3, *SPEC.shape))
    eps = torch.randn(3, 2, model.latent_size).double()
    one = model.infer(x, None, eps)
    three = LatentVariable.infer(model, x, None, eps)
    torch.testing.assert_close(one.log_weights(x), three.log_weights(x))
    torch.testing.assert_close(one.log_p_BkG.sum(-1), three.log_p_BkG.sum(-1))


def test_lower_groups_depend_on_those_above_and_not_the_other_way():
    model = loud()
    z = torch.randn(1, model.latent_size).double().requires_grad_()
    priors = []

    def choose(group, state, prior):
        priors.append(prior.mean.sum() + prior.log_scale.sum())
        return z.split(model.splits, 1)[group]

    model.walk(1, None, choose)
    for group, value in enumerate(priors):
        reached = torch.autograd.grad(value, z, retain_graph=True, allow_unused=True)[0]
        reached = torch.zeros_like(z) if reached is None else reached
        seen = [float(part.abs().sum()) > 0 for part in reached.split(model.splits, 1)]
        assert seen == [other < group for other in range(3)]


def test_a_fresh_posterior_is_its_prior():
    model = create("ladder-vae", SPEC, groups=2, latents=2, features=6, blocks=1)
    kl = model.elbo(torch.randint(2, (3, *SPEC.shape))).kl
    torch.testing.assert_close(kl, torch.zeros_like(kl), atol=1e-5, rtol=0)


def test_divergences_are_those_of_draws():
    model, x = loud(), torch.randint(2, (1, *SPEC.shape)).expand(4000, -1, -1, -1)
    found = model.infer(x, None, torch.randn(4000, 1, model.latent_size).double())
    ratio, kl = (found.log_q_BkG - found.log_p_BkG)[:, 0], found.kl_BkG[:, 0]
    error = (ratio.std(0) ** 2 + kl.std(0) ** 2).sqrt() / 4000**0.5
    assert ((ratio.mean(0) - kl.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("spec", [Spec(shape=(5,)), Spec(shape=(7,), levels=3, classes=2)])
def test_vectors_are_images_of_one_position(spec):
    model = loud(spec)
    x = model.sample(4, generator=torch.Generator().manual_seed(0))
    assert x.shape == (4, *spec.shape)
    assert torch.isfinite(model.iwae(x, 3)).all()
    assert {m.kernel_size for m in model.modules() if isinstance(m, torch.nn.Conv2d)} == {(1, 1)}


def test_bad_options_are_named():
    with pytest.raises(ConfigError, match="groups=0 must be above zero"):
        create("ladder-vae", SPEC, groups=0)
    with pytest.raises(ConfigError, match="is for one group of latents"):
        create("ladder-vae", SPEC, objective="dreg", free_bits=0.0)
