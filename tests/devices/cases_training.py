"""Training on a device ends with the weights of the processor: loop, hooks, files and resuming."""

import pytest
import torch
from fitting import fitting
from pretended import DEVICE, Pretended, pretended
from training_toys import toy_data

import genus
from genus.registry import list_models
from genus.spec import Spec
from genus.training import Hook, TrainConfig, runner, train

SPEC = Spec(shape=(2, 4, 4), levels=2, classes=3)
PLAIN = Spec(shape=(1, 4, 4), levels=3)


class PretendedEngine(runner.Engine):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.device = DEVICE


def first_of_each():
    """Return one case for each model: images with classes, where it takes them."""
    cases = fitting({"classes": SPEC, "plain": PLAIN})
    return list({case.values[0]: case for case in reversed(cases)}.values())


class Crash(Hook):
    def on_step(self, session):
        if session.step == 4:
            raise RuntimeError("the power is gone")


def trained(name, data, out, hooks=(), resume=False):
    torch.manual_seed(0)
    model = genus.create(name, data.spec, **list_models()[name].tiny).double()
    config = TrainConfig(precision="float32", samples=4, steps=6, checkpoint_every=0)
    train(model, data, out, config, hooks=hooks, resume=resume)
    return {
        key: value.inner if isinstance(value, Pretended) else value
        for key, value in model.state_dict().items()
    }


def same(got, wanted):
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-8, atol=1e-8, msg=key)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "spec"), first_of_each())
def test_training_ends_with_the_same_weights(name, spec, tmp_path, monkeypatch):
    data = toy_data(200, spec=spec)
    wanted = trained(name, data, tmp_path / "processor")
    monkeypatch.setattr(runner, "Engine", PretendedEngine)
    with pretended():
        same(trained(name, data, tmp_path / "device"), wanted)
    assert isinstance(genus.load(tmp_path / "device").dtype, torch.dtype)


@pytest.mark.parametrize("name", ["gated-pixelcnn", "vae", "gan"])
def test_a_run_goes_on_where_it_stopped(name, tmp_path, monkeypatch):
    spec = SPEC if name == "gan" else PLAIN
    data = toy_data(200, spec=spec)
    monkeypatch.setattr(runner, "Engine", PretendedEngine)
    with pretended():
        wanted = trained(name, data, tmp_path / "whole")
        with pytest.raises(RuntimeError, match="power"):
            trained(name, data, tmp_path / "parts", hooks=[Crash()])
        same(trained(name, data, tmp_path / "parts", resume=True), wanted)
