"""Laws of latents against torch's, quadrature and the change-of-variables formula."""

import math

import pytest
import torch
from torch import distributions as oracle

from genus import create
from genus.distributions.flow import InverseFlow, MaskedFlow, affine_steps, spline_steps
from genus.distributions.full_gaussian import FullGaussian, factor_from
from genus.distributions.gaussian import DiagonalGaussian
from genus.distributions.latent_law import LatentLaw, Posterior
from genus.distributions.latent_mixture import LatentMixture
from genus.distributions.posteriors import posterior_part
from genus.distributions.priors import OrderedLaw, VampPrior
from genus.random import ExampleNoise
from genus.spec import Spec


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(n, seed=0):
    return ExampleNoise(n, torch.Generator().manual_seed(seed), dtype=torch.float64)


def loud(steps, seed=0):
    steps.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in steps.parameters():
            shift = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.25 * shift)
    return steps


def full(batch=3, size=4):
    below = normal(batch, size * (size - 1) // 2, seed=1)
    return FullGaussian(normal(batch, size), factor_from(0.5 * normal(batch, size, seed=2), below))


def mixture(components=3, size=2):
    scale = 0.4 * normal(components, size, seed=2) - 0.5
    return LatentMixture(normal(components), 2 * normal(components, size, seed=1), scale)


def inverse_flow(batch=3, size=4, context=2, maps=affine_steps):
    base = DiagonalGaussian(normal(batch, size), 0.3 * normal(batch, size, seed=1))
    return InverseFlow(base, tuple(loud(maps(size, 3, 8, context))), normal(batch, context))


def spline_flow(batch=3, size=4, context=2):
    return inverse_flow(batch, size, context, spline_steps)


def masked_flow(size=2):
    return MaskedFlow(size, tuple(loud(affine_steps(size, 2, 8))))


def diagonal(batch=3, size=4):
    return DiagonalGaussian(normal(batch, size), 0.5 * normal(batch, size, seed=1))


def test_a_full_gaussian_is_torchs():
    law, z = full(), normal(3, 4, seed=5)
    theirs = oracle.MultivariateNormal(law.mean, scale_tril=law.factor)
    torch.testing.assert_close(law.log_prob(z), theirs.log_prob(z))
    other = diagonal()
    wide = oracle.MultivariateNormal(other.mean, scale_tril=torch.diag_embed(other.log_scale.exp()))
    torch.testing.assert_close(law.kl(other), oracle.kl_divergence(theirs, wide))


def test_a_full_gaussian_without_what_is_below_the_diagonal_is_a_diagonal_one():
    plain = diagonal()
    law = FullGaussian(plain.mean, factor_from(plain.log_scale, torch.zeros(3, 6).double()))
    z = normal(3, 4, seed=5)
    torch.testing.assert_close(law.log_prob(z), plain.log_prob(z))
    torch.testing.assert_close(law.kl(plain), torch.zeros(3).double())


def test_a_mixture_is_torchs():
    law, z = mixture(), normal(2, 5, 2, seed=5)
    theirs = oracle.MixtureSameFamily(
        oracle.Categorical(logits=law.logits_K),
        oracle.Independent(oracle.Normal(law.mean_KZ, law.log_scale_KZ.exp()), 1),
    )
    torch.testing.assert_close(law.log_prob(z), theirs.log_prob(z))


def test_a_mixture_of_narrow_components_keeps_its_precision_in_float32():
    mean = torch.tensor([[3.0, -2.0]])
    law = LatentMixture(torch.zeros(1), mean, torch.full((1, 2), -6.0))
    expected = DiagonalGaussian(mean.double(), torch.full((1, 2), -6.0).double())
    z = mean + 0.002
    torch.testing.assert_close(
        law.log_prob(z).double(), expected.log_prob(z.double()), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("make", [diagonal, full, inverse_flow, spline_flow])
def test_a_draw_comes_with_its_own_density(make):
    law, eps = make(), normal(3, 2, 4, seed=7)
    assert isinstance(law, Posterior)
    z, log_q = law.from_noise(eps)
    for draw in range(2):
        torch.testing.assert_close(log_q[:, draw], law.log_prob(z[:, draw]))
    torch.testing.assert_close(law.from_noise(torch.zeros_like(eps))[0][:, 0], law.centre)


@pytest.mark.parametrize("make", [inverse_flow, spline_flow])
def test_the_density_of_a_flow_is_that_of_the_change_of_variables(make):
    law, eps = make(batch=1), normal(1, 1, 4, seed=7)

    def to_latents(flat):
        return law.from_noise(flat.view(1, 1, 4))[0].flatten()

    jacobian = torch.autograd.functional.jacobian(to_latents, eps.flatten())
    expected = oracle.Normal(0.0, 1.0).log_prob(eps).sum() - jacobian.slogdet().logabsdet
    torch.testing.assert_close(law.from_noise(eps)[1].squeeze(), expected)


@pytest.mark.parametrize("maps", [affine_steps, spline_steps])
def test_flows_begin_as_the_identity_and_later_depend_on_their_context(maps):
    fresh = InverseFlow(diagonal(), tuple(maps(4, 2, 8, 2).double()), normal(3, 2))
    torch.testing.assert_close(fresh.centre, fresh.base.mean)
    law = inverse_flow(maps=maps)
    moved = InverseFlow(law.base, law.steps, law.context_BC + 1)
    assert (law.centre - moved.centre).abs().min() > 1e-3


def ordered(size=2):
    torch.manual_seed(0)
    model = create("made", Spec(shape=(size,)), hidden=8, components=2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return OrderedLaw(size, model)


@pytest.mark.parametrize("make", [mixture, masked_flow, ordered])
def test_priors_integrate_to_one_and_are_drawn_as_they_are_scored(make):
    law = make()
    assert isinstance(law, LatentLaw)
    axis = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = law.log_prob(z).exp() * (axis[1] - axis[0]) ** 2
        drawn = law.draw(noise(20_000))
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    mean = (mass[:, None] * z).sum(0)
    spread = ((mass[:, None] * (z - mean).square()).sum(0)).sqrt()
    assert (drawn.mean(0) - mean).abs().max() < 5 * spread.max() / math.sqrt(20_000)
    torch.testing.assert_close(drawn.std(0), spread, rtol=0.05, atol=0)
    torch.testing.assert_close(law.draw(noise(3)).detach(), drawn[:3])


def test_a_temperature_narrows_every_prior():
    for law in (mixture(1), masked_flow(), DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2))):
        spread = [law.draw(noise(2000), temperature).std() for temperature in (1.0, 0.1)]
        assert spread[1] < 0.6 * spread[0]


def test_a_vampprior_is_the_mean_of_the_posteriors_of_its_pseudo_examples():
    prior = VampPrior(3, (5,), limit=1.0).double()
    part = posterior_part("diagonal", 2, steps=1, hidden=4)
    weight = normal(5, part.width)
    z = normal(4, 2, seed=3)
    inside = prior.pseudo_K.clamp(-1, 1) @ weight
    each = torch.stack([part(row[None]).log_prob(z) for row in inside])
    found = prior(lambda u: part(u @ weight)).log_prob(z)
    torch.testing.assert_close(found, each.logsumexp(0) - math.log(3))
