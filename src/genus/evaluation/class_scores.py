r"""What a classifier says of samples: how often each class comes, and what labels are worth.

*Class balance.* The classes of samples and of held-out data, both by the same classifier, so that
its errors meet both alike, are compared by the test of homogeneity

.. math:: \chi^2 = \sum_y \frac{(n_y - \hat n_y)^2}{\hat n_y} + \frac{(m_y - \hat m_y)^2}{\hat m_y}

with the counts :math:`\hat n_y, \hat m_y` expected if the proportions were the same.

*Labels.* A class-conditional model draws samples of given labels. Their *label accuracy* is the
share that the classifier puts into that class; the *classification accuracy score* is the
accuracy, on held-out data, of a new classifier that has learnt from the samples and their labels
alone. The first sees wrong classes, the second also what is missing within a class.

References:
    | Pearson (1900), On the criterion that a given system of deviations ...
    | Ravuri and Vinyals (2019), Classification accuracy score, arXiv 1905.10887
    | Shmelkov et al. (2018), How good is my GAN?, arXiv 1807.09499
"""

# Shapes: N samples, Y classes.
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genus.data import ArraySplit
from genus.errors import ConfigError, SpecError
from genus.evaluation.features import Recipe, classify, descend_labels
from genus.evaluation.measure import Measure
from genus.evaluation.nets import Scaler, make_head, make_trunk
from genus.spec import Batch, Spec

RECIPE = Recipe(width=16, steps=400)
"""How the classifiers of the classification accuracy score are trained."""


@dataclass(frozen=True)
class ClassBalance:
    """How often each class comes.

    Args:
        statistic: chi-squared; its mean under the null hypothesis is ``degrees``.
        p_value: how often equal proportions would give a larger statistic.
        degrees: of freedom.
        counts: samples of each class, by the classifier.
        expected: as many samples, shared out as the held-out data are.
    """

    statistic: Measure
    p_value: float
    degrees: int
    counts: tuple[int, ...]
    expected: tuple[float, ...]


@dataclass(frozen=True)
class LabelScores:
    """What the labels of a class-conditional model's samples are worth.

    Args:
        n: samples drawn with labels.
        accuracy: share that a classifier of real data puts into the class asked for; the floor is
            that of held-out data.
        classification: accuracy on held-out data of a classifier that was trained on the samples;
            the floor is that of one trained on as many real examples.
    """

    n: int
    accuracy: Measure
    classification: Measure


@dataclass(frozen=True)
class ChiSquared:
    """A test of homogeneity."""

    statistic: float
    degrees: int
    p_value: float


def chi_squared(first_Y: Tensor, second_Y: Tensor) -> ChiSquared:
    """Return the test of whether two histograms have the same proportions.

    Classes that neither has are left out. The p-value is that of large counts: be wary of it
    where many classes have fewer than five.

    Args:
        first_Y: counts.
        second_Y: counts; their total may be another.

    Raises:
        ConfigError: the histograms have different classes, or one is empty.

    Example:
        >>> found = chi_squared(torch.tensor([30, 10]), torch.tensor([20, 20]))
        >>> round(found.statistic, 4), found.degrees, round(found.p_value, 4)
        (5.3333, 1, 0.0209)
    """
    n, m = float(first_Y.sum()), float(second_Y.sum())
    if first_Y.shape != second_Y.shape or n == 0 or m == 0:
        raise ConfigError(
            f"two histograms over the same classes are needed, got {len(first_Y)} classes of "
            f"{n:.0f} examples and {len(second_Y)} classes of {m:.0f}"
        )
    pooled_Y = (first_Y + second_Y).double()
    there = pooled_Y > 0
    share = pooled_Y[there] / (n + m)
    statistic = 0.0
    for counts_Y, total in ((first_Y, n), (second_Y, m)):
        expected = share * total
        statistic += float(((counts_Y[there].double() - expected).square() / expected).sum())
    degrees = int(there.sum()) - 1
    return ChiSquared(statistic, degrees, _survival(statistic, degrees))


def _survival(statistic: float, degrees: int) -> float:
    """Return the chance that a chi-squared variable exceeds a value."""
    if degrees == 0:
        return 1.0  # with one class there is nothing to tell apart
    half = torch.tensor([degrees / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def trained_accuracy(
    train: Batch, test: Batch, spec: Spec, scaler: Scaler, recipe: Recipe = RECIPE
) -> float:
    """Return the accuracy on one set of a small network that was trained on another.

    Trained on samples and tested on held-out data this is the classification accuracy score.

    Args:
        train: what it learns from, with labels.
        test: what it is judged on, with labels, and never trained on.
        spec: of the data, with classes.
        scaler: of examples.
        recipe: of training; the same seed gives the same network.

    Raises:
        SpecError: labels are missing or out of range, or examples do not fit the spec.
    """
    if train.y is None or test.y is None or spec.classes is None:
        raise SpecError("a classifier needs the labels of what it learns and is tested on")
    for x, y in ((train.x, train.y), (test.x, test.y)):
        spec.check(x)
        spec.check_labels(y, len(x))
    trunk = make_trunk(spec, recipe.width, recipe.seed)
    head = make_head(spec.classes, 0, recipe.seed + 1)
    split = ArraySplit(train.x, train.y)
    descend_labels(trunk, head, split, torch.arange(len(train)), recipe, scaler)
    found = classify(nn.Sequential(trunk, head), scaler, test.x)
    return float((found == test.y).double().mean())
