"""The latent family against models whose likelihood is known, and its ways to train."""

import math

import pytest
import torch
from torch import nn

from genus import create
from genus.distributions import DiagonalGaussian, EntryGaussian
from genus.distributions.full_gaussian import FullGaussian
from genus.distributions.latent_law import in_use
from genus.errors import ConfigError
from genus.families.bound_loss import (
    BoundOptions,
    doubly_reparameterised,
    elbo_loss,
    log_mean_exp,
)
from genus.families.latent import LatentVariable
from genus.random import BatchNoise
from genus.spec import Batch, Spec

DIMS, LATENTS, NOISE = 5, 2, 0.7


class LinearGaussian(LatentVariable):
    """Probabilistic PCA (Tipping and Bishop 1999) with its exact posterior, off by ``error``."""

    def __init__(self, error=0.0):
        super().__init__(Spec(shape=(DIMS,)))
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(DIMS, LATENTS, generator=generator).double())
        self.error = error

    latent_size = LATENTS

    def encode(self, x, y=None):
        precision = self.weight.T @ self.weight / NOISE**2 + torch.eye(LATENTS).double()
        covariance = torch.linalg.inv(precision)
        mean = x @ self.weight @ covariance / NOISE**2 + self.error
        return FullGaussian(mean, torch.linalg.cholesky(covariance).expand(len(x), -1, -1))

    def decode(self, z, y=None):
        mean = z @ self.weight.T
        return EntryGaussian(mean, torch.full_like(mean, math.log(NOISE)))

    def prior(self):
        zero = torch.zeros(1, LATENTS).double()
        return DiagonalGaussian(zero, zero)

    def truth(self, x):
        covariance = self.weight @ self.weight.T + NOISE**2 * torch.eye(DIMS).double()
        law = torch.distributions.MultivariateNormal(torch.zeros(DIMS).double(), covariance)
        return law.log_prob(x)


