"""What a run says of its latents, and when it warns of them."""

import types

import pytest
import torch

from genus import create, train
from genus.data.base import ArraySplit, DataSet
from genus.spec import Batch, Spec
from genus.training import RunFolder, TrainConfig
from genus.training.latents import latents_in_use
from genus.training.sampler import generator_of
from genus.training.watch import CollapseWatch


def vae(**config):
    torch.manual_seed(0)
    return create("vae", Spec(shape=(6,), levels=2), latents=3, hidden=8, **config)


def batch(n=50):
    return Batch(torch.randint(2, (n, 6), generator=torch.Generator().manual_seed(0)))


def test_latents_that_do_not_vary_are_not_in_use():
    model, generator = vae(), torch.Generator().manual_seed(0)
    with torch.no_grad():  # the first latent's mean is made constant, the others' loud
        model.encoder[-1].weight[0].zero_()
        model.encoder[-1].weight[1:3].mul_(20)
    found = latents_in_use(model, batch(), generator)
    assert found == {"active": 2.0, "latents": 3.0}


def test_groups_are_told_apart():
    torch.manual_seed(0)
    spec = Spec(shape=(6,), levels=2)
    model = create("ladder-vae", spec, groups=3, latents=2, features=8, blocks=1)
    found = latents_in_use(model, batch(), torch.Generator().manual_seed(0))
    assert set(found) == {"kl_1", "kl_2", "kl_3", "active", "latents"}
    assert found["active"] == 0  # a fresh posterior is its prior


@pytest.mark.parametrize(
    ("scores", "warning"),
    [
        ({"kl": 0.001}, "the KL divergence is 0.001 nats"),
        ({"kl": 0.4, "active": 0.0, "latents": 32.0}, "none of the 32 latents varies"),
        ({"kl": 3.0, "active": 1.0, "latents": 32.0}, None),
    ],
)
def test_a_collapse_is_warned_of_once_with_what_to_try(scores, warning):
    said, logged = [], []
    session = types.SimpleNamespace(
        config=types.SimpleNamespace(progress=lambda step, elapsed: 0.5),
        step=7,
        elapsed=1.0,
        note=said.append,
        log=lambda kind, values: logged.append(values),
    )
    watch = CollapseWatch()
    for _ in range(2):
        watch.on_evaluate(session, scores)
    if warning is None:
        assert said == []
        return
    assert len(said) == 1
    assert warning in said[0]
    assert "--set warmup=0.2" in said[0]
    assert logged == [{"collapse": "posterior"}]


@pytest.mark.parametrize(("objective", "k"), [("elbo", 1), ("iwae", 10), ("dreg", 10)])
def test_weights_are_chosen_by_the_bound_that_is_climbed(tmp_path, objective, k):
    torch.manual_seed(0)
    x = torch.randint(2, (90, 6)).mul(torch.randint(2, (90, 1)))
    parts = {name: ArraySplit(x[i::3]) for i, name in enumerate(("train", "valid", "test"))}
    model = vae(objective=objective, samples=10)
    data = DataSet("toy", model.spec, parts, "sha256:0")
    config = TrainConfig(steps=20, samples=0, precision="float32")
    result = train(model, data, tmp_path / "run", config)
    lines = [m for m in RunFolder(result.path).read_metrics() if m["kind"] == "valid"]
    assert {line.get("k", 1) for line in lines} == {k}
    kept, generator = model.eval(), generator_of(0, 6, 0)
    with torch.no_grad():
        bound = kept.elbo(parts["valid"].x, generator=generator).value
        if k > 1:
            bound = kept.iwae(parts["valid"].x, k, generator=generator)
    assert result.score == pytest.approx(-bound.mean().item() / 6, rel=1e-4)
