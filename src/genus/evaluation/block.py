"""What is found about a set of samples, and how it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from genus.evaluation.audit import Audit
from genus.evaluation.class_scores import ClassBalance, LabelScores
from genus.evaluation.histograms import BinBlock
from genus.evaluation.measure import Measure
from genus.evaluation.memorisation import NearerToTrain


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
