"""Does a model repeat its training data?

Half of a good model's samples are nearer to a random part of the training data than to equally
many held-out examples, however blurred or noisy they are; copies tip the balance. Distance to the
training data alone cannot tell: it also falls when samples shrink towards the mean.

`nearer_to_train` counts every sample. `near_copies` counts only those that are clearly nearer to
one side, which few honest samples are, so that far fewer copies show.

Where the two splits differ, say two parts of a picture, every model of the training data is nearer
to these. `usual` sees that, and what training examples get among themselves is then what is fair.
"""

# Shapes: N samples, M examples of each reference, D values.
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.errors import ConfigError

CHUNK = 512
CLEAR = 0.02
"""Share of real examples that count as far nearer to one side."""
LEAST_RATIO, MOST_RATIO = 1e-3, 0.5
APART, SURE = 0.1, 5.0
"""Least difference from one half, and its standard errors, that tell two splits from each other."""


@dataclass(frozen=True)
class NearerToTrain:
    """Share of samples nearer to train than to held-out data.

    Args:
        share: in [0, 1]; ties count one half.
        standard_error: of the share under the null hypothesis that train and held-out examples
            are interchangeable. Samples that share their nearest example count as one, so a
            collapsed model gets an error of one half, not a false alarm.
        null: what is fair, see `usual`.
    """

    share: float
    standard_error: float
    null: float = 0.5

    @property
    def z(self) -> float:
        """Standard errors above the null; above 3 is a strong sign of copying."""
        return (self.share - self.null) / self.standard_error


@dataclass(frozen=True)
class NearCopies:
    """Samples far nearer to train than to held-out data, less those that are the other way round.

    Args:
        share: of all samples, in [-1, 1]; 0 in the mean for a model that does not copy.
        standard_error: of the share under the null hypothesis, in which each such sample lies on
            either side by the toss of a coin. Samples that share their nearest example count as
            one.
        nearer_train: how many are far nearer to train.
        nearer_held_out: how many are far nearer to held-out data.
        ratio: of the two distances, below which a sample counts.
        null: what is fair, see `usual`.
    """

    share: float
    standard_error: float
    nearer_train: int
    nearer_held_out: int
    ratio: float
    null: float = 0.0

    @property
    def z(self) -> float:
        """Standard errors above what is fair; above 3 is a strong sign of copying."""
        return (self.share - self.null) / self.standard_error


@dataclass(frozen=True)
class Usual:
    """What is fair: the figures of samples that are as near to train as its own examples are.

    Args:
        share: of samples nearer to train.
        clear: excess of those far nearer to it.
        error: standard error of either, as far as they were estimated.
    """

    share: float = 0.5
    clear: float = 0.0
    error: float = 0.0

    @property
    def apart(self) -> bool:
        """Whether train and held-out examples can be told from each other."""
        return self.share != 0.5


EVEN = Usual()
"""What is fair where splits are interchangeable: one half, and no excess."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest example of every sample in two references of one size.

    Args:
        to_train: ``(N,)`` squared distance to the nearest training example.
        train_row: ``(N,)`` which one it is.
        to_held_out: ``(N,)`` squared distance to the nearest held-out example.
        held_out_row: ``(N,)`` which one it is.
        size: M, of each reference.
    """

    to_train: Tensor
    train_row: Tensor
    to_held_out: Tensor
    held_out_row: Tensor
    size: int

    @classmethod
    def of(cls, samples: Tensor, train: Tensor, held_out: Tensor) -> Neighbours:
        """Find them; arguments and errors are those of `nearer_to_train`."""
        if len(train) != len(held_out) or not len(train) or not len(samples):
            raise ConfigError(
                f"needs samples and equally many train and held-out examples, got {len(samples)} "
                f"samples, {len(train)} train and {len(held_out)} held-out"
            )
        return cls(*_nearest(samples, train), *_nearest(samples, held_out), len(train))

    def together(self, signs: Tensor | None = None) -> float:
        """Return the root of the summed squares of groups that share their nearest example.

        Args:
            signs: ``(N,)`` what each sample adds to its group; 1 when left out.
        """
        nearest = torch.where(
            self.to_train <= self.to_held_out, self.train_row, self.held_out_row + self.size
        )
        weights = torch.ones(len(nearest)) if signs is None else signs
        return float(torch.bincount(nearest, weights.double()).square().sum().sqrt())


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
    return nearer_share(Neighbours.of(samples, train, held_out))


