"""The sample block: the same count, levels, reference and feature networks for every model."""

# Shapes: N samples, M examples, D features.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.errors import ConfigError
from genus.evaluation.audit import Auditor
from genus.evaluation.block import FeatureScores, SampleBlock
from genus.evaluation.doubts import (
    doubts_about_classes,
    doubts_about_counts,
    doubts_about_errors,
    doubts_about_reference,
    doubts_about_samples,
    doubts_about_splits,
)
from genus.evaluation.drawing import default_count, quantise
from genus.evaluation.features import FeatureNet, reserved_rows, visible_rows
from genus.evaluation.fingerprint import fingerprint
from genus.evaluation.frechet import bootstrap_error, frechet_distance, null_floor
from genus.evaluation.histograms import Histograms
from genus.evaluation.inception import check_has, nets_for
from genus.evaluation.influence import WIDE, frechet_with_error
from genus.evaluation.kept import kept_features
from genus.evaluation.kernel import KernelDistance, kernel_distance
from genus.evaluation.labels import LabelReference
from genus.evaluation.measure import Measure
from genus.evaluation.memorisation import nearer_share
from genus.evaluation.nets import Scaler
from genus.evaluation.prdc import PRDC, prdc
from genus.evaluation.rows import as_values, choose, read
from genus.evaluation.sliced import sliced_distance

if TYPE_CHECKING:
    from genus.data import DataSet

NEIGHBOURS = 5
_MOST_REFERENCES = 5000
CLOSEST = 16
"""Samples that are shown beside their nearest examples."""
_SLICED_REPEATS = 16


