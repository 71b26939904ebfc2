"""Data and models whose right answers are known."""

import math

import numpy as np
import torch
from torch import nn

from genus.data.base import ArraySplit, DataSet
from genus.families.base import DensityModel, Model
from genus.spec import Spec


def dataset(spec, splits, name="toy"):
    """Return a data set from (x, y) by split."""
    parts = {key: ArraySplit(np.asarray(x), y) for key, (x, y) in splits.items()}
    return DataSet(name, spec, parts, "sha256:0")


def blobs(counts=(300, 100, 100), classes=3, seed=0, spec=None):
    """Return points around ``classes`` centres in the plane, as many of each class."""
    rng = np.random.default_rng(seed)
    centres = 3 * np.stack([np.cos(t := 2 * np.pi * np.arange(classes) / classes), np.sin(t)], 1)
    splits = {}
    for key, n in zip(("train", "valid", "test"), counts, strict=True):
        y = np.arange(n) % classes
        splits[key] = ((centres[y] + rng.normal(size=(n, 2))).astype(np.float32), y)
    return dataset(spec or Spec(shape=(2,), classes=classes), splits)


class Normals(DensityModel):
    """A standard normal around the centre of each class: the law that `blobs` are drawn from."""

    name, family = "normals", "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        t = 2 * math.pi * torch.arange(spec.classes) / spec.classes
        self.register_buffer("centre_YD", 3 * torch.stack([t.cos(), t.sin()], 1))

    def conditional_log_prob(self, x, y):
        return -0.5 * (x - self.centre_YD[y]).square().sum(1) - math.log(2 * math.pi)

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise NotImplementedError


class Plane(Model):
    """Features that are the data times a matrix, which can be trained."""

    name, family = "plane", "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.map = nn.Linear(spec.dims, 5)

    def features(self, x):
        self.check_inputs(x, None)
        return self.map(x.flatten(1).float())

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise NotImplementedError


class Fixed(Plane):
    """Features without weights that could be trained."""

    name = "fixed"

    def features(self, x):
        return super().features(x).detach()


class Featureless(Model):
    """A model that has nothing to say."""

    name, family = "featureless", "toy"

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise NotImplementedError
