"""Models whose pictures are known pixel by pixel."""

import numpy as np
import torch
from torch import nn

from genus.data.base import ArraySplit, DataSet
from genus.distributions import DiagonalGaussian
from genus.distributions.point import Point
from genus.families.base import Model
from genus.spec import Spec

TALL = Spec(shape=(1, 3, 2), levels=9)
"""Images that tell height from width."""


def images(n=24, spec=TALL, seed=0, labels=True):
    """Return a data set of random levels; the class is the row modulo 3."""
    rng = np.random.default_rng(seed)
    classes = spec.classes or (3 if labels else None)
    splits = {}
    for name in ("train", "valid", "test"):
        x = rng.integers(0, spec.levels, (n, *spec.shape))
        splits[name] = ArraySplit(x, np.arange(n) % 3 if labels else None)
    spec = Spec(spec.shape, spec.levels, classes)
    names = ("under_score", "_hidden", "for $5 or $9") if labels else ()
    return DataSet("toy", spec, splits, "sha256:0", labels=names)


class Law:
    """All mass near a mean; a draw is the mean where the noise is above one half, else zero."""

    def __init__(self, mean):
        self.mean = mean

    def icdf(self, u):
        return torch.where(u > 0.5, self.mean, torch.zeros_like(self.mean)).round().long()

    def log_prob(self, x):
        return -(x - self.mean).abs()


class Negative(Model):
    """Latents are the entries; what they are decoded to is the negative image."""

    name, family = "negative", "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, x, y=None):
        self.seen = y
        return Point(x.flatten(1).float() * self.weight)

    def decode(self, z, y=None):
        self.decoded = y
        return Law((self.spec.levels - 1 - z).view(-1, *self.spec.shape))

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise NotImplementedError


class Normal(Negative):
    """The same with a standard normal prior."""

    name = "normal"

    def prior(self):
        zero = torch.zeros(1, self.spec.dims)
        return DiagonalGaussian(zero, zero)


class Deviant(Negative):
    """The same with a prior that is normal and not standard."""

    name = "deviant"

    def prior(self):
        zero = torch.zeros(1, self.spec.dims)
        return DiagonalGaussian(zero, zero + 1)


class Drawn(Model):
    """Decodes draws of its prior, as a GAN does, and does not encode."""

    name, family = "drawn", "toy"
    decode, prior = Normal.decode, Normal.prior
    sample = Negative.sample


class Plane(Model):
    """Two latents: those of an example are its first two entries; both fill a part of the image."""

    name, family = "plane", "toy"
    sample = Negative.sample

    def encode(self, x, y=None):
        return DiagonalGaussian(x.flatten(1)[:, :2].float(), torch.zeros(len(x), 2))

    def decode(self, z, y=None):
        upper, lower = z[:, 0], z[:, 1]
        return Law(torch.stack([upper, upper, upper, lower, lower, lower], 1).view(-1, 1, 3, 2))

    def prior(self):
        return DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2))


class Restorer(Model):
    """Restores in a way of its own: everything becomes level 2."""

    name, family = "restorer", "toy"
    sample = Negative.sample

    def reconstruct(self, x):
        return Law(torch.full(x.shape, 2.0))


class Units(Model):
    """Three hidden units, of which the second has the largest weights."""

    name, family = "units", "toy"
    sample = Negative.sample

    def filters(self):
        weight = torch.zeros(3, *self.spec.shape)
        weight[0, 0, 0, 0], weight[1, 0, 1, 1], weight[2, 0, 2, 0] = 0.5, -2.0, 1.0
        return weight


class Counter(Model):
    """A chain of states that is known: at every step the state is the entry."""

    name, family = "counter", "toy"
    sample = Negative.sample

    def _path(self, x):
        return (x if x.dim() == 2 else x[:, 0, :, 0]).long()

    def viterbi(self, x, y=None, known=None):
        return self._path(x), -torch.ones(len(x))

    def posterior(self, x, y=None, known=None):
        certain = nn.functional.one_hot(self._path(x), 9).float()
        return 0.9 * certain + 0.1 / 9


def cut(picture, height, width, scale):
    """Return the tiles of a sheet, ``(rows, columns, height, width)`` grey levels from 0 to 255.

    Every image is ``scale`` times as large as the data, with a line of one pixel around it.
    """
    whole = np.asarray(picture.figure.axes[0].images[0].get_array())
    high, wide = height * scale + 2, width * scale + 2
    rows, columns = whole.shape[0] // high, whole.shape[1] // wide
    assert whole.shape == (rows * high, columns * wide, 3)
    tiles = whole[..., 0].reshape(rows, high, columns, wide).transpose(0, 2, 1, 3)
    inner = tiles[:, :, 1:-1, 1:-1]
    small = inner[:, :, scale // 2 :: scale, scale // 2 :: scale]
    assert (small.repeat(scale, 2).repeat(scale, 3) == inner).all()
    return small


def grey(levels, most=8):
    """Return levels as bytes."""
    return np.round(np.asarray(levels, float).clip(0, most) / most * 255)
