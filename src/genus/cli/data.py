"""`genus data`: which data sets there are, and what is in one of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genus.cli import output
from genus.cli.datasets import PLAIN, DataOptions, reading
from genus.cli.errors import FAILED, OK, UsageError

if TYPE_CHECKING:
    from genus.data import DataReport

SHOWN_FILES = 50
"""Offending files that are printed; JSON has them all."""


def data(
    name: str | None = None, /, *, options: DataOptions = PLAIN, json: output.Json = False
) -> int:
    """List the data sets, or look closely at one of them or at your own files.

    Args:
        name: A name of the list, or a folder, .npy, .npz or .csv; all are listed when left out.
        options: How the data are read.
        json: Print JSON to stdout.

    Returns:
        1 if the data cannot be used, else 0.
    """
    if name is None:
        return _list(options, json)
    from genus.data import inspect_data

    with reading() as progress:
        report = inspect_data(name, **options.keywords(), progress=progress)
    if json:
        output.print_json(report.to_json())
    else:
        _print(report)
    mended = f"mend what is listed, then genus data {name}"
    output.next_step(_train_command(name, options, report) if report.usable else mended)
    return OK if report.usable else FAILED


def _train_command(name: str, options: DataOptions, report: DataReport) -> str:
    """Return how to train on what was just inspected, with the same options."""
    model = "gaussian-mixture" if report.levels is None else "independent"
    is_image = report.levels is not None and len(report.shape or ()) == 3
    words = ["genus train", "pixelcnn" if is_image else model, "--data", name]
    for option in ("size", "levels", "label", "data_root"):
        value = getattr(options, option)
        words += [] if value is None else [f"--{option.replace('_', '-')}", str(value)]
    return " ".join([*words, *(["--gray"] if options.gray else []), "--time-budget 60s"])


def _list(options: DataOptions, json: bool) -> int:
    if options.keywords() | {"root": None} != PLAIN.keywords():
        raise UsageError("--size, --gray, --levels and --label need data: genus data PATH")
    from genus.data import list_data

    found = [asdict(entry) for entry in list_data(options.data_root)]
    if json:
        output.print_json(found)
    else:
        columns = ("data", "shape", "levels", "classes", "train", "valid", "test", "where")
        output.table(columns, [_row(entry) for entry in found])
    output.next_step("genus data digits")
    return OK


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    where = entry["where"]
    if where == "download":
        where = f"to download, {output.size(entry['bytes'])}"
    elif where == "absent":
        where = "absent; give --data-root"
    counts = (entry["counts"][split] for split in ("train", "valid", "test"))
    shape = "x".join(str(n) for n in entry["shape"])
    return (entry["name"], shape, entry["levels"], entry["classes"], *counts, where)


def _print(report: DataReport) -> None:
    output.say(report.description or report.name)
    if report.usable:
        output.pairs(_facts(report))
        output.table(("split", "examples", "repeated within"), _splits(report))
        _print_classes(report)
    for line in report.notes:
        output.say(f"note: {line}")
    for file, problem in report.offending[:SHOWN_FILES]:
        output.say(f"{file}: {problem}")
    if len(report.offending) > SHOWN_FILES:
        output.say(f"and {len(report.offending) - SHOWN_FILES} more; --json lists all")
    if report.problem:
        output.note(f"genus: {report.problem}")


def _facts(report: DataReport) -> list[tuple[str, Any]]:
    shape = "x".join(str(n) for n in report.shape or ())
    shared = {pair: n for pair, n in (report.duplicates or {}).items() if n}
    return [
        ("shape", shape),
        ("levels", "real numbers" if report.levels is None else report.levels),
        ("classes", report.classes),
        ("values", f"{report.low:g} to {report.high:g}"),
        *([("missing", _missing(report.missing))] if report.missing else []),
        ("digest", report.digest),
        ("shared by splits", ", ".join(f"{n} {pair}" for pair, n in shared.items()) or "none"),
    ]


def _missing(columns: dict[str, int]) -> str:
    return f"{sum(columns.values()):,} cells in {len(columns):,} columns"


def _splits(report: DataReport) -> list[tuple[Any, ...]]:
    repeats = report.repeats or {}
    return [(name, count, repeats.get(name)) for name, count in (report.counts or {}).items()]


def _print_classes(report: DataReport) -> None:
    if not report.class_counts:
        return
    names = report.labels or [str(n) for n in range(report.classes or 0)]
    rows = [
        (name, *(counts[index] for counts in report.class_counts.values()))
        for index, name in enumerate(names)
    ]
    output.table(("class", *report.class_counts), rows)
