"""What is special to the VAE: the bound against quadrature, likelihoods and networks."""

import math

import numpy as np
import pytest
import torch

from genus import Spec, create
from genus.random import BatchNoise
from genus.spec import Batch


def loud(spec: Spec, **config: object):
    """A small VAE in float64 with a 1-D latent and weights that matter."""
    torch.manual_seed(0)
    model = create("vae", spec, **{"latents": 1, "hidden": 8, "depth": 1, **config}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return model


def quadrature(model, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
    """log p(x) of a model with one latent, by the trapezoidal rule."""
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    log_prior = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    rows = []
    for i in range(len(x)):
        labels = None if y is None else y[i : i + 1].expand(len(z))
        law = model.decode(z[:, None], labels)
        joint = law.log_prob(x[i : i + 1].expand(len(z), *x.shape[1:])).flatten(1).sum(1)
        rows.append((joint + log_prior).logsumexp(0) + math.log(z[1] - z[0]))
    return torch.stack(rows)


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "logistic"])
def test_iwae_meets_quadrature_and_the_elbo_stays_below(likelihood: str) -> None:
    levels = 2 if likelihood == "bernoulli" else 5
    model = loud(Spec(shape=(1, 2, 3), levels=levels), likelihood=likelihood)
    x = torch.randint(levels, (4, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    truth = quadrature(model, x)
    bound = model.iwae(x, 20_000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(bound, truth, atol=0.04, rtol=0)
    many = x.repeat(500, 1, 1, 1)
    elbo = model.elbo(many, generator=torch.Generator().manual_seed(2)).value.view(500, 4).mean(0)
    assert (elbo < truth + 0.02).all()
    few = model.iwae(many, 5, generator=torch.Generator().manual_seed(2)).view(500, 4).mean(0)
    assert (few > elbo - 0.02).all()
    assert (few < truth + 0.02).all()


def test_the_exact_posterior_makes_the_bound_tight() -> None:
    """With a constant decoder the posterior is the prior, and the bound the likelihood."""
    model = loud(Spec(shape=(3,), levels=2))
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.zero_()
        model.decoder[-1].weight.zero_()
    x = torch.tensor([[0, 1, 1]])
    expected = model.decode(torch.zeros(1, 1).double()).log_prob(x).sum()
    assert model.elbo(x).value.item() == pytest.approx(expected.item(), abs=1e-12)


def test_without_labels_the_class_is_a_latent() -> None:
    model = loud(Spec(shape=(1, 2, 2), levels=3, classes=3))
    model.set_class_prior(torch.tensor([5, 1, 1]))
    x = torch.randint(3, (3, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    joint = [quadrature(model, x, torch.full((3,), c)) + model.log_prior_Y[c] for c in range(3)]
    truth = torch.stack(joint).logsumexp(0)
    bound = model.iwae(x, 20_000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(bound, truth, atol=0.04, rtol=0)
    elbo = model.elbo(x)
    assert elbo.kl.shape == (3, 2)
    assert (elbo.kl >= -1e-12).all()


def test_continuous_likelihoods_are_densities_in_the_users_units() -> None:
    """Scaling a column by ten lowers its log-density by log 10, whatever happens inside."""
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = []
    for factor in (1.0, 10.0):
        torch.manual_seed(0)
        model = create("vae", Spec(shape=(2,)), latents=1, hidden=8).double()
        data = rows * torch.tensor([factor, 1.0])
        model.initialise(Batch(data))
        scores.append(model.iwae(data, 10, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(
        (scores[0] - scores[1]).detach(), math.log(10) * np.ones(200), atol=1e-9
    )


def test_a_few_steps_lower_the_bounds_loss() -> None:
    torch.manual_seed(0)
    model = create("vae", Spec(shape=(1, 4, 4), levels=2), hidden=32, latents=2)
    x = (torch.arange(16).view(1, 1, 4, 4) % 3 == 0).long().expand(32, 1, 4, 4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    noise = BatchNoise(32, torch.Generator().manual_seed(0))
    losses = []
    for _ in range(60):
        loss = model.objectives()[0].loss(Batch(x), noise)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 21), (1, 1, 40)])
def test_convolutions_take_any_size(shape: tuple[int, int, int]) -> None:
    model = create("vae", Spec(shape=shape, levels=4), network="conv", features=4, latents=3)
    x = model.sample(2, generator=torch.Generator().manual_seed(0))
    assert x.shape == (2, *shape)
    assert torch.isfinite(model.iwae(x, 2)).all()


def test_bad_choices_are_all_named_at_once() -> None:
    with pytest.raises(ValueError, match="latents=0 must be above zero; hidden=-1"):
        create("vae", Spec(shape=(2,)), latents=0, hidden=-1)
    with pytest.raises(ValueError, match="needs images for network='conv'"):
        create("vae", Spec(shape=(4,)), network="conv")
    with pytest.raises(ValueError, match="choose bernoulli"):
        create("vae", Spec(shape=(4,), levels=3), likelihood="bernoulli")


def test_convolutions_drop_features_as_perceptrons_drop_units() -> None:
    spec = Spec(shape=(1, 8, 8), levels=2)
    for network in ("conv", "mlp"):
        torch.manual_seed(0)
        options = {"latents": 2, "features": 4, "hidden": 8, "network": network, "dropout": 0.5}
        model = loud(spec, **options)
        z = torch.zeros(1, 2).double()
        assert not torch.equal(model.train().decode(z).mean, model.decode(z).mean), network
        assert torch.equal(model.eval().decode(z).mean, model.decode(z).mean), network


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("decoder", ["pixelcnn", "gated-pixelcnn", "row-lstm"])
def test_a_pixel_network_at_the_end_of_the_decoder(network: str, decoder: str) -> None:
    """PixelVAE: the bound of many draws meets quadrature, and images given z sum to one."""
    spec = Spec(shape=(1, 2, 3), levels=2)
    small = {"decoder_features": 6, "decoder_layers": 1, "conditioning": 4, "features": 4}
    model = loud(spec, network=network, decoder=decoder, **small)
    for parameter in model.encoder.parameters():
        parameter.data.zero_()  # draws come from the prior, so that no weight is large
    x = torch.randint(2, (3, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    bound = model.iwae(x, 20_000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(bound, quadrature(model, x), atol=0.04, rtol=0)
    space = torch.cartesian_prod(*[torch.arange(2)] * 6).view(64, 1, 2, 3)
    given = model.decode(torch.ones(64, 1).double()).log_prob(space).flatten(1).sum(1)
    assert given.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_entries_that_a_pixel_network_draws_are_told_what_is_known_before_them() -> None:
    """With latents that say nothing the second pixel follows from the first alone."""
    spec = Spec(shape=(1, 1, 2), levels=2)
    small = {"decoder_features": 6, "decoder_layers": 1, "conditioning": 4}
    model = loud(spec, decoder="pixelcnn", **small).eval()
    for parameter in model.pixels.network.biases.parameters():
        parameter.data.zero_()
    for layer in (model.pixels.network.first, model.pixels.network.last):
        layer.weight.data.mul_(6)  # so that much depends on the first pixel
    pairs = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).view(4, 1, 1, 2)
    log_p = model.decode(torch.zeros(4, 1).double()).log_prob(pairs).detach().view(4, 2)
    given_zero, given_one = log_p[1, 1].exp().item(), log_p[3, 1].exp().item()
    assert abs(given_zero - given_one) > 0.15
    n, known = 4000, torch.tensor([True, False]).view(1, 1, 1, 2)
    for first, expected in ((0, given_zero), (1, given_one)):
        x = torch.full((n, 1, 1, 2), first)
        seeded = torch.Generator().manual_seed(0)
        done = model.complete(x, known.expand_as(x), generator=seeded)
        assert "order of the pixels" in done.method
        error = math.sqrt(expected * (1 - expected) / n)
        assert abs(done.x[..., 1].double().mean().item() - expected) < 5 * error
    cold = model.sample(n, generator=torch.Generator().manual_seed(0), temperature=0.5)
    one = log_p[3, 0].exp()  # the logit of the first pixel is doubled
    expected = torch.sigmoid(2 * torch.logit(one)).item()
    error = math.sqrt(expected * (1 - expected) / n)
    assert abs(cold[..., 0].double().mean().item() - expected) < 5 * error
