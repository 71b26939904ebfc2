"""What is special to the autoencoder: it restores, it has no likelihood, its samples are fitted."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genus import Spec, create, evaluate, supports
from genus.capabilities import Bounded, Decodes, Density, Encodes, Features, Samples, Trains
from genus.data.base import ArraySplit, DataSet
from genus.nn.running_gaussian import RunningGaussian
from genus.random import BatchNoise, ExampleNoise
from genus.spec import Batch

BINARY = Spec(shape=(1, 4, 4), levels=2)


def tiny(spec: Spec = BINARY, **config: object):
    torch.manual_seed(0)
    return create("autoencoder", spec, **{"latents": 3, "hidden": 16, "depth": 1, **config})


def noise(n: int, seed: int = 0) -> BatchNoise:
    return BatchNoise(n, torch.Generator().manual_seed(seed))


def stripes(n: int = 64) -> torch.Tensor:
    """Binary images of four kinds, ``(n, 1, 4, 4)``."""
    kinds = torch.stack([torch.arange(16) % k == 0 for k in (2, 3, 5, 7)]).long()
    return kinds[torch.arange(n) % 4].view(n, 1, 4, 4)


def descend(model, x: torch.Tensor, steps: int = 150) -> float:
    """Train for so many steps and return the last loss."""
    (objective,) = model.objectives()
    optimiser = torch.optim.Adam(objective.parameters, 1e-2)
    model.train()
    for step in range(steps):
        loss = objective.loss(Batch(x), noise(len(x), step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    return float(loss.detach())


@torch.no_grad()
def loss_of(model, x: torch.Tensor) -> float:
    """Return the loss with fixed noise."""
    return float(model.objectives()[0].loss(Batch(x), noise(len(x), 99))["loss"])


def test_it_claims_features_and_no_likelihood() -> None:
    model = tiny()
    assert all(supports(model, c) for c in (Features, Encodes, Trains, Samples))
    # Decodes promises a prior, and there is none.
    assert not any(supports(model, c) for c in (Density, Bounded, Decodes))


def test_evaluation_says_that_there_is_no_likelihood() -> None:
    half = ArraySplit(np.asarray(stripes(16)))
    data = DataSet("toy", BINARY, {"train": half, "valid": half, "test": half}, "sha256:0")
    found = evaluate(tiny(), data, samples=0)
    assert (found.likelihood.kind, found.bits_per_dim) == ("n/a", None)
    assert math.isnan(found.likelihood.mean)


def test_it_learns_to_restore() -> None:
    model, x = tiny(), stripes()
    assert descend(model, x) < 0.05
    assert torch.equal(model.reconstruct(x).mean.round().long(), x)
    assert torch.equal(model.features(x), model.encode(x).mean)


def test_the_loss_is_cross_entropy_per_dimension() -> None:
    """For two levels it is torch's own, of the clean example given its code."""
    model, x = tiny(), stripes(8)
    loss = model.objectives()[0].loss(Batch(x), noise(8))["loss"]
    logits = model.decoder(model.encoder(x.flatten(1) * 2.0 - 1))
    expected = F.binary_cross_entropy_with_logits(logits, x.flatten(1).float())
    torch.testing.assert_close(loss, expected)


def test_real_data_are_restored_in_their_own_units() -> None:
    """A column times ten costs log 10 nats more, whatever happens inside."""
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nats = []
    for factor in (1.0, 10.0):
        model = tiny(Spec(shape=(2,))).double()
        data = rows * torch.tensor([factor, 1.0])
        model.initialise(Batch(data))
        nats.append(model.reconstruct(data).log_prob(data).sum(1))
    expected = torch.full((200,), math.log(10), dtype=torch.float64)
    torch.testing.assert_close(nats[0] - nats[1], expected)


