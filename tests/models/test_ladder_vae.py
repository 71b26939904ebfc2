"""What is special to the ladder VAE: groups given those above them, on one way down."""

import itertools
import math

import pytest
import torch

from genus import create
from genus.errors import ConfigError, SpecError
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


DECODERS = ["independent", "pixelcnn", "row-lstm", "diagonal-bilstm"]
SMALL = {"decoder_features": 6, "decoder_layers": 1, "conditioning": 3}


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_way_that_infers_agrees_with_encoder_prior_and_decoder(decoder):
    model, x = loud(decoder=decoder, **SMALL), torch.randint(2, (3, *SPEC.shape))
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


TINY = Spec(shape=(1, 2, 3), levels=2)
COLOUR = Spec(shape=(3, 4, 5), levels=4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_given_latents_the_probabilities_of_all_images_sum_to_one(decoder):
    model = loud(TINY, decoder=decoder, groups=1, **SMALL)
    x = torch.tensor(list(itertools.product((0, 1), repeat=6))).view(64, *TINY.shape)
    z = torch.randn(1, model.latent_size).double()
    total = model.decode(z.expand(64, -1)).log_prob(x).flatten(1).sum(1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("decoder", DECODERS[1:])
def test_a_pixel_network_lets_pixels_depend_on_each_other(decoder):
    """Given the latents, the joint law of two neighbours is no product of theirs."""
    model = loud(TINY, decoder=decoder, groups=1, **SMALL)
    x = torch.tensor(list(itertools.product((0, 1), repeat=6))).view(64, *TINY.shape)
    z = torch.randn(1, model.latent_size).double()
    p = model.decode(z.expand(64, -1)).log_prob(x).flatten(1).sum(1).exp()
    a, b = x[:, 0, 0, 0] == 1, x[:, 0, 0, 1] == 1
    together, apart = p[a & b].sum(), p[a].sum() * p[b].sum()
    assert abs(together - apart) > 1e-3


@pytest.mark.parametrize("classes", [None, 3])
def test_a_pixel_network_completes_and_keeps_what_is_known(classes):
    spec = Spec(shape=(3, 4, 5), levels=3, classes=classes)
    model = loud(spec, decoder="row-lstm", **SMALL)
    x = model.sample(4, generator=torch.Generator().manual_seed(0))
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    done = model.complete(x, known, generator=torch.Generator().manual_seed(2))
    assert torch.equal(done.x[known], x[known])
    assert not done.exact
    assert (done.x[~known] != x[~known]).any()


def test_a_label_reaches_the_pixel_network():
    spec = Spec(shape=(1, 4, 5), levels=2, classes=2)
    model = loud(spec, decoder="diagonal-bilstm", **SMALL)
    x, z = torch.zeros(1, *spec.shape, dtype=torch.long), torch.zeros(1, model.latent_size)
    zero, one = (
        model.decode(z.double(), torch.tensor([label])).log_prob(x).sum() for label in (0, 1)
    )
    assert abs(zero - one) > 1e-3


def test_what_a_pixel_network_cannot_do_is_said():
    with pytest.raises(ConfigError, match="likelihood='logistic' is for decoder='independent'"):
        create("ladder-vae", SPEC, decoder="pixelcnn", likelihood="logistic")
    create("ladder-vae", SPEC, decoder="pixelcnn", likelihood="bernoulli")
    with pytest.raises(ConfigError, match="decoder_features=5 must be at least 6"):
        create("ladder-vae", COLOUR, decoder="row-lstm", decoder_features=5)
    with pytest.raises(ConfigError, match="conditioning=0"):
        create("ladder-vae", SPEC, decoder="pixelcnn", conditioning=0)
    with pytest.raises(ConfigError, match="decoder"):
        create("ladder-vae", SPEC, decoder="nade")
    with pytest.raises(SpecError, match="images"):
        create("ladder-vae", Spec(shape=(4,)), decoder="pixelcnn")


def test_however_wild_the_weights_no_divergence_runs_away():
    """A latent may cost 11,020 nats: a shift and a log scale of 5, and no more."""
    model, x = loud(), torch.randint(2, (3, *SPEC.shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 100
    kl = model.elbo(x).kl / torch.tensor(model.splits)
    assert kl.max() > 10
    assert (kl <= 0.5 * (5**2 + math.exp(10) - 1) - 5).all()