class Reference:
    """What samples are compared with: held-out data, real examples for the floors, train.

    Args:
        data: the data set.
        split: the held-out split.
        n: how many samples each model gives; the reference has as many examples, or the whole
            split where that is smaller.
        seed: picks the rows where a split has more than are needed.
        nets: the feature networks, made from ``data`` when left out.
        inception: whether the networks that are made have the Inception network among them; see
            `genus.evaluation.inception`.
        progress: told what takes long.

    Raises:
        ConfigError: the split or ``n`` is too small for k = 5 neighbours, or torch-fidelity is
            missing.
        DataError: the Inception weights cannot be had.
        SpecError: the data are not images that the Inception network takes.
    """

    def __init__(
        self,
        data: DataSet,
        *,
        split: str = "test",
        n: int | None = None,
        seed: int = 0,
        nets: list[FeatureNet] | None = None,
        inception: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        held_out = data.split(split)
        self.data, self.split, self.seed = data, split, seed
        self.n = default_count(data, split) if n is None else n
        self.size = min(self.n, len(held_out))
        if self.size <= NEIGHBOURS:
            raise ConfigError(
                f"samples are judged by {NEIGHBOURS} neighbours, so at least {NEIGHBOURS + 1} "
                f"samples and held-out examples are needed; there are n={self.n} samples and "
                f"{len(held_out)} examples in {split!r}"
            )
        if nets is None:
            nets = nets_for(data, inception=inception, progress=progress)
        check_has(nets, inception)
        self.nets, self._say = nets, progress or (lambda message: None)
        self.pairs = read(held_out, choose(len(held_out), self.size, seed))
        self.examples = self.pairs.x
        self.real, self.real_source = self._real_rows()
        keep = partial(kept_features, progress=progress)
        self.features = {net.name: keep(net, self.examples) for net in self.nets}
        self.auditor = self._make_auditor()
        train_x, held_x = self.auditor.train, self.auditor.held_out
        self.floors = {net.name: self._figures(net, keep(net, self.real)) for net in self.nets}
        self.classifier = next((net for net in self.nets if net.head is not None), None)
        self.histograms = Histograms(
            train_x,
            held_x,
            self.real,
            values=self.auditor.values,
            classifier=self.classifier,
            classes=data.spec.classes,
            seed=seed,
        )
        self.fingerprint = fingerprint(
            nets=[net.fingerprint for net in self.nets],
            n=self.n,
            digest=data.digest,
            split=split,
            seed=seed,
            rows=[self.examples, self.real, train_x, held_x],
        )
        sizes = {name: features.shape[1] for name, features in self.features.items()}
        self.notes = doubts_about_counts(min(self.n, self.size), sizes)
        self.notes += doubts_about_errors(sizes, WIDE)
        self.notes += doubts_about_reference(self.n, self.examples, self.real)
        self.notes += doubts_about_splits(self.auditor.usual, split)
        if any(net.name == "trained" for net in self.nets):
            told = self.classifier is not None
            self.notes += doubts_about_classes(data.spec.classes, data.labelled, told)

    def train_copies(self) -> Tensor:
        """Return as many training examples as there are samples: what cheating looks like."""
        rows = visible_rows(self.data)
        return read(self.data.train, rows[choose(len(rows), self.n, self.seed + 2)]).x

    def measure(self, samples: Tensor) -> SampleBlock:
        """Return the sample block of ``(n, *shape)`` samples, rounded to levels first.

        Raises:
            SpecError: they do not fit the data.
        """
        x = quantise(samples, self.data.spec)
        for net in self.nets:
            if net.slow:
                self._say(f"taking the {net.name} features of {len(x)} samples")
        scores = {net.name: self._scores(net, net(x)) for net in self.nets}
        found = self.auditor.neighbours(x)
        closest = self.auditor.closest(x, found, CLOSEST) if self.data.spec.is_image else None
        return SampleBlock(
            len(x),
            scores,
            nearer_share(found, self.auditor.usual),
            self.histograms.over_bins(x),
            self.histograms.over_classes(x),
            fingerprint=self.fingerprint,
            audit=self.auditor(x, found),
            closest=closest,
            notes=doubts_about_samples(x, self.real, self.data.spec),
        )

    @property
    def images(self) -> Tensor | None:
        """What n samples of a model that goes by images are made from; None without any.

        The samples have the conditions of the examples that they are compared with, in turn.
        """
        if self.data.spec.condition is None or self.pairs.y is None:
            return None
        return self.pairs.y[torch.arange(self.n) % self.size]

    @cached_property
    def labels(self) -> LabelReference | None:
        """What samples with labels are held against; None where no network knows the classes."""
        if self.classifier is None:
            return None
        return LabelReference(self.data, self.split, self.n, self.classifier, self.seed)

    def _real_rows(self) -> tuple[Tensor, str]:
        """Return n real examples outside the reference, as new to the networks as can be had."""
        pools = [("train", reserved_rows(self.data)), ("train", visible_rows(self.data))]
        if self.split != "valid" and len(self.data.valid):
            pools.insert(0, ("valid", torch.arange(len(self.data.valid))))
        parts, sources, missing = [], [], self.n
        self._real_train_rows = torch.empty(0, dtype=torch.int64)
        for name, rows in pools:
            taken = rows[choose(len(rows), missing, self.seed + 1)]
            if name == "train":
                self._real_train_rows = torch.cat([self._real_train_rows, taken])
            if len(taken):
                parts.append(read(self.data.split(name), taken).x)
                sources.append(f"{len(taken)} {name}")
                missing -= len(taken)
        return torch.cat(parts), " + ".join(sources)

    def _make_auditor(self) -> Auditor:
        """Return what looks for copies: train and held-out examples, equally many of each."""
        data, held_out, train = self.data, self.data.split(self.split), self._unused_rows()
        size = min(len(held_out), len(train), _MOST_REFERENCES)
        picked = read(data.train, train[choose(len(train), size, self.seed + 3)])
        scaler = None if data.spec.is_discrete else Scaler.of(data.spec, picked.x)
        return Auditor(
            data.spec,
            picked.x,
            read(held_out, choose(len(held_out), size, self.seed)).x,
            self.real,
            train_size=len(data.train),
            values=lambda x: as_values(x if scaler is None else scaler(x), data.spec),
            labels=picked.y,
            names=data.labels,
            seed=self.seed,
        )

    def _unused_rows(self) -> Tensor:
        """Return the rows of train that are not among the real examples, if there are enough."""
        rows = visible_rows(self.data)
        unused = rows[~torch.isin(rows, self._real_train_rows)]
        return unused if len(unused) > NEIGHBOURS else rows

    def _figures(self, net: FeatureNet, features: Tensor) -> _Figures:
        reference = self.features[net.name]
        distance, error = _frechet(features, reference)
        return _Figures(
            distance,
            error,
            kernel_distance(features, reference),
            sliced_distance(features, reference),
            prdc(reference, features, NEIGHBOURS),
        )

    def _scores(self, net: FeatureNet, features: Tensor) -> FeatureScores:
        reference = self.features[net.name]
        found, floor = self._figures(net, features), self.floors[net.name]
        kernel = found.kernel
        error, sliced_error = found.frechet_error, None
        if error is None:
            error = bootstrap_error(features, reference, seed=self.seed)
            # One basis and few draws say how much the mean over all of them varies, in less time.
            sliced_error = bootstrap_error(
                features,
                reference,
                partial(sliced_distance, directions=1),
                repeats=_SLICED_REPEATS,
                seed=self.seed,
            )
        precision, recall, density, coverage = (
            Measure(value, real)
            for value, real in zip(_four(found.prdc), _four(floor.prdc), strict=True)
        )
        return FeatureScores(
            net.description,
            net.fingerprint,
            Measure(found.frechet, floor.frechet, error),
            null_floor(torch.cov(reference.T), len(features), len(reference)),
            precision,
            recall,
            density,
            coverage,
            Measure(kernel.value, floor.kernel.value, kernel.standard_error),
            Measure(found.sliced, floor.sliced, sliced_error),
        )


@dataclass(frozen=True)
class _Figures:
    """What is measured in the features of one network."""

    frechet: float
    frechet_error: float | None
    kernel: KernelDistance
    sliced: float
    prdc: PRDC


def _frechet(features: Tensor, reference: Tensor) -> tuple[float, float | None]:
    """Return the Frechet distance, and its error where resampling would take too long."""
    if features.shape[1] > WIDE:
        return frechet_with_error(features, reference)
    return frechet_distance(features, reference), None


def _four(shares: PRDC) -> tuple[float, float, float, float]:
    return shares.precision, shares.recall, shares.density, shares.coverage
