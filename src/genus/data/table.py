"""A CSV file as vectors: every column a number, and one of them perhaps the label."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genus.data.arrays import make
from genus.data.base import Array, DataSet
from genus.data.folder_index import list_problems
from genus.data.labelled import UNLABELLED, count_labels
from genus.data.places import read_plain
from genus.data.splitting import divide
from genus.data.values import to_values
from genus.errors import DataError, near

_MISSING = ("", "?", "na", "n/a", "nan", "null", "none")


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file.

    Args:
        names: of the columns; "column 1" and so on where the file has no header.
        rows: the cells as text, without blanks around them.
        lines: the line of the file that each row is on.
        header: whether the names are in the file.
        mark: what stands between cells.
    """

    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    header: bool = True
    mark: str = ","


def load_csv(path: Path, levels: int | None, seed: int, label: str | None = None) -> DataSet:
    """Load a table, one example per line.

    Commas, semicolons and tabs are told apart by the first line. There is a header when its
    cells are not numbers where those of the next lines are, or when ``label`` is one of them. A
    value may be missing: an empty cell, ``?``, ``NA``, ``n/a``, ``nan``, ``null`` or ``none``. Rows
    without any value are left out. A label may be missing likewise; such rows go to train.

    Args:
        path: the file; may be gzip.
        levels: number of levels when the values are whole numbers, else None for real numbers.
        seed: which of the possible divisions into splits.
        label: the name or the number (from 1) of the column that holds the class.

    Raises:
        DataError: there are no rows, lines differ in length, cells are no numbers (all are listed
            by column and line), no label is known, or a column has no value to learn from.
    """
    table = read_table(path, label)
    column = None if label is None else find_column(table.names, label, path)
    kept = [i for i in range(len(table.names)) if i != column]
    if not kept:
        raise DataError(f"{path} has no column beside the label; add the values")
    table, note = _without_empty(table, kept, path)
    values = to_values(numbers(table, kept, path), levels, path.name, missing=True)
    values = replace(values, notes=(*values.notes, *note))
    y, labels = (None, ()) if column is None else _classes(table, column, path)
    shown = np.arange(len(table.rows)) if y is None else np.flatnonzero(y != UNLABELLED)
    parts = divide(len(shown), None if y is None else y[shown], seed)
    parts = {name: shown[rows] for name, rows in parts.items()}
    if y is not None:
        parts["train"] = np.union1d(parts["train"], np.flatnonzero(y == UNLABELLED))
    found = make(path, values, y, parts, labels, tuple(table.names[i] for i in kept))
    return found if y is None else count_labels(found)


def _without_empty(table: Table, columns: list[int], path: Path) -> tuple[Table, tuple[str, ...]]:
    """Return the table without the rows that have no value at all, and a note on them.

    Such a row says nothing of a model and has likelihood 1 under any, so that keeping it would only
    make every mean look better.
    """
    empty = [all(is_missing(row[column]) for column in columns) for row in table.rows]
    if not any(empty):
        return table, ()
    if all(empty):
        raise DataError(f"{path} has no value in any row beside the label; add the values")
    first = table.lines[empty.index(True)]
    kept = [i for i, is_empty in enumerate(empty) if not is_empty]
    rows, lines = [table.rows[i] for i in kept], [table.lines[i] for i in kept]
    note = f"{sum(empty):,} rows without any value were left out, the first in line {first}"
    return replace(table, rows=rows, lines=lines), (note,)


