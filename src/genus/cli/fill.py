"""Tables with missing cells, filled in by a run: `genus complete RUN --data holes.csv -o x.csv`."""

# Shapes: N rows, D columns without the label.
from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.cli import output, runs
from genus.cli.errors import Problems, UsageError
from genus.cli.options import check_output

if TYPE_CHECKING:
    from genus.cli.complete import DrawOptions
    from genus.data.table import Table
    from genus.spec import Spec

CHUNK = 256
"""Rows that are completed at a time."""


@dataclass(frozen=True)
class Holes:
    """A table with missing cells as a run takes it.

    Args:
        table: the cells.
        columns: the numbers of those without the label.
        x: ``(N, D)`` values, 0 where missing.
        known: ``(N, D)`` boolean.
        scale: what a level stands for in the table: 1, or less where numbers from 0 to 1 became
            levels.
    """

    table: Table
    columns: list[int]
    x: Tensor
    known: Tensor
    scale: float


def check(typed: set[str], data: str | None, options: DrawOptions, out: Path, force: bool) -> None:
    """Raise `UsageError` with all options that say nothing here, or are missing."""
    from genus.cli.complete import USUAL

    problems = Problems()
    for name in sorted(typed):
        problems.require(False, f"{name}: a table says itself what is missing; leave it out")
    named = data is not None and data.lower().endswith((".csv", ".csv.gz"))
    problems.require(named, f"--out {out} takes a table with missing cells: --data holes.csv")
    if named and not Path(data or "").is_file():
        problems.require(False, f"--data {data}: there is no such file")
    problems.require(
        options.n in (1, USUAL.n), f"-n {options.n}: a table is filled in once; change --seed"
    )
    with problems.collect():
        options.check()
    with problems.collect():
        check_output(out, force)
    problems.raise_any("cannot complete:")


def fill(run: Path, path: Path, out: Path, options: DrawOptions) -> dict[str, Any]:
    """Write a table in which every missing cell is drawn given the known ones of its row.

    Known cells stay as they are, to the letter, and so does a column with the label, which is not
    looked at: a run that knows classes infers them, or is told one for all.

    Args:
        run: folder of a run on such tables.
        path: the table.
        out: the table to write.
        options: seed, temperature, class and method.

    Returns:
        What is to be told.
    """
    from genus.cli.complete import check_able
    from genus.training import load
    from genus.training.atomic import write_bytes

    model, record = load(run, options.device), runs.read(run)
    check_able(model)
    holes = _read(path, model.spec, record.data["source"].get("label"))
    some = (~holes.known).any(1).nonzero().squeeze(1)
    if not len(some):
        raise UsageError(f"{path} has no missing cell, so there is nothing to fill in")
    filled, words = holes.x.clone(), set()
    generator, exact = torch.Generator().manual_seed(options.seed), True
    with output.progress(f"completing with {model.name}", len(some)) as advance:
        for rows in torch.split(some, CHUNK):
            y = None if options.class_ is None else torch.full((len(rows),), options.class_)
            here = holes.x[rows].to(model.device), holes.known[rows].to(model.device)
            done = model.complete(*here, y=y, generator=generator, **options.settings(model))
            filled[rows], exact = done.x.cpu().to(filled), exact and done.exact
            words.add(done.method)
            advance(len(rows))
    return {
        "out": str(out),
        "rows": len(holes.x),
        "filled": {"cells": int((~holes.known).sum()), "rows": len(some)},
        "exact": exact,
        "method": "; ".join(sorted(words)),
        "seed": options.seed,
        "sha256": write_bytes(out, _text(holes, filled).encode()),
    }


def _read(path: Path, spec: Spec, label: str | None) -> Holes:
    """Return a table as a run takes it, all rows in their order.

    Raises:
        UsageError: it has other columns than the run learnt.
        DataError: it cannot be read.
    """
    from genus.data.table import find_column, numbers, read_table
    from genus.data.values import to_values

    table = read_table(path, label)
    columns = list(range(len(table.names)))
    if label is not None and len(columns) != spec.dims:
        columns.remove(find_column(table.names, label, path))
    if spec.is_image or len(columns) != spec.dims:
        raise UsageError(
            f"{path} has {len(columns)} columns of values, but the run takes examples of "
            f"{spec.shape}; give a table with the columns that it was trained on"
        )
    raw = numbers(table, columns, path)
    values = to_values(raw, spec.levels, path.name, missing=True)
    x = torch.from_numpy(values.x)
    known = torch.ones_like(x, dtype=torch.bool)
    if values.known is not None:
        known = torch.from_numpy(values.known)
    scale = 1 / (spec.levels_or_raise - 1) if spec.is_discrete and values.notes else 1.0
    return Holes(table, columns, x if spec.levels is None else x.long(), known, scale)


def _text(holes: Holes, filled: Tensor) -> str:
    """Return the table with the missing cells filled in."""
    text, table = io.StringIO(), holes.table
    writer = csv.writer(text, delimiter=table.mark, lineterminator="\n")
    if table.header:
        writer.writerow(table.names)
    rows = zip(table.rows, filled.tolist(), holes.known.tolist(), strict=True)
    for given, values, known in rows:
        cells = list(given)
        for column, value, is_known in zip(holes.columns, values, known, strict=True):
            if not is_known:
                cells[column] = f"{value * holes.scale:.7g}"
        writer.writerow(cells)
    return text.getvalue()


def report(found: dict[str, Any], json: bool) -> None:
    """Print what was filled in."""
    if json:
        output.print_json(found)
        return
    cells, rows = found["filled"]["cells"], found["filled"]["rows"]
    output.say(f"{found['out']}: {cells:,} cells filled in, in {rows:,} of {found['rows']:,} rows")
    kind = "exact" if found["exact"] else "approximate"
    output.say(f"{kind}: {found['method']}; one draw of each, another with another --seed")
