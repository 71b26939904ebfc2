"""The sample block: the same count, levels, reference and feature networks for every model."""

# Shapes: N samples, M examples, D features.
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.errors import ConfigError, SpecError
from genus.evaluation.audit import Audit, Auditor
from genus.evaluation.class_scores import ClassBalance, LabelScores
from genus.evaluation.doubts import doubts_about_counts, doubts_about_samples
from genus.evaluation.features import (
    MOST_SAMPLES,
    FeatureNet,
    feature_nets,
    reserved_rows,
    visible_rows,
)
from genus.evaluation.fingerprint import fingerprint
from genus.evaluation.frechet import bootstrap_error, frechet_distance, null_floor
from genus.evaluation.histograms import BinBlock, Histograms
from genus.evaluation.kernel import KernelDistance, kernel_distance
from genus.evaluation.labels import LabelReference
from genus.evaluation.likelihood import scoring_mode
from genus.evaluation.measure import Measure
from genus.evaluation.memorisation import NearerToTrain, nearer_share
from genus.evaluation.nets import Scaler
from genus.evaluation.prdc import PRDC, prdc
from genus.evaluation.rows import as_values, choose, read
from genus.evaluation.sliced import sliced_distance
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

NEIGHBOURS = 5
FEWEST_SAMPLES = 50
"""Below this the figures say next to nothing, however slow a model draws."""
CHUNK = 250
"""Samples drawn at a time, a bound on memory."""
_MOST_REFERENCES = 5000
CLOSEST = 16
"""Samples that are shown beside their nearest examples."""
_PROBES = (4, 32)
_SLICED_REPEATS = 16


@dataclass(frozen=True)
class FeatureScores:
    """Distances and shares in the features of one network."""

    description: str
    fingerprint: str
    frechet: Measure
    frechet_null: float
    """The floor by the closed form, for Gaussian features."""
    precision: Measure
    recall: Measure
    density: Measure
    coverage: Measure
    kernel: Measure | None = None
    """None in records from before there was any, as below."""
    sliced: Measure | None = None


@dataclass(frozen=True)
class SampleBlock:
    """How a set of samples compares with held-out data.

    Args:
        n: how many samples.
        scores: distances and shares by the name of the feature network.
        nearer_to_train: the memorisation test.
        bins: kinds of examples that come too often or too rarely.
        classes: classes that do; None without labels.
        labels: what labels are worth; only of class-conditional models.
        fingerprint: figures of two blocks compare only where it is the same.
        notes: what is doubtful about the samples.
        audit: what is wrong with them; None in records from before there was one.
        closest: ``(3, n, *shape)`` the samples that lean most to the training data, their nearest
            training and their nearest held-out examples; not in the JSON.
    """

    n: int
    scores: dict[str, FeatureScores]
    nearer_to_train: NearerToTrain
    bins: BinBlock | None = None
    classes: ClassBalance | None = None
    labels: LabelScores | None = None
    fingerprint: str | None = None
    notes: tuple[str, ...] = ()
    audit: Audit | None = None
    closest: Tensor | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the block as a dictionary."""
        return {
            "n": self.n,
            "features": {name: asdict(score) for name, score in self.scores.items()},
            "nearer_to_train": asdict(self.nearer_to_train),
            **{name: _plain(getattr(self, name)) for name in ("bins", "classes", "labels")},
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
            "audit": None if self.audit is None else self.audit.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SampleBlock:
        """Build a block from `to_json`'s dictionary; what an old record lacks is None."""
        scores = {
            name: FeatureScores(**_with_measures(score))
            for name, score in content["features"].items()
        }
        found: dict[str, Any] = {}
        audit = content.get("audit")
        for name, kind in (("bins", BinBlock), ("classes", ClassBalance), ("labels", LabelScores)):
            stored = content.get(name)
            found[name] = None if stored is None else kind(**_with_measures(stored))
        return cls(
            content["n"],
            scores,
            NearerToTrain(**content["nearer_to_train"]),
            **found,
            audit=None if audit is None else Audit.from_json(audit),
            fingerprint=content.get("fingerprint"),
            notes=tuple(content.get("notes", ())),
        )


def _plain(part: BinBlock | ClassBalance | LabelScores | None) -> dict[str, Any] | None:
    return None if part is None else asdict(part)