def read_table(path: Path, label: str | None = None) -> Table:
    """Read the cells of a CSV file.

    Raises:
        DataError: it is empty, is not text, or its lines differ in length.
    """
    try:
        text = read_plain(path).decode("utf-8-sig")
        first, _, _ = text.partition("\n")
        mark = max(",;\t", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        lines = [(reader.line_num, [c.strip() for c in row]) for row in reader if row]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 CSV"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path} is not a sound CSV file ({error}); save it again") from error
    if not lines:
        raise DataError(f"{path} is empty; it needs one line for each example")
    width = len(lines[0][1])
    ragged = [(f"line {n}", f"{len(row)} cells") for n, row in lines if len(row) != width]
    if ragged:
        raise DataError(
            f"{path}: {len(ragged)} lines do not have the {width} cells of the first; correct "
            f"them:\n{list_problems(ragged)}"
        )
    numbers, rows = [n for n, _ in lines], [row for _, row in lines]
    if _is_header(rows, label):
        return Table(rows[0], rows[1:], numbers[1:], True, mark)
    return Table([f"column {i + 1}" for i in range(width)], rows, numbers, False, mark)


def _is_header(rows: list[list[str]], label: str | None) -> bool:
    if label is not None and not label.isdigit() and label in rows[0]:
        return True
    if len(rows) < 2:
        return all(not _is_number(cell) for cell in rows[0])
    for column, top in enumerate(rows[0]):
        below = next((row[column] for row in rows[1:] if not is_missing(row[column])), "")
        if _is_number(below) and not _is_cell(top):
            return True
    return False


def is_missing(cell: str) -> bool:
    """Say whether a cell, without blanks around it, stands for a value that is not known."""
    return cell.lower() in _MISSING


def _is_cell(cell: str) -> bool:
    return _is_number(cell) or is_missing(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def find_column(names: list[str], label: str, path: Path) -> int:
    """Return the number of the column with the label, given its name or its number from 1.

    Raises:
        DataError: there is no such column.
    """
    if label in names:
        return names.index(label)
    if label.isdigit() and 1 <= int(label) <= len(names):
        return int(label) - 1
    raise DataError(
        f"{path} has no column {label!r} for --label; {near(label, names)} "
        f"(or a number from 1 to {len(names)})"
    )


def numbers(table: Table, columns: list[int], path: Path) -> Array:
    """Return ``(N, D)`` float64, NaN where a cell is missing, or raise with all that is text.

    Raises:
        DataError: there are no rows, or columns that are not numbers.
    """
    if not table.rows:
        raise DataError(f"{path} has a header and no rows; it needs one line for each example")
    problems: list[tuple[str, str]] = []
    out = np.empty((len(table.rows), len(columns)))
    for j, column in enumerate(columns):
        cells = ["nan" if is_missing(row[column]) else row[column] for row in table.rows]
        try:
            out[:, j] = np.array(cells, dtype=np.str_).astype(np.float64)
        except ValueError:
            problems.append((repr(table.names[column]), _explain(cells, table.lines)))
    if problems:
        raise DataError(
            f"{path}: {len(problems)} columns are not numbers; drop or encode them, or name the "
            f"one with the class by --label:\n{list_problems(problems)}"
        )
    return out


def _explain(cells: list[str], lines: list[int]) -> str:
    """Return where the text in a column is; missing cells are no mistake."""
    text = [i for i, cell in enumerate(cells) if not _is_number(cell)]
    return f"text in {len(text)} rows, the first {cells[text[0]]!r} in line {lines[text[0]]}"


def _classes(table: Table, column: int, path: Path) -> tuple[Array, tuple[str, ...]]:
    """Return the class of every row, -1 where it is missing, and the names of the classes."""
    every = [row[column] for row in table.rows]
    cells = [cell for cell in every if not is_missing(cell)]
    if not cells:
        raise DataError(
            f"{path}: the label {table.names[column]!r} is missing in all {len(every):,} rows; "
            "name another column, or leave the label out"
        )
    numeric = all(_is_number(cell) for cell in cells)
    names = sorted(set(cells), key=(lambda c: (float(c), c)) if numeric else None)
    if len(names) > max(2, len(cells) // 2):
        raise DataError(
            f"{path}: the label {table.names[column]!r} has {len(names)} values in {len(cells)} "
            "rows; name a column with few values"
        )
    number = {name: i for i, name in enumerate(names)}
    return np.array([number.get(cell, UNLABELLED) for cell in every], np.int64), tuple(names)
