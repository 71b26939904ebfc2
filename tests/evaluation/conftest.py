"""Toy data and toy models whose figures are known."""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genus.capabilities import Elbo
from genus.data import ArraySplit, DataSet
from genus.random import ExampleNoise, categorical_icdf
from genus.spec import Spec


def bars(n, *, seed, shape=(1, 8, 8), levels=5):
    """Images with one bright row or column (the label), and a little noise."""
    g = torch.Generator().manual_seed(seed)
    c, h, w = shape
    y = torch.randint(4, (n,), generator=g)
    x = torch.randint(2, (n, c, h, w), generator=g)
    for i, label in enumerate(y.tolist()):
        line = 1 + 2 * (label % 2)
        if label < 2:
            x[i, :, line] = levels - 1
        else:
            x[i, :, :, line] = levels - 1
    return x, y


def make_bars(shape=(1, 8, 8), levels=5, sizes=(240, 60, 60), labels=True):
    splits = {}
    for seed, (name, n) in enumerate(zip(("train", "valid", "test"), sizes, strict=True)):
        x, y = bars(n, seed=seed, shape=shape, levels=levels)
        splits[name] = ArraySplit(x, y if labels else None)
    spec = Spec(shape=shape, levels=levels, classes=4 if labels else None)
    return DataSet("bars", spec, splits, f"sha256:bars{shape}{levels}{sizes}{labels}")


def make_points(sizes=(200, 80, 80)):
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 100.0, 0.01])
    splits = {
        name: ArraySplit(torch.randn(n, 3, generator=g) * scale + 7)
        for name, n in zip(("train", "valid", "test"), sizes, strict=True)
    }
    return DataSet("points", Spec(shape=(3,)), splits, "sha256:points")


class UniformModel(nn.Module):
    """Every level equally likely: -log K per entry exactly."""

    name, family = "uniform", "toy"

    def __init__(self, spec):
        super().__init__()
        self.spec = spec.unconditional()
        self.weight = nn.Parameter(torch.zeros(1))

    def log_prob(self, x, y=None):
        self.was_training = self.training
        return torch.full((len(x),), -self.spec.dims * math.log(self.spec.levels)) + self.weight

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        u = ExampleNoise(n, generator).uniform(*self.spec.shape)
        return categorical_icdf(torch.zeros(*u.shape, self.spec.levels), u)


class BoundModel(nn.Module):
    """A bound whose value depends on the example's own noise."""

    name, family = "bound", "toy"

    def __init__(self, spec):
        super().__init__()
        self.spec = spec.unconditional()

    def elbo(self, x, y=None, *, generator=None):
        return Elbo(-torch.ones(len(x)), torch.ones(len(x), 1))

    def iwae(self, x, k, y=None, *, generator=None):
        noise = ExampleNoise(len(x), generator).normal(k)
        return -x.flatten(1).sum(1).float() + noise.mean(1)


class ReplayModel:
    """No likelihood; samples are rows of a fixed tensor."""

    name, family = "replay", "toy"

    def __init__(self, spec, rows):
        self.spec, self.rows = spec.unconditional(), rows

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        picked = torch.randint(len(self.rows), (n,), generator=generator)
        return self.rows[picked].float() + 0.3


@pytest.fixture
def toys():
    """The toys by name, for tests that cannot import this file."""
    import types

    names = {
        name: value
        for name, value in globals().items()
        if name.startswith(("make_", "bars")) or name.endswith("Model")
    }
    return types.SimpleNamespace(**names)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch):
    """Feature networks that train in a fraction of a second."""
    from genus.evaluation import features

    recipe = features.Recipe(width=8, steps=60, batch_size=32)
    monkeypatch.setattr(features, "Recipe", lambda: recipe)
    return recipe


INCEPTION_WIDTH = 600


class StandIn(nn.Module):
    """Takes the place of FeatureExtractorInceptionV3: same calls, one layer."""

    seen = ()
    images = 0

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        StandIn.seen = (name, features_list, type(feature_extractor_weights_path))
        self.layer = nn.Linear(3 * 8 * 8, INCEPTION_WIDTH)
        # As torch-fidelity does: whatever the pickle says is run.
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=False))
        self.requires_grad_(False)

    def forward(self, x):
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        StandIn.images += len(x)
        small = F.interpolate(x.float(), size=(8, 8), mode="bilinear")
        return (self.layer(small.flatten(1) / 128 - 1).relu(),)


def save_weights(path, **changed):
    """Save weights of the stand-in, some of them changed."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(INCEPTION_WIDTH, 192, generator=g) / 192**0.5
    torch.save({"layer.weight": weight, "layer.bias": torch.zeros(INCEPTION_WIDTH)} | changed, path)
    return path


@pytest.fixture
def weights(tmp_path, monkeypatch, cache_folder, quick):
    """A file of weights that GENUS_INCEPTION names."""
    path = save_weights(tmp_path / "weights.pth")
    monkeypatch.setenv("GENUS_INCEPTION", str(path))
    return path


@pytest.fixture
def stand_in(monkeypatch, weights):
    """A module torch_fidelity with a network of one layer."""
    library = types.ModuleType("torch_fidelity")
    library.FeatureExtractorInceptionV3, library.__version__ = StandIn, "0.4.0"
    monkeypatch.setitem(sys.modules, "torch_fidelity", library)
    monkeypatch.setattr(StandIn, "images", 0)
    library.save_weights = save_weights
    return library
