"""Examples that are given to a command: pictures, arrays, rows of a data set."""

# Shapes: N examples.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli import datasets
from genus.cli.errors import Problems, UsageError
from genus.cli.options import numbers

if TYPE_CHECKING:
    from torch import Tensor

    from genus.spec import Spec

MOST_EXAMPLES = 1_000
"""The most examples of one command."""
SHOWN = 20
"""Files of a folder whose problems are told."""
DEFAULT_ROWS = "0-7"
"""Rows of a data set where nothing is said."""


@dataclass(frozen=True)
class Given:
    """Examples and where they come from.

    Args:
        x: ``(N, *shape)``.
        names: of each, for a report.
        source: what makes them again, without paths.
    """

    x: Tensor
    names: tuple[str, ...]
    source: dict[str, Any]


def check_path(path: Path | None, index: str | None, heading: str = "cannot complete:") -> None:
    """Check that there is a file or a folder, and that the index can be read.

    Args:
        path: of the examples, if any.
        index: which of them, if not all.
        heading: what cannot be done if they are wrong.

    Raises:
        UsageError: there is none, or of a kind that cannot be read.
    """
    from genus.data.images import SUFFIXES

    problems = Problems()
    if index is not None:
        with problems.collect():
            numbers(index, "--index")
    if path is not None and not path.exists():
        problems.found.append(f"{path} does not exist; give a picture, a folder, .npy or .npz")
    elif path is not None and path.is_file():
        kinds = (*SUFFIXES, ".npy", ".npz")
        known = path.suffix.lower() in kinds
        problems.require(known, f"{path} must be a folder, or end with {', '.join(kinds)}")
    problems.raise_any(heading)


def read(path: Path, index: str | None, spec: Spec) -> Given:
    """Return the examples of a picture, a folder of pictures or an array.

    Args:
        path: where they are.
        index: which of them, such as 0-3,7; all where it is None.
        spec: what they must be.

    Raises:
        UsageError: they are not of this kind; all files at once.
        DataError: an array that cannot be read.
    """
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        x = _array(path, spec)
        rows = _rows(index, len(x), path.name) if index else list(range(len(x)))
        names = [f"{path.name}[{row}]" for row in rows]
        found = x[rows]
    else:
        files = _files(path)
        rows = _rows(index, len(files), path.name) if index else list(range(len(files)))
        names = [files[row].name for row in rows]
        _check_count(len(rows), path.name)
        found = _pictures([files[row] for row in rows], spec)
    _check_count(len(found), path.name)
    return Given(found, tuple(names), {"images": path.name, "index": index})


def from_data(
    record: dict[str, Any],
    name: str | None,
    split: str,
    index: str | None,
    data_root: Path | None,
    spec: Spec,
) -> Given:
    """Return rows of a split of the run's data set, or of another one.

    Args:
        record: what the run's config.json says of its data.
        name: of another data set, or None.
        split: train, valid or test.
        index: which rows, such as 0-15.
        data_root: where published sets are.
        spec: what they must be.

    Raises:
        UsageError: rows that are not there, or data of another kind.
        DataError: the data cannot be read, or have changed since.
    """
    import torch

    if name is None:
        data = datasets.load_again(record, data_root)
    else:
        data = datasets.load(name, datasets.DataOptions(data_root=data_root))
    if (data.spec.shape, data.spec.levels) != (spec.shape, spec.levels):
        raise UsageError(f"--data {name}: its examples are {data.spec}, but the run takes {spec}")
    if data.missing is not None:
        raise UsageError(
            f"{data.name}: {data.missing}; to fill in what is missing there, name the table and a "
            f"table to write: --data {name or data.name} -o filled.csv"
        )
    part = data.split(split)
    wanted = index or f"0-{min(len(part), 8) - 1}"
    rows = _rows(wanted, len(part), f"the {split} split of {data.name}")
    _check_count(len(rows), data.name)
    names = tuple(f"{data.name} {split}[{row}]" for row in rows)
    source = {"data": data.name, "digest": data.digest, "split": split, "index": wanted}
    return Given(part.batch(torch.tensor(rows)).x, names, source)


def _rows(index: str, count: int, where: str) -> list[int]:
    rows = numbers(index, "--index")
    beyond = [str(row) for row in rows if row >= count]
    if beyond:
        raise UsageError(f"--index {beyond[0]}: {where} has rows 0 to {count - 1}")
    return rows


def _check_count(count: int, where: str) -> None:
    if count > MOST_EXAMPLES:
        raise UsageError(
            f"{where} gives {count:,} examples, above {MOST_EXAMPLES:,} at a time; choose some "
            f"by --index 0-{MOST_EXAMPLES - 1}"
        )


def _array(path: Path, spec: Spec) -> Tensor:
    """Return the examples of an array as the run takes them."""
    import torch

    from genus.data.arrays import read_examples
    from genus.data.values import channels_first, to_values

    raw = read_examples(path)
    x = raw if raw.shape[1:] == spec.shape else channels_first(raw, path.name)
    if x.shape[1:] != spec.shape or not len(x):
        raise UsageError(
            f"{path.name} has shape {raw.shape}, but the run takes examples of "
            f"{spec.shape}: (N, {', '.join(map(str, spec.shape))})"
        )
    values = to_values(x, spec.levels, path.name)
    if (values.levels is None) != (spec.levels is None):
        raise UsageError(f"{path.name} holds {x.dtype}, but the run takes {spec}")
    found = torch.from_numpy(values.x)
    return found if spec.levels is None else found.long()


def _files(path: Path) -> list[Path]:
    """Return the pictures at a path, by name."""
    from genus.data.images import SUFFIXES

    if path.is_file():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(f"{path} holds no pictures ({', '.join(SUFFIXES)})")
    return found


def _pictures(files: Sequence[Path], spec: Spec) -> Tensor:
    """Return pictures as levels, made as a folder of training data is; tell all that is wrong."""
    import torch

    if not spec.is_image or spec.levels is None or spec.levels > 256 or spec.shape[0] not in (1, 3):
        raise UsageError(f"the run takes {spec}, which no picture holds; give .npy or --index")
    found, problems = [], []
    for file in files:
        try:
            found.append(_picture(file, spec))
        except UsageError as error:
            problems.append(str(error))
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"and {len(problems) - SHOWN} more"]
    together = Problems()
    together.found = problems
    together.raise_any("cannot use the pictures:")
    return torch.stack(found)


def _picture(file: Path, spec: Spec) -> Tensor:
    import torch

    from genus.data.images import ImageError, Rules, decode, read_header

    channels, height, width = spec.shape
    try:
        data = file.read_bytes()
        header = read_header(data)
        if (header.height, header.width) != (height, width):
            raise UsageError(
                f"{file} is {header.height}x{header.width} (height x width), but the run takes "
                f"{height}x{width}; bring it to that size first"
            )
        levels = decode(data, Rules(levels=spec.levels_or_raise), 3)
    except (ImageError, OSError) as error:
        raise UsageError(f"{file} {error}") from error
    if channels == 1 and bool((levels != levels[:1]).any()):
        raise UsageError(f"{file} has colours, but the run is grey; save it in grey")
    return torch.from_numpy(levels[:channels]).long()
