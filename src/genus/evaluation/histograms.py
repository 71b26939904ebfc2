"""Histograms of samples beside those of held-out data: over bins and over classes."""

# Shapes: N examples, D values.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.evaluation.bins import Bins, BinScores, bin_scores, suited_bins
from genus.evaluation.class_scores import ChiSquared, ClassBalance, chi_squared
from genus.evaluation.features import FeatureNet
from genus.evaluation.measure import Measure


@dataclass(frozen=True)
class BinBlock:
    """Statistically different bins; see `genus.evaluation.bins`.

    Args:
        bins: how many there are.
        different: share of them whose proportion differs at the level 0.05.
        divergence: Jensen-Shannon divergence of the histograms in bits.
    """

    bins: int
    different: Measure
    divergence: Measure


class Histograms:
    """What the histogram of samples is held against.

    Args:
        train: examples that the bins are made from.
        held_out: examples that are counted.
        real: as many real examples as there will be samples, for the floors.
        values: from examples to ``(N, D)`` values.
        classifier: a network that tells classes, or None where there is none.
        classes: how many there are.
        seed: of the bins.
    """

    def __init__(
        self,
        train: Tensor,
        held_out: Tensor,
        real: Tensor,
        *,
        values: Callable[[Tensor], Tensor],
        classifier: FeatureNet | None,
        classes: int | None,
        seed: int,
    ) -> None:
        self.values, self.classifier, self.classes = values, classifier, classes
        size = suited_bins(len(train), min(len(real), len(held_out)))
        self.bins = Bins.of(values(train), size, seed=seed)
        self._bin_counts = self.bins.counts(values(held_out))
        self._bin_floor = self._bin_scores(real)
        if self.counts_classes:
            self._class_counts = self._classify(held_out)
            self._class_floor = self._chi_squared(self._classify(real))

    @property
    def counts_classes(self) -> bool:
        """Whether there are classes to count and something that tells them."""
        return self.classifier is not None and self.classes is not None and self.classes > 1

    def over_bins(self, x: Tensor) -> BinBlock:
        """Return how the samples ``(N, *shape)`` fill the bins."""
        found, floor = self._bin_scores(x), self._bin_floor
        return BinBlock(
            len(self.bins.centres),
            Measure(found.different, floor.different),
            Measure(found.divergence, floor.divergence),
        )

    def over_classes(self, x: Tensor) -> ClassBalance | None:
        """Return how the samples ``(N, *shape)`` fill the classes, where these can be told."""
        if not self.counts_classes:
            return None
        counts = self._classify(x)
        found = self._chi_squared(counts)
        expected = self._class_counts.double() * len(x) / self._class_counts.sum()
        return ClassBalance(
            Measure(found.statistic, self._class_floor.statistic),
            found.p_value,
            found.degrees,
            tuple(counts.tolist()),
            tuple(expected.tolist()),
        )

    def _bin_scores(self, x: Tensor) -> BinScores:
        return bin_scores(self.bins.counts(self.values(x)), self._bin_counts)

    def _classify(self, x: Tensor) -> Tensor:
        assert self.classifier is not None
        return torch.bincount(self.classifier.classify(x), minlength=self.classes or 0)

    def _chi_squared(self, counts: Tensor) -> ChiSquared:
        return chi_squared(counts, self._class_counts)