def test_masking_hides_the_share_that_was_asked_for() -> None:
    model = tiny(corruption="masking", strength=0.3)
    u = torch.ones(500, 1, 4, 4)
    damaged = model.corrupted(u, noise(500))
    assert set(damaged.unique().tolist()) == {-1.0, 1.0}
    assert float((damaged == -1).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert model.features(stripes(4)).equal(model.features(stripes(4)))  # never when asked


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    model = tiny(corruption="gaussian", strength=0.7)
    damaged = model.corrupted(torch.zeros(2000, 1, 4, 4), noise(2000))
    assert float(damaged.std()) == pytest.approx(0.7, abs=0.01)


def test_a_denoiser_restores_what_was_hidden_better_than_a_plain_one() -> None:
    x = stripes()
    nats = {}
    for kind in ("none", "masking"):
        model = tiny(corruption=kind, strength=0.4)
        descend(model, x, 300)
        judge = tiny(corruption="masking", strength=0.4)
        judge.load_state_dict(model.state_dict())
        nats[kind] = loss_of(judge.eval(), x)
    assert nats["masking"] < 0.6 * nats["none"]


def test_codes_are_drawn_with_the_moments_of_the_training_codes() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[1.0, 0.5], [0.0, 0.2]])
    z = torch.randn(6400, 2, generator=generator) @ mixing + torch.tensor([3.0, -1.0])
    law = RunningGaussian(2)
    for part in z.split(64):
        law.update(part)
    # An even mean over the first hundred batches: exactly the moments of all that was seen.
    torch.testing.assert_close(law.mean_Z, z.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(law.covariance_ZZ, z.T.cov(correction=0), atol=1e-4, rtol=0)
    drawn = law.draw(ExampleNoise(20_000, generator))
    torch.testing.assert_close(drawn.mean(0), law.mean_Z, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), law.covariance_ZZ, atol=0.03, rtol=0)
    cold = law.draw(ExampleNoise(20_000, generator), 0.5)
    torch.testing.assert_close(cold.T.cov(), law.covariance_ZZ / 4, atol=0.03, rtol=0)


def test_old_batches_are_forgotten() -> None:
    law = RunningGaussian(1)
    for value in (0.0, 5.0):
        for _ in range(1000):
            law.update(torch.full((4, 1), value))
    assert float(law.mean_Z) == pytest.approx(5, abs=0.001)
    assert float(law.covariance_ZZ) < 0.01


def test_samples_look_like_the_training_data() -> None:
    """Trained on one image, it draws that image, and before training it does not."""
    x = stripes(1).expand(32, -1, -1, -1)
    model = tiny()
    share = [(model.sample(64, generator=torch.Generator().manual_seed(1)) == x[:1]).float().mean()]
    descend(model, x)
    share += [
        (model.sample(64, generator=torch.Generator().manual_seed(1)) == x[:1]).float().mean()
    ]
    assert share[0] < 0.8
    assert share[1] > 0.95


def test_asking_does_not_move_the_moments() -> None:
    model = tiny().eval()
    before = model.codes.mean_Z.clone()
    model.features(stripes())
    model.objectives()[0].loss(Batch(stripes()), noise(64))
    assert torch.equal(model.codes.mean_Z, before)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 21)])
def test_convolutions_take_any_size(shape: tuple[int, int, int]) -> None:
    model = create("autoencoder", Spec(shape=shape, levels=4), features=4, latents=3)
    assert model.convolutional
    assert model.sample(2).shape == (2, *shape)
    assert not create("autoencoder", Spec(shape=(1, 8, 8), levels=4), hidden=8).convolutional


def test_bad_choices_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="latents=0 must be above zero"):
        tiny(latents=0)
    with pytest.raises(ValueError, match=r"strength=1\.0 must be at least 0 and below 1"):
        tiny(corruption="masking", strength=1.0)
    with pytest.raises(ValueError, match="strength=0"):
        tiny(corruption="gaussian", strength=0)
    with pytest.raises(ValueError, match=r"spec\.unconditional"):
        tiny(Spec(shape=(3,), levels=2, classes=4))
    with pytest.raises(ValueError, match="choose bernoulli"):
        tiny(Spec(shape=(4,), levels=3), likelihood="bernoulli")
    with pytest.raises(ValueError, match="labels were given"):
        tiny().sample(2, y=torch.zeros(2, dtype=torch.long))
