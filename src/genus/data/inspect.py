"""Looking at a data set closely: every file is decoded and every example compared."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genus.data.base import DataSet, iterate
from genus.data.catalogue import _refuse, existing, folder_rules, known_name, load_data
from genus.data.download import Progress
from genus.errors import DataError


@dataclass(frozen=True)
class DataReport:
    """What is in a data set.

    Args:
        name: of the set, or its path.
        usable: whether `load_data` takes it as it is.
        shape: of an example; None where the data cannot be used.
        levels: number of levels, None for real numbers.
        classes: number of classes, None without labels.
        counts: rows by split.
        labels: names of the classes.
        class_counts: rows by split and class.
        digest: of the contents.
        low: the smallest value.
        high: the largest value.
        missing: missing cells by column, those without any left out; None where nothing is missing.
        duplicates: how many examples of the second split are also in the first, under
            ``"train/valid"``, ``"train/test"`` and ``"valid/test"``.
        repeats: how many examples of each split occur earlier in the same split.
        notes: what was converted, left out or should be known.
        offending: (file, what is wrong) of everything that cannot be used.
        problem: why the data cannot be used, with what to do; empty if they can.
        description: what it is.
    """

    name: str
    usable: bool
    shape: tuple[int, ...] | None = None
    levels: int | None = None
    classes: int | None = None
    counts: dict[str, int] | None = None
    labels: tuple[str, ...] = ()
    class_counts: dict[str, list[int]] | None = None
    digest: str | None = None
    low: float | None = None
    high: float | None = None
    missing: dict[str, int] | None = None
    duplicates: dict[str, int] | None = None
    repeats: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    offending: tuple[tuple[str, str], ...] = ()
    problem: str = ""
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and lists."""
        return asdict(self)


def inspect_data(
    name_or_path: str | Path,
    *,
    root: str | Path | None = None,
    size: int | str | tuple[int, int] | None = None,
    gray: bool = False,
    levels: int | None = None,
    seed: int = 0,
    label: str | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Return what is in a data set, decoding every file and comparing every example.

    Damaged files are listed in the report rather than raised.

    Args:
        name_or_path: see `load_data`, as for the other arguments.
        root: see `load_data`.
        size: see `load_data`.
        gray: see `load_data`.
        levels: see `load_data`.
        seed: see `load_data`.
        label: see `load_data`.
        progress: see `load_data`.

    Raises:
        DataError: there is no such name or path, or an option does not belong to it.

    Example:
        >>> report = inspect_data("digits")
        >>> report.counts
        {'train': 1257, 'valid': 180, 'test': 360}
    """
    if known_name(name_or_path) is None and existing(name_or_path).is_dir():
        _refuse({"label": label} if label is not None else {}, (), "a folder")
        rules = folder_rules(size, gray, levels)
        return _inspect_folder(existing(name_or_path), rules, seed, progress)
    options: dict[str, Any] = {
        "root": root, "size": size, "gray": gray, "levels": levels, "seed": seed, "label": label,
    }  # fmt: skip
    if known_name(name_or_path) is not None:
        return report(load_data(name_or_path, **options, progress=progress))
    try:
        return report(load_data(name_or_path, **options, progress=progress))
    except DataError as error:
        return DataReport(str(name_or_path), usable=False, problem=str(error))


def _inspect_folder(path: Path, rules: Any, seed: int, progress: Progress | None) -> DataReport:
    from genus.data.folder import build
    from genus.data.folder_index import describe_traits, find_mixtures, index_folder

    try:
        index = index_folder(path, decode_all=True, progress=progress)
    except DataError as error:
        return DataReport(str(path), usable=False, problem=str(error))
    offending = (*index.problems, *find_mixtures(index, rules))
    try:
        found = report(build(index, rules, seed))
    except DataError as error:
        return DataReport(
            str(path),
            usable=False,
            notes=tuple(describe_traits(index, rules)),
            offending=offending,
            problem=str(error),
            description=f"{len(index)} images in {path}",
        )
    return replace(found, offending=offending)


def report(data: DataSet) -> DataReport:
    """Return the report of a data set that has been loaded."""
    low, high, hashes = _scan(data)
    labelled = data.spec.classes is not None
    return DataReport(
        name=data.name,
        usable=True,
        shape=data.spec.shape,
        levels=data.spec.levels,
        classes=data.spec.classes,
        counts={name: len(split) for name, split in data.splits.items()},
        labels=data.labels,
        class_counts={name: data.class_counts(name).tolist() for name in data.splits}
        if labelled
        else None,
        digest=data.digest,
        low=low,
        high=high,
        missing=None if (missing := data.missing) is None else dict(missing.columns),
        duplicates=_duplicates(hashes),
        repeats={name: sum(found.values()) - len(found) for name, found in hashes.items()},
        notes=data.notes,
        description=data.description,
    )


def _scan(data: DataSet) -> tuple[float, float, dict[str, Counter[bytes]]]:
    """Return the range of the values and how often each example occurs, by split."""
    low, high = float("inf"), float("-inf")
    hashes: dict[str, Counter[bytes]] = {}
    for name, split in data.splits.items():
        counter: Counter[bytes] = Counter()
        for batch in iterate(split, 256):
            known = batch.x if batch.known is None else batch.x[batch.known]
            low, high = min(low, float(known.min())), max(high, float(known.max()))
            rows = [row.tobytes() for row in batch.x.numpy()]
            if batch.known is not None:  # a missing value is not the 0 that stands there
                rows = [
                    x + mask.tobytes() for x, mask in zip(rows, batch.known.numpy(), strict=True)
                ]
            for row in rows:
                counter[hashlib.blake2b(row, digest_size=16).digest()] += 1
        hashes[name] = counter
    return low, high, hashes


def _duplicates(hashes: dict[str, Counter[bytes]]) -> dict[str, int]:
    names = list(hashes)
    return {
        f"{first}/{second}": sum(n for key, n in hashes[second].items() if key in hashes[first])
        for i, first in enumerate(names)
        for second in names[i + 1 :]
    }
