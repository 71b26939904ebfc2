"""What the labels of a class-conditional model's samples are worth."""

# Shapes: N samples.
from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from genus.evaluation.class_scores import LabelScores, trained_accuracy
from genus.evaluation.features import FeatureNet, visible_rows
from genus.evaluation.measure import Measure
from genus.evaluation.rows import choose, read
from genus.spec import Batch

if TYPE_CHECKING:
    from genus.data import DataSet

_MOST_HELD_OUT = 5000


class LabelReference:
    """What samples with labels are held against; nothing is computed before it is asked for.

    Args:
        data: with a label for every example.
        split: the held-out split; classifiers are tested on it and never trained.
        n: how many samples are drawn with labels; fewer where train has fewer rows.
        classifier: a network that has learnt to tell the classes.
        seed: picks rows.
    """

    def __init__(
        self, data: DataSet, split: str, n: int, classifier: FeatureNet, seed: int = 0
    ) -> None:
        self.data, self.split, self.n = data, split, n
        self.classifier, self.seed = classifier, seed

    @cached_property
    def train(self) -> Batch:
        """Training examples, whose labels are those that samples are to be drawn with."""
        rows = visible_rows(self.data)
        return read(self.data.train, rows[choose(len(rows), self.n, self.seed + 4)])

    @cached_property
    def held_out(self) -> Batch:
        """What classifiers are tested on."""
        part = self.data.split(self.split)
        return read(part, choose(len(part), _MOST_HELD_OUT, self.seed))

    @cached_property
    def floors(self) -> tuple[float, float]:
        """Label accuracy of held-out data, and the accuracy learnt from `train`."""
        assert self.held_out.y is not None
        right = self._right(self.held_out.x, self.held_out.y)
        return right, self._learnt(self.train)

    def measure(self, samples: Tensor, y: Tensor) -> LabelScores:
        """Return what the labels of samples are worth.

        Args:
            samples: ``(N, *shape)`` levels or real numbers.
            y: ``(N,)`` the labels that they were drawn with.

        Raises:
            SpecError: samples or labels do not fit the data.
        """
        accuracy_floor, learnt_floor = self.floors
        learnt = self._learnt(Batch(samples, y))
        right = self._right(samples, y)
        return LabelScores(
            len(samples),
            _share(right, len(samples), accuracy_floor),
            _share(learnt, len(self.held_out), learnt_floor),
        )

    def _right(self, x: Tensor, y: Tensor) -> float:
        return float((self.classifier.classify(x) == y).double().mean())

    def _learnt(self, train: Batch) -> float:
        return trained_accuracy(train, self.held_out, self.data.spec, self.classifier.scaler)


def _share(value: float, n: int, floor: float) -> Measure:
    """Return a share of n answers, with its binomial standard error."""
    return Measure(value, floor, math.sqrt(value * (1 - value) / n))
