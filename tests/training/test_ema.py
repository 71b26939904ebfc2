"""The average of the weights, and what becomes of the buffers beside them."""

import copy

import pytest
import torch
from torch import nn
from training_toys import differences, final_tensors, make, toy_data

from genus.training import Hook, TrainConfig, train
from genus.training.checkpoint import newest_valid
from genus.training.loading import weights_of
from genus.training.weights import Ema, averaged_tensors

DATA = toy_data(300)
CONFIG = {"batch_size": 16, "samples": 0, "precision": "float32"}


class At:
    """A session at a step."""

    def __init__(self, step):
        self.step = step


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False))


def test_the_average_of_a_constant_network_is_the_network():
    model, ema = normalised(), Ema(0.9)
    model[1].running_mean.normal_()
    before = copy.deepcopy(model.state_dict())
    ema.attach(model)
    for step in range(1, 30):
        ema.on_step(At(step))
    with ema.swapped():
        assert differences(before, model.state_dict()) == []
    assert differences(before, model.state_dict()) == []


def test_statistics_are_averaged_and_counters_are_not():
    model, ema = normalised(), Ema(0.5)
    ema.attach(model)
    weights, means = [model[0].weight.detach().clone()], [torch.zeros(3)]
    for step in range(1, 40):
        model(torch.randn(4, 1, 5, 5))
        with torch.no_grad():
            model[0].weight += 0.1
        decay = min(0.5, (1 + step) / (10 + step))
        weights.append(decay * weights[-1] + (1 - decay) * model[0].weight.detach())
        means.append(decay * means[-1] + (1 - decay) * model[1].running_mean)
        ema.on_step(At(step))
    raw = model[1].running_mean.clone()
    with ema.swapped():
        torch.testing.assert_close(model[0].weight.data, weights[-1])
        torch.testing.assert_close(model[1].running_mean, means[-1])
        assert (means[-1] - raw).abs().max() > 0.01  # or copies would pass
        assert model[1].num_batches_tracked.item() == 39
    assert torch.equal(model[1].running_mean, raw)


def test_what_is_averaged():
    names = set(averaged_tensors(make("dcgan", latents=4, channels=4)))
    assert {"generator.body.2.running_mean", "generator.body.2.running_var"} <= names
    assert not [name for name in names if "num_batches" in name]
    names = set(averaged_tensors(make("sngan", latents=4, channels=4, hidden=16)))
    assert not [name for name in names if name.endswith(("_u", "_v"))]


class Measure(Hook):
    """How far the statistics of the averaged generator are from what it shows, and raw ones."""

    def __init__(self):
        self.averaged = self.copied = 0.0

    @torch.no_grad()
    def on_evaluate(self, session, scores):
        generator = session.model.generator
        shown = copy.deepcopy(generator).train()
        for layer in norms(shown):
            layer.momentum = None  # a plain mean over batches
            layer.reset_running_stats()
        shown(torch.randn(4096, 4, generator=torch.Generator().manual_seed(0)), None)
        self.averaged += distance(generator, shown)
        self.copied += distance(self.before, shown)

    def on_step(self, session):
        self.before = copy.deepcopy(session.model.generator)


def norms(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def distance(first, second):
    pairs = zip(norms(first), norms(second), strict=True)
    return sum(float((a.running_mean - b.running_mean).square().sum()) for a, b in pairs)


def test_averaged_statistics_fit_averaged_weights(tmp_path):
    """Planted: copies of the raw statistics are further from what the averaged network shows."""
    look = Measure()
    config = TrainConfig(steps=120, evaluate_every=20, learning_rate=2e-3, ema=0.95, **CONFIG)
    train(make("dcgan", latents=4, channels=8), DATA, tmp_path / "run", config, hooks=[look])
    assert look.averaged < 0.7 * look.copied


def test_evaluating_leaves_a_normalised_network_as_it_was(tmp_path):
    finals = []
    for every in (3, 30):
        config = TrainConfig(steps=30, evaluate_every=every, keep_best=False, **CONFIG)
        train(make("dcgan", latents=4, channels=4), DATA, tmp_path / str(every), config)
        tensors = final_tensors(tmp_path / str(every))
        finals.append({k: v for k, v in tensors.items() if not k.startswith("hook/")})
    assert differences(*finals) == []


def test_an_unfinished_run_yields_averaged_statistics(tmp_path):
    class Crash(Hook):
        def on_step(self, session):
            if session.step == 8:
                raise RuntimeError("the power is gone")

    config = TrainConfig(steps=30, evaluate_every=30, checkpoint_every=0, **CONFIG)
    model = make("dcgan", latents=4, channels=4)
    with pytest.raises(RuntimeError, match="power"):
        train(model, DATA, tmp_path / "run", config, hooks=[Crash()])
    checkpoint = newest_valid(tmp_path / "run" / "state")
    weights = weights_of(checkpoint, model)
    names = list(averaged_tensors(model))
    index = names.index("generator.body.2.running_mean")
    assert torch.equal(weights[names[index]], checkpoint.tensors[f"hook/ema/{index}"])
    assert not torch.equal(weights[names[index]], checkpoint.tensors[f"model/{names[index]}"])
    assert weights["generator.body.2.num_batches_tracked"].dtype == torch.int64
