"""Every model keeps to the device that it is on: each verb there, as on the processor."""

from inspect import signature

import pytest
import torch
from fitting import fitting
from pretended import DEVICE, pretended

import genus
from genus.capabilities import Fits, Trains, supports
from genus.errors import SpecError
from genus.families import latent
from genus.random import BatchNoise
from genus.registry import list_models
from genus.spec import Batch, Spec

SPECS = {
    "image": Spec(shape=(2, 4, 4), levels=3, classes=3),
    "binary": Spec(shape=(1, 4, 4), levels=2),
    "vector": Spec(shape=(4,), levels=3),
    "real": Spec(shape=(4,), classes=2),
}
N = 12


@pytest.fixture(autouse=True)
def _few_sweeps(monkeypatch):
    """Let latent models complete in few sweeps: more of them cross no other border."""
    monkeypatch.setattr(latent, "SWEEPS", 2)


def example(spec):
    seeded = torch.Generator().manual_seed(0)
    size = (N, *spec.shape)
    x = torch.randint(spec.levels, size, generator=seeded) if spec.levels else None
    x = torch.randn(size, generator=seeded) if x is None else x
    y = torch.arange(N) % spec.classes if spec.classes else None
    return Batch(x, y)


def moved(batch, device):
    return Batch(batch.x.to(device), None if batch.y is None else batch.y.to(device))


def learn(model, batch):
    """Learn from one batch; return the loss of each player, or what the fit came to."""
    if supports(model, Fits):
        model.fit(lambda: [batch])
        return []
    assert supports(model, Trains)
    if hasattr(model, "initialise"):
        model.initialise(batch)
    model.train()
    losses = []
    for objective in model.objectives():
        seeded, place = torch.Generator().manual_seed(0), batch.x.device
        noise = BatchNoise(N, seeded, device=place, dtype=model.dtype)
        loss = objective.loss(batch, noise)["loss"]
        loss.backward()
        assert loss.device == place
        gradients = [p.grad.double().norm() for p in objective.parameters if p.grad is not None]
        losses += [loss.item(), sum(norm.item() for norm in gradients)]
    return losses


def verbs(model, batch):
    """Return what each verb that a model has says, as one number or tensor of the processor."""
    spec, x, y = model.spec, batch.x, batch.y
    flat = torch.arange(spec.dims, device=x.device).view(spec.shape)
    half = spec.dims // 2

    def seeded():
        return torch.Generator().manual_seed(1)

    def complete(known):
        few = {"particles": 4} if "particles" in signature(model.complete).parameters else {}
        return model.complete(x[:4], known, generator=seeded(), **few).x

    labels = {} if spec.classes is None else {"y": torch.arange(3) % spec.classes}
    every = {
        "sample": lambda: model.sample(3, generator=seeded(), **labels),
        "log_prob": lambda: model.log_prob(x, y),
        "conditionals": lambda: model.conditionals(x, y).log_prob(x),
        "elbo": lambda: model.elbo(x, y).kl,
        "iwae": lambda: model.iwae(x, 2, generator=seeded()),
        "features": lambda: model.features(x),
        "complete": lambda: complete(flat < half),
        "complete the first": lambda: complete(flat >= half),
        "class_log_prob": lambda: model.class_log_prob(x),
        "free_energy": lambda: model.free_energy(x),
        "gibbs": lambda: model.gibbs(x, generator=seeded()),
        "log_partition": lambda: (
            model.log_partition(chains=4, steps=5, generator=seeded()).estimate
        ),
        "free_energy_bound": lambda: model.free_energy_bound(x, 2, generator=seeded()),
        "score": lambda: model.score(x, y),
        "marginal_log_prob": lambda: model.marginal_log_prob(x, (flat < half).expand_as(x)),
        "viterbi": lambda: torch.cat([part.flatten() for part in model.viterbi(x)]),
    }
    for verb, say in every.items():
        if hasattr(model, verb.split()[0]) and (verb != "class_log_prob" or spec.classes):
            try:
                yield verb, torch.as_tensor(say()).detach().cpu()
            except SpecError as reason:
                yield verb, str(reason)


def does_the_same(name, spec, **options):
    batch, said = example(spec), []
    for on_the_device in (False, True):
        torch.manual_seed(0)
        model = genus.create(name, spec, **{**list_models()[name].tiny, **options}).double()
        if not on_the_device:
            losses = learn(model, batch)
            said.append((losses, dict(verbs(model.eval(), batch))))
            continue
        with pretended():
            there = moved(batch, DEVICE)
            losses = learn(model.to(DEVICE), there)
            said.append((losses, dict(verbs(model.eval(), there))))
    (wanted_losses, wanted), (losses, got) = said
    assert losses == pytest.approx(wanted_losses, rel=1e-8)
    assert got.keys() == wanted.keys()
    assert got
    for verb, value in wanted.items():
        if isinstance(value, str):
            assert got[verb] == value
        else:
            torch.testing.assert_close(got[verb], value, rtol=1e-8, atol=1e-8, msg=verb)


@pytest.mark.parametrize(("name", "spec"), fitting(SPECS))
def test_a_model_does_the_same_on_the_device(name, spec):
    does_the_same(name, spec)


@pytest.mark.parametrize("spec", ["image", "binary"])
@pytest.mark.parametrize(
    "options",
    [{"decoder": "pixelcnn"}, {"decoder": "diagonal-bilstm"}, {"likelihood": "mixture"}],
    ids=str,
)
@pytest.mark.parametrize("name", ["vae", "ladder-vae"])
def test_a_decoder_of_pixels_does_the_same_on_the_device(name, options, spec):
    does_the_same(name, SPECS[spec], **options)
    with pretended():
        spec = SPECS[spec]
        model = genus.create(name, spec, **{**list_models()[name].tiny, **options})
        batch = moved(example(spec), DEVICE)
        model = model.to(DEVICE).eval()
        law = model.decode(model.encode(batch.x, batch.y).centre, batch.y)
        assert law.mean.device == batch.x.device


INSIDE = [{"large": name} for name in ("gated-pixelcnn", "pixelcnn++", "pixelsnail")]
INSIDE += [{"small": "pixelsnail", "large": "pixelcnn++", "likelihood": "mixture"}]


@pytest.mark.parametrize("options", INSIDE, ids=str)
def test_images_of_two_scales_do_the_same_on_the_device(options):
    does_the_same("multiscale-pixelrnn", Spec(shape=(2, 2, 3), levels=3), **options)


@pytest.mark.parametrize("posterior", ["full", "iaf", "spline"])
def test_a_posterior_does_the_same_on_the_device(posterior):
    does_the_same("vae", SPECS["image"], posterior=posterior)