def examples(n=4, seed=3):
    return torch.randn(n, DIMS, generator=torch.Generator().manual_seed(seed)).double()


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    model, x = LinearGaussian(), examples()
    eps = torch.randn(4, 3, LATENTS).double()
    weights = model.infer(x, None, eps).log_weights(x)
    torch.testing.assert_close(weights, model.truth(x)[:, None].expand(-1, 3))
    torch.testing.assert_close(model.iwae(x, 7), model.truth(x))
    means = model.elbo(x.repeat(4000, 1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(means.value.view(4000, 4).mean(0), model.truth(x), atol=0.2, rtol=0)


class Mirrored(LinearGaussian):
    """Two classes whose factors have opposite signs; the examples have one law in both."""

    def __init__(self):
        super().__init__()
        self.spec = Spec(shape=(DIMS,), classes=2)
        self.register_buffer("log_prior_Y", torch.tensor([0.5, 0.5]).double().log())

    def sign(self, y):
        return (1.0 - 2 * y).unsqueeze(1)

    def encode(self, x, y=None):
        return super().encode(x * self.sign(y))

    def decode(self, z, y=None):
        return super().decode(z * self.sign(y))


def test_the_law_of_the_class_does_not_look_at_the_noise():
    """It could choose the class that the draw suits, and be above the likelihood in the mean."""
    model, x = Mirrored(), 4 * examples()  # the further off, the more a draw suits one class
    many = model.elbo(x.repeat(4000, 1), generator=torch.Generator().manual_seed(0)).value
    mean, error = many.view(4000, 4).mean(0), many.view(4000, 4).std(0) / 4000**0.5
    assert ((mean - model.truth(x)).abs() < 4 * error).all()  # the posterior is exact


def test_with_another_posterior_bounds_are_below_and_close_with_samples():
    model, x = LinearGaussian(error=0.15), examples()
    found = [model.iwae(x, k, generator=torch.Generator().manual_seed(1)) for k in (1, 20_000)]
    assert found[0].mean() < model.truth(x).mean() - 0.02
    torch.testing.assert_close(found[1], model.truth(x), atol=0.05, rtol=0)


def test_importance_sampling_does_not_depend_on_the_batch_nor_on_how_much_fits():
    torch.manual_seed(0)
    model = create("vae", Spec(shape=(1, 8, 8), levels=2), latents=2, hidden=8)
    x = model.sample(4, generator=torch.Generator().manual_seed(0))
    whole = model.iwae(x, 2500, generator=torch.Generator().manual_seed(2))
    part = model.iwae(x[:2], 2500, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(whole[:2], part)


def test_completions_do_not_depend_on_how_many_are_made():
    torch.manual_seed(0)
    model = create("vae", Spec(shape=(1, 4, 4), levels=2), latents=2, hidden=8)
    x, known = torch.ones(6, 1, 4, 4).long(), torch.zeros(6, 1, 4, 4).bool()
    many = model.complete(x, known, generator=torch.Generator().manual_seed(2)).x
    few = model.complete(x[:2], known[:2], generator=torch.Generator().manual_seed(2)).x
    assert torch.equal(many[:2], few)


def gradients(model, x, objective, samples, seeds):
    """Return the encoder's and the decoder's gradient for each seed."""
    object.__setattr__(model.options, "objective", objective)
    object.__setattr__(model.options, "samples", samples)
    rows = []
    for seed in range(seeds):
        model.zero_grad()
        noise = BatchNoise(len(x), torch.Generator().manual_seed(seed), dtype=torch.float64)
        model.objectives()[0].loss(Batch(x), noise)["loss"].backward()
        parts = (model.encoder, model.decoder)
        rows.append([torch.cat([p.grad.flatten() for p in m.parameters()]) for m in parts])
    return [torch.stack(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_doubly_reparameterised_gradients_have_the_same_mean_and_less_noise(posterior):
    torch.manual_seed(0)
    spec = Spec(shape=(6,), levels=2)
    model = create("iwae", spec, latents=2, hidden=4, depth=1, posterior=posterior).double()
    x = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]])
    plain = gradients(model, x, "iwae", 8, 1500)
    double = gradients(model, x, "dreg", 8, 1500)
    for ours, theirs in zip(double, plain, strict=True):
        error = (ours.var(0) / 1500 + theirs.var(0) / 1500).sqrt()
        assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error + 1e-9).all()
    assert double[0].var(0).sum() < 0.7 * plain[0].var(0).sum()
    torch.testing.assert_close(double[1], plain[1])  # the decoder's gradient is the same


def test_one_draw_has_the_right_gradient_in_the_warm_up_by_either_estimator():
    torch.manual_seed(0)
    options = {"latents": 2, "hidden": 4, "depth": 1, "warmup": 1.0}
    model = create("iwae", Spec(shape=(6,), levels=2), **options).double()
    model.anneal(0.3)
    x = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]])
    plain, double = (gradients(model, x, name, 1, 1500) for name in ("iwae", "dreg"))
    model.anneal(1.0)
    full = gradients(model, x, "dreg", 1, 1500)
    for ours, theirs in zip(double, plain, strict=True):
        error = (ours.var(0) / 1500 + theirs.var(0) / 1500).sqrt()
        assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error + 1e-9).all()
    assert (full[0].mean(0) - plain[0].mean(0)).norm() > 0.2 * plain[0].mean(0).norm()


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_the_warm_up_weighs_the_ratio_of_an_importance_weighted_bound(objective):
    torch.manual_seed(0)
    options = {"latents": 2, "hidden": 4, "samples": 5, "objective": objective}
    model = create("iwae", Spec(shape=(6,), levels=2), warmup=0.5, **options).double()
    x = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]])
    found = {}
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.anneal(progress)
        noise = BatchNoise(2, torch.Generator().manual_seed(0), dtype=torch.float64)
        found[progress] = float(model.objectives()[0].loss(Batch(x), noise)["loss"].detach()) * 6
    eps = BatchNoise(2, torch.Generator().manual_seed(0), dtype=torch.float64).normal(5, 2)
    inferred = model.infer(x, None, eps)
    for progress, weight in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)):
        ratio = (inferred.log_p_BkG - inferred.log_q_BkG).sum(-1)
        right = -log_mean_exp(inferred.reconstruction(x) + weight * ratio).mean()
        assert found[progress] == pytest.approx(float(right.detach()))


