"""Does a model repeat its training data?

Half of a good model's samples are nearer to a random part of the training data than to equally
many held-out examples, however blurred or noisy they are; copies tip the balance. Distance to the
training data alone cannot tell: it also falls when samples shrink towards the mean.
"""

# Shapes: N samples, M examples of each reference, D values.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.errors import ConfigError

CHUNK = 512


@dataclass(frozen=True)
class NearerToTrain:
    """Share of samples nearer to train than to held-out data.

    Args:
        share: in [0, 1]; ties count one half.
        standard_error: of the share under the null hypothesis that train and held-out examples
            are interchangeable. Samples that share their nearest example count as one, so a
            collapsed model gets an error of one half, not a false alarm.
    """

    share: float
    standard_error: float
    null: float = 0.5

    @property
    def z(self) -> float:
        """Standard errors above the null; above 3 is a strong sign of copying."""
        return (self.share - self.null) / self.standard_error


def nearer_to_train(samples: Tensor, train: Tensor, held_out: Tensor) -> NearerToTrain:
    r"""Return the share of samples that are nearer to train than to held-out examples.

    With a fraction f of exact copies its expectation is
    :math:`\tfrac12 + f M / (2 |\text{train}|)`, where M is the size of each reference.

    Args:
        samples: ``(N, D)`` values, not features of a net that has seen the training data: those
            differ between train and held-out data.
        train: ``(M, D)`` a random part of the training data.
        held_out: ``(M, D)``.

    Raises:
        ConfigError: the references differ in size, or a set is empty.

    Example:
        >>> x = torch.arange(8.0)[:, None]
        >>> nearer_to_train(x, train=x, held_out=x + 0.5).share
        1.0
    """
    if len(train) != len(held_out) or not len(train) or not len(samples):
        raise ConfigError(
            f"needs samples and equally many train and held-out examples, got {len(samples)} "
            f"samples, {len(train)} train and {len(held_out)} held-out"
        )
    to_train, train_row = _nearest(samples, train)
    to_held, held_row = _nearest(samples, held_out)
    tied = to_train == to_held
    share = float(((to_train < to_held).double() + 0.5 * tied.double()).mean())
    nearest = torch.where(to_train <= to_held, train_row, held_row + len(train))
    # Under the null each nearest example is train or held-out by the toss of a coin, and it
    # carries all of its samples with it.
    together = torch.bincount(nearest).double()
    error = float(together.square().sum().sqrt()) / (2 * len(samples))
    return NearerToTrain(share, max(error, 1 / (2 * math.sqrt(len(samples)))))


def _nearest(samples: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance to, and the row of, the nearest reference of every sample."""
    references = references.double()
    parts = []
    for chunk in torch.split(samples.double(), CHUNK):
        parts.append(_squared_distances(chunk, references).min(1))
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    # Rounded, so that equal distances between levels tie whichever way they were summed.
    return (squares * 2**24).round().clamp(min=0)