def _with_measures(content: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a stored part as they were: measures, and tuples of counts."""

    def restored(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return Measure(**value) if isinstance(value, dict) else value

    return {key: restored(value) for key, value in content.items()}


class Reference:
    """What samples are compared with: held-out data, real examples for the floors, train.

    Args:
        data: the data set.
        split: the held-out split.
        n: how many samples each model gives; the reference has as many examples, or the whole
            split where that is smaller.
        seed: picks the rows where a split has more than are needed.
        nets: the feature networks, made from ``data`` when left out.
        progress: told what takes long.

    Raises:
        ConfigError: the split or ``n`` is too small for k = 5 neighbours.
    """

    def __init__(
        self,
        data: DataSet,
        *,
        split: str = "test",
        n: int | None = None,
        seed: int = 0,
        nets: list[FeatureNet] | None = None,
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
        self.nets = feature_nets(data, progress=progress) if nets is None else nets
        self.examples = read(held_out, choose(len(held_out), self.size, seed)).x
        self.real, self.real_source = self._real_rows()
        self.features = {net.name: net(self.examples) for net in self.nets}
        self.auditor = self._make_auditor()
        train_x, held_x = self.auditor.train, self.auditor.held_out
        self.floors = {net.name: self._figures(net, net(self.real)) for net in self.nets}
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
        scores = {net.name: self._scores(net, net(x)) for net in self.nets}
        found = self.auditor.neighbours(x)
        closest = self.auditor.closest(x, found, CLOSEST) if self.data.spec.is_image else None
        return SampleBlock(
            len(x),
            scores,
            nearer_share(found),
            self.histograms.over_bins(x),
            self.histograms.over_classes(x),
            fingerprint=self.fingerprint,
            audit=self.auditor(x, found),
            closest=closest,
            notes=doubts_about_samples(x, self.real, self.data.spec),
        )

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
        return _Figures(
            frechet_distance(features, reference),
            kernel_distance(features, reference),
            sliced_distance(features, reference),
            prdc(reference, features, NEIGHBOURS),
        )

    def _scores(self, net: FeatureNet, features: Tensor) -> FeatureScores:
        reference = self.features[net.name]
        found, floor = self._figures(net, features), self.floors[net.name]
        kernel = found.kernel
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
    kernel: KernelDistance
    sliced: float
    prdc: PRDC


def _four(shares: PRDC) -> tuple[float, float, float, float]:
    return shares.precision, shares.recall, shares.density, shares.coverage


def default_count(data: DataSet, split: str) -> int:
    """Return how many samples are drawn by default: as many as are held out, at most 2,000."""
    return min(len(data.split(split)), MOST_SAMPLES)


def quantise(x: Tensor, spec: Spec) -> Tensor:
    """Return samples as the data are: rounded to the nearest level and kept in range.

    Raises:
        SpecError: they have the wrong shape or hold NaN.
    """
    if spec.is_discrete and x.is_floating_point():
        if not bool(torch.isfinite(x).all()):
            raise SpecError("the samples hold NaN or infinity; the model has diverged")
        x = x.round().clamp(0, spec.levels_or_raise - 1).long()
    return spec.check(x.detach().cpu())


def draw(
    model: Any, n: int, *, y: Tensor | None = None, seed: int = 0, chunk: int = CHUNK
) -> tuple[Tensor, float]:
    """Draw samples at temperature 1.

    Args:
        model: any model.
        n: how many.
        y: ``(n,)`` labels, of a class-conditional model; left out, it draws them itself.
        seed: of the generator.
        chunk: how many at a time, a bound on memory.

    Returns:
        The samples ``(n, *shape)`` on the CPU and the seconds taken for each.
    """
    generator = torch.Generator().manual_seed(seed)
    started, parts = time.perf_counter(), []
    with scoring_mode(model) as ready:
        for start in range(0, n, chunk):
            size = min(chunk, n - start)
            labels = {} if y is None else {"y": y[start : start + size]}
            part = ready.sample(size, **labels, generator=generator)
            parts.append(quantise(part, model.spec))
    return torch.cat(parts), (time.perf_counter() - started) / max(n, 1)


def sampling_cost(model: Any) -> float:
    """Return about how many seconds a sample will take when drawn in full batches.

    A call costs something whatever it draws, and the first one pays for warming up; so that one is
    not counted, and two sizes tell the price of a call from that of a sample.
    """
    draw(model, 2)
    small, large = _PROBES
    first, second = (draw(model, n)[1] * n for n in _PROBES)
    each = max(0.0, (second - first) / (large - small))
    call = max(0.0, second - large * each)
    return each + call / CHUNK


def affordable(n: int, cost: float, budget: float) -> int:
    """Return how many of ``n`` samples fit a budget in seconds, but never fewer than 50 of them."""
    fitting = n if cost <= 0 else int(budget / cost)
    return min(n, max(FEWEST_SAMPLES, fitting))
