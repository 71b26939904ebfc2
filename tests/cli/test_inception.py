"""`--inception`: a third set of features, with a small network in the place of torch-fidelity's."""

from __future__ import annotations

import csv
import io
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from genus.cli import main
from genus.data import load_data
from genus.evaluation import features

WIDTH = 530


class StandIn(nn.Module):
    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        self.layer = nn.Linear(3 * 64, WIDTH)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, x):
        return (self.layer(x.float().flatten(1) / 128 - 1).relu(),)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Feature networks that train in a fraction of a second."""
    recipe = features.Recipe(width=8, steps=60, batch_size=32)
    monkeypatch.setattr(features, "Recipe", lambda: recipe)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    library = types.ModuleType("torch_fidelity")
    library.FeatureExtractorInceptionV3, library.__version__ = StandIn, "0.4.0"
    monkeypatch.setitem(sys.modules, "torch_fidelity", library)
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(WIDTH, 192, generator=g) / 14
    torch.save({"layer.weight": weight, "layer.bias": torch.zeros(WIDTH)}, tmp_path / "w.pth")
    monkeypatch.setenv("GENUS_INCEPTION", str(tmp_path / "w.pth"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, and copies of training digits as an archive."""
    root = tmp_path_factory.mktemp("place")
    np.savez(root / "copies.npz", x=load_data("digits").train.batch(torch.arange(100)).x.numpy())
    words = ["train", "independent", "--data", "digits", "--steps", "1", "--out", str(root / "run")]
    assert main(words) == 0
    return root


def test_evaluate_shows_a_third_set(cli, place, stand_in):
    answer = cli("evaluate", place / "run", "--samples", 60, "--inception")
    assert answer.code == 0, answer.err
    for name in ("frechet", "kernel", "coverage"):
        assert any(line.split()[:2] == ["inception", name] for line in answer.out.splitlines())
    assert "60 examples do not fill 530 features (FD[inception])" in " ".join(answer.out.split())
    plain = cli("evaluate", place / "run", "--samples", 60)
    assert "inception" not in plain.out + plain.err


def test_samples_of_anyones_model_and_temperatures_take_it(cli, place, stand_in):
    given = cli("evaluate", place / "copies.npz", "--against", "digits", "--inception", "--json")
    block = given.json["samples"]
    assert list(block["features"]) == ["trained", "random", "inception"]
    assert block["features"]["inception"]["description"].startswith("torch-fidelity's inception")
    plain = cli("evaluate", place / "copies.npz", "--against", "digits", "--json").json["samples"]
    assert plain["fingerprint"] != block["fingerprint"]
    assert plain["features"] == {name: block["features"][name] for name in plain["features"]}
    run = ("evaluate", place / "run", "--temperatures", 1, "--samples", 60)
    assert "FD[inception]" in cli(*run, "--inception").out
    assert "FD[inception]" not in cli(*run).out


def test_compare_takes_it_and_a_finished_comparison_too(cli, stand_in):
    words = ("compare", "independent", "--data", "digits", "--time-budget", "1s", "--samples", 60)
    words = (*words, "--out", "o", "--csv")
    assert "inception" not in cli(*words).out
    answer = cli(*words, "--resume", "--inception")
    assert answer.code == 0, answer.err
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert all(float(row["inception.frechet.value"]) > 0 for row in rows)


def test_what_cannot_be_is_refused(cli, place, stand_in, monkeypatch):
    cli("evaluate", place / "run", "--inception", "--samples", 0).refused("no samples to judge")
    words = ("compare", "independent", "--data", "wine", "--time-budget", "1s", "--inception")
    cli(*words).refused("images with levels", "leave them out")
    monkeypatch.setenv("GENUS_INCEPTION", "absent.pth")
    cli("evaluate", place / "run", "--inception").refused("GENUS_INCEPTION=absent.pth is no file")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    cli("evaluate", place / "run", "--inception").refused("pip install torch-fidelity")