def test_the_gradient_of_the_encoder_vanishes_at_the_exact_posterior():
    model, x = LinearGaussian(), examples()
    eps = torch.randn(4, 5, LATENTS).double()
    q = model.encode(x)
    mean = q.mean.detach().requires_grad_()
    z, _ = FullGaussian(mean, q.factor.detach()).from_noise(eps)
    frozen = FullGaussian(mean, q.factor).frozen()
    law = model.decode(z.flatten(0, 1))
    given = law.log_prob(x.repeat_interleave(5, 0)).sum(1).view(4, 5)
    doubly_reparameterised(z, given + model.prior().log_prob(z) - frozen.log_prob(z)).backward()
    assert float(mean.grad.abs().max()) < 1e-9


def test_warm_up_weighs_the_divergence_and_free_bits_spare_each_group():
    reconstruction = torch.zeros(2, 1)
    kl = torch.tensor([[[0.2, 3.0]], [[0.4, 5.0]]])  # means of 0.3 and 4 nats
    plain = BoundOptions()
    assert float(elbo_loss(reconstruction, kl, plain, 0.0)) == pytest.approx(4.3)
    warm = BoundOptions(beta=2.0, warmup=0.5)
    found = [float(elbo_loss(reconstruction, kl, warm, p)) for p in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx([0.0, 4.3, 8.6, 8.6])
    free = BoundOptions(free_bits=0.5)
    assert float(elbo_loss(reconstruction, kl, free, 0.0)) == pytest.approx(4.5)


def test_draws_rise_to_k_and_each_step_makes_as_many():
    made = []

    class Counted(BatchNoise):
        def normal(self, *shape):
            made.append(shape[0])
            return super().normal(*shape)

    spec = Spec(shape=(6,), levels=2)
    model = create("iwae", spec, latents=2, hidden=4, samples=20, rise=0.5)
    batch = Batch(torch.randint(2, (3, 6)))
    for progress in (0.0, 0.25, 0.49, 0.5, 1.0):
        model.anneal(progress)
        model.objectives()[0].loss(batch, Counted(3))
    assert made == [1, 4, 19, 20, 20]
    assert model.bound_samples == model.trained_bound == 20  # weights are chosen by one bound


def test_weights_of_training_never_reach_a_reported_bound():
    torch.manual_seed(0)
    spec = Spec(shape=(6,), levels=2)
    plain = create("vae", spec, latents=2, hidden=4)
    other = create("vae", spec, latents=2, hidden=4, beta=5.0, warmup=1.0, free_bits=9.0)
    other.load_state_dict(plain.state_dict())
    other.anneal(0.1)
    x = torch.randint(2, (5, 6))
    for verb in ("elbo", "iwae"):
        extra = (4,) if verb == "iwae" else ()
        found = [
            getattr(m, verb)(x, *extra, generator=torch.Generator().manual_seed(0))
            for m in (plain, other)
        ]
        values = [f if verb == "iwae" else f.value for f in found]
        assert torch.equal(*values)


def test_the_log_tells_which_latents_are_in_use():
    assert float(in_use(torch.tensor([0.5, 0.02, 0.001]))) == 2
    torch.manual_seed(0)
    model = create("vae", Spec(shape=(6,), levels=2), latents=3, hidden=4)
    batch = Batch(torch.randint(2, (8, 6)))
    said = model.objectives()[0].loss(batch, BatchNoise(8))
    assert {"loss", "reconstruction", "kl", "active"} <= set(said)
    assert 0 <= float(said["active"]) <= 3


def test_the_mean_of_weights_is_taken_over_draws():
    weights = torch.tensor([[0.0, math.log(3.0)]])
    assert float(log_mean_exp(weights).exp()) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples=0 must be above zero"),
        ({"beta": -1.0}, "beta=-1.0 must not be below zero"),
        ({"warmup": 2.0}, "warmup=2.0 is a share of the training"),
        ({"objective": "iwae", "rise": -0.1}, "rise=-0.1 is a share of the training"),
        ({"rise": 0.5}, "take objective='iwae' or 'dreg'"),
        ({"objective": "iwae", "free_bits": 1.0}, "has no divergence of its own"),
        ({"prior": "vamp", "posterior": "iaf"}, "take posterior='diagonal'"),
        ({"objective": "dreg", "posterior": "iaf"}, "take objective='iwae'"),
        ({"objective": "dreg", "posterior": "spline"}, "take objective='iwae'"),
        ({"free_bits": math.nan}, "free_bits=nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create("vae", Spec(shape=(4,), levels=2), **options)
