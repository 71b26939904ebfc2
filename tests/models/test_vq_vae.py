"""What is special to the VQ-VAE: symbols, the bound that they give, and gradients past rounding."""

import itertools

import pytest
import torch

from genus import create
from genus.errors import ConfigError
from genus.random import BatchNoise
from genus.spec import Batch, Spec

SPEC = Spec(shape=(1, 6, 5), levels=2)


def loud(spec=SPEC, **config):
    torch.manual_seed(0)
    options = {"symbols": 3, "vector": 2, "halvings": 1, "features": 4, "blocks": 1}
    model = create("vq-vae", spec, **options, prior_features=4, prior_layers=1, **config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def examples(n=4, spec=SPEC):
    return torch.randint(spec.levels, (n, *spec.shape), generator=torch.Generator().manual_seed(1))


def test_symbols_are_the_nearest_vectors():
    model = loud()
    vector = model.vectors(examples()).movedim(1, -1)
    distance = torch.cdist(vector.flatten(0, -2), model.codebook.vector_KV)
    assert torch.equal(model.codes(examples()).flatten(), distance.argmin(1))


def test_the_bound_is_below_the_sum_over_all_symbols():
    """A vector has one symbol, so p(x) is a sum of three terms and the bound is one of them."""
    spec = Spec(shape=(3,), levels=2)
    model = loud(spec)
    x = torch.tensor(list(itertools.product(range(2), repeat=3)))
    parts = []
    for symbol in range(3):
        code = torch.full((len(x), 1, 1, 1), symbol)
        given = model.law(model.codebook(code)).log_prob(x).flatten(1).sum(1)
        parts.append(given + model.symbols.log_prob(code))
    joint = torch.stack(parts, 1)
    torch.testing.assert_close(joint.logsumexp(1).exp().sum(), torch.ones(()).double())
    bound = model.elbo(x).value
    assert (bound <= joint.logsumexp(1) + 1e-12).all()
    chosen = joint.gather(1, model.codes(x).flatten(1)).squeeze(1)
    torch.testing.assert_close(bound, chosen)
    torch.testing.assert_close(model.iwae(x, 5), bound)


def test_each_player_has_its_own_parameters_and_gradients_pass_the_rounding():
    model, batch = loud(), Batch(examples(8))
    autoencoder, symbols = model.objectives()
    owned = [{id(p) for p in o.parameters} for o in (autoencoder, symbols)]
    assert not owned[0] & owned[1]
    assert len(owned[0] | owned[1]) == len(list(model.parameters()))
    autoencoder.loss(batch, BatchNoise(8))["loss"].backward()
    assert all(p.grad is None for p in symbols.parameters)
    assert model.codebook.vector_KV.grad.abs().sum() > 0
    assert next(model.up.parameters()).grad.abs().sum() > 0
    model.zero_grad()
    symbols.loss(batch, BatchNoise(8))["loss"].backward()
    assert all(p.grad is None for p in autoencoder.parameters)


def test_without_commitment_the_encoder_follows_the_decoder_alone():
    """The gradient at the rounded vectors arrives at the encoder's own, unchanged."""
    model, x = loud(commitment=0.0), examples()
    model.objectives()[0].loss(Batch(x), BatchNoise(4))["loss"].backward()
    found = model.to_vector.weight.grad.clone()
    model.zero_grad()
    vector = model.vectors(x)
    rounded = model.codebook(model.codebook.nearest(vector)).detach().requires_grad_()
    nats = -model.law(rounded).log_prob(x).flatten(1).sum(1).mean() / SPEC.dims
    (arrived,) = torch.autograd.grad(nats, rounded)
    vector.backward(arrived)
    torch.testing.assert_close(model.to_vector.weight.grad, found)


def test_the_loss_does_not_grow_with_the_batch():
    model, x = loud(), examples()
    once, twice = (
        model.objectives()[0].loss(Batch(batch), BatchNoise(len(batch)))["loss"]
        for batch in (x, torch.cat([x, x]))
    )
    torch.testing.assert_close(once, twice)


def test_first_symbols_lie_among_the_vectors_of_the_data():
    model = loud()
    model.initialise(Batch(examples(40)))
    vector = model.vectors(examples(40)).movedim(1, -1).flatten(0, -2)
    nearest = torch.cdist(model.codebook.vector_KV, vector).min(1).values
    assert nearest.max() < vector.std()


def test_samples_of_a_class_have_its_symbols():
    model = loud(Spec(shape=(1, 6, 5), levels=2, classes=2))
    y = torch.tensor([0, 1])
    x = model.sample(2, y=y, generator=torch.Generator().manual_seed(0))
    assert x.shape == (2, 1, 6, 5)
    assert not torch.allclose(model.elbo(x, y).value, model.elbo(x, 1 - y).value)


def test_bad_options_are_named():
    with pytest.raises(ConfigError, match="symbols=1 must be at least 2"):
        create("vq-vae", SPEC, symbols=1)
    with pytest.raises(ConfigError, match="prior='gan' has no order of entries"):
        create("vq-vae", SPEC, prior="gan")
