"""What a comparison found, and the files that hold it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from genus.evaluation.cache import write_atomic
from genus.evaluation.curves import Points
from genus.evaluation.fingerprint import check_same
from genus.evaluation.provenance import DataReference
from genus.evaluation.scoring import FORMAT, Evaluation, plain
from genus.spec import Spec

REAL = "real data"
COPIES = "train copies"


@dataclass(frozen=True)
class Settings:
    """What all models of a comparison share; see `genus.evaluation.compare`."""

    time_budget: float
    seed: int = 0
    split: str = "test"
    samples: int | None = None
    k: int = 64
    sample_budget: float = 60.0
    seeds: int = 1
    conditional: bool = False


@dataclass(frozen=True)
class FeatureNote:
    """A feature network of the comparison."""

    name: str
    description: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table.

    Args:
        label: the model's name, "real data" or "train copies".
        kind: whether it is a model or a control.
        evaluation: what was found, None where that failed.
        reason: why it failed.
        curves: points (seconds of training, value) by name: "valid", minus the log-likelihood on
            the valid split in nats per dimension, or, of a model without one, "distance" of samples
            from the valid split, and each player's loss. Of the first seed.
        repeats: the evaluations of all training seeds, of which the first is ``evaluation``.
        seeds: of which each of ``repeats`` is.
        repeated_curves: the curves of all seeds after the first.
    """

    label: str
    kind: Literal["model", "control"]
    evaluation: Evaluation | None
    reason: str | None = None
    curves: Mapping[str, Points] = field(default_factory=dict)
    repeats: tuple[Evaluation, ...] = ()
    seeds: tuple[int, ...] = ()
    repeated_curves: tuple[Mapping[str, Points], ...] = ()

    @property
    def runs(self) -> dict[str, Evaluation]:
        """Every evaluation of the row, by its label and, where there are several, its seed."""
        if len(self.repeats) < 2:
            return {} if self.evaluation is None else {self.label: self.evaluation}
        named = zip(self.seeds, self.repeats, strict=True)
        return {f"{self.label}, seed {seed}": found for seed, found in named}

    def curves_of(self, name: str) -> list[Points]:
        """Return a curve of every seed that has one: more than one point."""
        every = (curves.get(name, ()) for curves in (self.curves, *self.repeated_curves))
        return [points for points in every if len(points) > 1]

    def to_json(self) -> dict[str, Any]:
        """Return the row as a dictionary."""
        found = None if self.evaluation is None else self.evaluation.to_json()
        return {
            "label": self.label,
            "kind": self.kind,
            "reason": self.reason,
            "evaluation": found,
            "curves": _as_lists(self.curves),
            "repeats": [found.to_json() for found in self.repeats[1:]],
            "repeated_curves": [_as_lists(curves) for curves in self.repeated_curves],
            "seeds": list(self.seeds),
        }


def _as_lists(curves: Mapping[str, Points]) -> dict[str, list[list[float]]]:
    return {name: [list(point) for point in points] for name, points in curves.items()}


@dataclass(frozen=True, eq=False)
class Comparison:
    """The table, with all that is needed to read it and to make it again.

    Args:
        data: what the models were compared on.
        description: of the data.
        spec: what an example is.
        settings: what the models share.
        rows: models in the order asked for, then the controls.
        samples: how many each row has.
        features: the feature networks.
        real_source: where the real examples of the floors come from.
        notes: what a reader must know, such as a reduced number of samples.
        environment: versions and hardware.
        command: what was typed.
        out: the folder.
        reference: some held-out examples, for pictures.
        finished: when, in ISO 8601.

    Raises:
        ConfigError: samples of the rows were measured in different ways.
    """

    data: DataReference
    description: str
    spec: Spec
    settings: Settings
    rows: tuple[Row, ...]
    samples: int
    features: tuple[FeatureNote, ...]
    real_source: str
    notes: tuple[str, ...]
    environment: dict[str, str | int]
    command: str
    out: Path
    reference: Tensor | None = None
    finished: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        blocks = {row.label: row.evaluation.samples for row in self.rows if row.evaluation}
        check_same({name: b.fingerprint for name, b in blocks.items() if b is not None})

    @property
    def report(self) -> Path:
        """The page that `write` makes."""
        return self.out / "report.html"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a dictionary of plain values."""
        from genus.evaluation.ranking import all_ranks

        found = all_ranks(self)
        content = {
            "format": FORMAT,
            "data": asdict(self.data),
            "settings": asdict(self.settings),
            "samples": self.samples,
            "features": [asdict(note) for note in self.features],
            "real_source": self.real_source,
            "rows": [{**row.to_json(), "ranks": found[row.label]} for row in self.rows],
            "notes": list(self.notes),
            "environment": self.environment,
            "command": self.command,
            "finished": self.finished,
        }
        data: dict[str, Any] = plain(content)
        return data

    def to_csv(self) -> str:
        """Return the table as CSV, one line for each row, empty where there is no figure."""
        from genus.evaluation.ranking import all_ranks

        found = all_ranks(self)
        records = [_record(row) | _summary(row, self, found[row.label]) for row in self.rows]
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def write(self) -> None:
        """Write ``report.html`` and ``compare.json``, ``.csv`` and ``.tex`` into the folder."""
        from genus.evaluation.latex import latex
        from genus.evaluation.report import report

        self.out.mkdir(parents=True, exist_ok=True)
        write_atomic(self.out / "compare.csv", self.to_csv().encode())
        write_atomic(self.out / "compare.json", json.dumps(self.to_json(), indent=1).encode())
        write_atomic(self.out / "compare.tex", latex(self).encode())
        write_atomic(self.report, report(self).encode())


def _summary(row: Row, comparison: Comparison, ranks: Mapping[str, int]) -> dict[str, Any]:
    """Return figures over all training seeds with their errors, and ranks, as flat cells."""
    from genus.evaluation.table import columns

    cells: dict[str, Any] = {"seeds": max(1, len(row.repeats))} if row.kind == "model" else {}
    for column in columns(comparison):
        if (figure := column.measured(row)) is not None:
            cells |= {f"value.{column.title}": figure[0], f"error.{column.title}": figure[1]}
    return cells | {f"rank.{title}": rank for title, rank in ranks.items()}


def _record(row: Row) -> dict[str, Any]:
    """Return a row as flat cells."""
    from genus.evaluation.audit_words import verdict

    record: dict[str, Any] = {"label": row.label, "row": row.kind, "reason": row.reason}
    if row.evaluation is None:
        return record
    content = row.evaluation.to_json()
    likelihood, cost, block = content["likelihood"], content["cost"], content["samples"]
    names = ("kind", "k", "nats", "standard_error", "bits_per_dim", "bits_per_dim_standard_error")
    record |= {f"likelihood.{name}": likelihood[name] for name in names}
    for name in ("interval", "bits_per_dim_interval"):
        low, high = likelihood[name] or (None, None)
        record |= {f"likelihood.{name}.low": low, f"likelihood.{name}.high": high}
    record |= cost
    if block is not None:
        record["samples"] = block["n"]
        for net, scores in block["features"].items():
            record |= _flat(f"{net}.", scores)
        for name in ("nearer_to_train", "bins", "classes", "labels"):
            record |= _flat(f"{name}.", block[name] or {})
        record["audit"] = verdict(row)
    return record


def _flat(prefix: str, scores: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            cells |= {f"{prefix}{name}.{key}": item for key, item in value.items()}
        elif not isinstance(value, str | list):
            cells[f"{prefix}{name}"] = value
    return cells