def nearer_share(found: Neighbours, fair: Usual = EVEN) -> NearerToTrain:
    """Return the figure of `nearer_to_train` from neighbours that are known already."""
    n = len(found.to_train)
    tied = found.to_train == found.to_held_out
    share = float(((found.to_train < found.to_held_out).double() + 0.5 * tied.double()).mean())
    # Under the null each nearest example is train or held-out by the toss of a coin, and it
    # carries all of its samples with it.
    error = max(found.together() / (2 * n), 1 / (2 * math.sqrt(n)))
    return NearerToTrain(share, math.hypot(error, fair.error), fair.share)


def usual(train: Tensor, held_out: Tensor, ratio: float) -> Usual:
    """Return what is fair, from how near training examples are to the other ones.

    If the splits are interchangeable, half of them are nearer to another training example than to
    any held-out one. If clearly more are, so is every honest sample of the training data.

    Args:
        train: ``(M, D)``.
        held_out: ``(M, D)``.
        ratio: of `near_copies`.

    Example:
        >>> x = torch.arange(400.0)[:, None]
        >>> usual(x[::2], x[1::2], 0.5).share, usual(x[:200], x[200:], 0.5).share
        (0.5, 0.9975)
    """
    among = Neighbours(
        nearest_other(train), torch.arange(len(train)), *_nearest(train, held_out), len(train)
    )
    found, error = nearer_share(among), 0.5 / math.sqrt(len(train))
    if not found.share - 0.5 > max(APART, SURE * error):
        return EVEN
    return Usual(found.share, near_copies(among, ratio).share, error)


def near_copies(found: Neighbours, ratio: float, fair: Usual = EVEN) -> NearCopies:
    r"""Return the excess of samples that are far nearer to train than to held-out data.

    With distances :math:`d_T` and :math:`d_H` to the nearest example of either side,

    .. math:: \frac1N \sum_i [d_{T,i} < \rho\, d_{H,i}] - [d_{H,i} < \rho\, d_{T,i}]

    Its expectation is :math:`f M / |\text{train}|` for a fraction f of copies, twice that of
    `nearer_to_train`, and its error is smaller, because few other samples take part. Blur, noise
    and missing kinds change both terms alike.

    Args:
        found: the neighbours of the samples.
        ratio: :math:`\rho` in (0, 1), see `clear_ratio`.
        fair: what honest samples get, where that is not zero; see `usual`.

    Example:
        >>> x = torch.arange(8.0)[:, None]
        >>> near_copies(Neighbours.of(x, train=x, held_out=x + 0.5), 0.5).share
        1.0
    """
    n, square = len(found.to_train), ratio**2
    train = found.to_train < square * found.to_held_out
    held_out = found.to_held_out < square * found.to_train
    error = found.together(train.double() - held_out.double())
    return NearCopies(
        (int(train.sum()) - int(held_out.sum())) / n,
        math.hypot(max(error, 1.0) / n, fair.error),
        int(train.sum()),
        int(held_out.sum()),
        ratio,
        fair.clear,
    )


def clear_ratio(real: Neighbours) -> float:
    """Return the ratio of distances that only one real example in fifty goes below, at most 1/2.

    In the plane a point is often twice as near to one set as to another, in an image hardly ever.

    Args:
        real: the neighbours of real examples that are in neither reference.
    """
    low = torch.minimum(real.to_train, real.to_held_out)
    high = torch.maximum(real.to_train, real.to_held_out)
    ratios = torch.where(high > 0, low / high.clamp(min=1e-300), 1.0).sqrt()
    return min(MOST_RATIO, max(LEAST_RATIO, float(ratios.quantile(CLEAR))))


def nearest_other(samples: Tensor) -> Tensor:
    """Return the squared distance of each sample to the nearest other one, ``(N,)``.

    Example:
        >>> nearest_other(torch.tensor([[0.0], [3.0], [4.0]])).tolist()
        [9.0, 1.0, 1.0]
    """
    samples, parts = samples.double(), []
    for start in range(0, len(samples), CHUNK):
        squares = _squared_distances(samples[start : start + CHUNK], samples)
        rows = torch.arange(len(squares))
        squares[rows, rows + start] = math.inf
        parts.append(squares.amin(1))
    return torch.cat(parts)


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
    return (squares * 2**24).round().clamp(min=0) / 2**24
