"""A folder of images as a data set; files are decoded when asked for and none is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genus.data.base import Array, DataSet, Split
from genus.data.digest import digest_entries
from genus.data.download import Progress
from genus.data.folder_index import (
    FolderIndex,
    check_size,
    describe_traits,
    find_mixtures,
    index_folder,
    list_problems,
)
from genus.data.images import ImageError, Rules, Trait, decode
from genus.data.splitting import carve, divide
from genus.errors import DataError
from genus.spec import Batch, Spec

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


class FolderSplit:
    """Image files decoded when asked for, so that memory does not grow with their number.

    Args:
        index: the files.
        rows: ``(N,)`` which of them.
        y: ``(N,)`` labels, or None.
        rules: how an image becomes levels.
        channels: 1 or 3.
    """

    def __init__(
        self, index: FolderIndex, rows: Array, y: Array | None, rules: Rules, channels: int
    ) -> None:
        self.index = index
        self.rows = rows
        self.y = None if y is None else torch.from_numpy(y.astype(np.int64))
        self.rules = rules
        self.channels = channels

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        """Return the path of an example's file, relative to the folder."""
        return self.index.name(int(self.rows[row]))

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows; there is no noise, so ``generator`` is not used.

        Raises:
            DataError: a file is damaged, gone or changed; the message names it.
        """
        x = torch.from_numpy(np.stack([self._pixels(row) for row in rows.tolist()])).long()
        return Batch(x, None if self.y is None else self.y[rows])

    def _pixels(self, row: int) -> Array:
        at = int(self.rows[row])
        try:
            pixels = decode(self.index.read(at), self.rules, self.channels)
            if self.rules.size is None:
                check_size(pixels, *self.index.sizes[at])
            return pixels
        except ImageError as error:
            raise DataError(
                f"{self.index.root / self.name(row)} {error}; repair or remove it and load again"
            ) from error


@dataclass(frozen=True)
class Layout:
    """What the names of the folders say: which split a file is in, and which class.

    Args:
        given: ``(N,)`` the split of each file, "" where the folders do not say.
        classes: the class folders, sorted; empty without labels.
        y: ``(N,)`` the class of each file, or None.
        notes: what was concluded.
    """

    given: Array
    classes: tuple[str, ...]
    y: Array | None
    notes: tuple[str, ...] = ()


def load_folder(
    root: Path, rules: Rules, seed: int = 0, progress: Progress | None = None
) -> DataSet:
    """Load a folder of images.

    Folders in it become classes, with any depth; ``train``, ``valid`` and ``test`` at the top
    become the splits, and what is not given is taken from train (a tenth each).

    Args:
        root: the folder.
        rules: size, grey and levels.
        seed: which of the possible divisions into splits.
        progress: told how far it is.

    Raises:
        DataError: files cannot be used (all are listed), sizes differ and no size is given,
            there are fewer than 3 images, or some lie outside the class folders.
    """
    return build(index_folder(root, progress=progress), rules, seed)


def build(index: FolderIndex, rules: Rules, seed: int) -> DataSet:
    """Make a data set of an indexed folder; see `load_folder`."""
    mixtures = find_mixtures(index, rules)
    if index.problems or mixtures:
        raise DataError(report_problems(index, mixtures))
    layout = read_layout(index)
    parts = assign(layout, seed, str(index.root))
    channels = 1 if rules.gray or bool((index.traits & int(Trait.GREY)).all()) else 3
    height, width = rules.size or (int(side) for side in index.sizes[0])
    spec = Spec((channels, height, width), rules.levels, len(layout.classes) or None)
    splits: dict[str, Split] = {
        name: FolderSplit(
            index, rows, None if layout.y is None else layout.y[rows], rules, channels
        )
        for name, rows in parts.items()
    }
    return DataSet(
        name=index.root.name,
        spec=spec,
        splits=splits,
        digest=digest_entries(
            spec,
            asdict(rules),
            {name: _records(index, layout, rows) for name, rows in parts.items()},
        ),
        description=f"{len(index)} images in {index.root}",
        labels=layout.classes,
        notes=(*describe_traits(index, rules), *layout.notes, *_leaks(index, parts)),
    )


def _leaks(index: FolderIndex, parts: dict[str, Array]) -> list[str]:
    """Return a sentence where files of valid or test are also in train, byte for byte."""
    digests = index.digests[:, :8].copy().view(np.uint64)[:, 0]  # 64 bits tell files apart
    notes = []
    for name in ("valid", "test"):
        count = int(np.isin(digests[parts[name]], digests[parts["train"]]).sum())
        if count:
            notes.append(
                f"{count} images of {name} are also in train, byte for byte; remove one copy"
            )
    return notes


def _records(index: FolderIndex, layout: Layout, rows: Array) -> list[bytes]:
    labels = np.zeros(len(index), "<i8") if layout.y is None else layout.y.astype("<i8")
    return [labels[row].tobytes() + index.digests[row].tobytes() for row in rows]


def report_problems(index: FolderIndex, mixtures: list[tuple[str, str]]) -> str:
    """Return one message for all files that cannot be used as they are, with the remedies."""
    parts = [f"{index.root} cannot be used as it is ({len(index)} images):"]
    if index.problems:
        parts += [
            f"{len(index.problems)} damaged or unsuitable; repair or remove them:",
            list_problems(index.problems),
        ]
    if mixtures:
        parts += [
            f"{len(mixtures)} of another size; give --size (size=) to crop and resize all:",
            list_problems(mixtures),
        ]
    return "\n".join(parts)


def read_layout(index: FolderIndex) -> Layout:
    """Return splits and classes as the folder names give them.

    Folders that hold everything else, such as the one an archive unpacks to, say nothing and
    are passed over.

    Raises:
        DataError: some files lie outside the split folders or the class folders.
    """
    folders, codes = _folders(index)
    depth = _common(folders)
    trimmed = [parts[depth:] for parts in folders]
    splits = [_SPLIT_FOLDERS.get(parts[0].lower(), "") if parts else "" for parts in trimmed]
    given = np.zeros(len(index), "U5")
    if "train" in splits:
        given = np.array(splits)[codes]
        _refuse_strays(index, given == "", "a train folder", "train, valid or test")
        trimmed = [parts[1:] for parts in trimmed]
    names = ["/".join(parts) for parts in trimmed]
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        return Layout(given, (), None, _one_class(classes, folders, depth))
    _refuse_strays(
        index, np.array([not name for name in names])[codes], "class folders", "class folders"
    )
    y = np.array([classes.index(name) for name in names], np.int32)[codes]
    if "train" in splits:
        _check_trained(index, classes, y, given)
    return Layout(given, classes, y)


def _folders(index: FolderIndex) -> tuple[list[list[str]], Array]:
    """Return the different folders, split at ``/``, and which of them each file is in."""
    number: dict[str, int] = {}
    codes = np.empty(len(index), np.int32)
    for row in range(len(index)):
        folder, _, _ = index.name(row).rpartition("/")
        codes[row] = number.setdefault(folder, len(number))
    return [folder.split("/") if folder else [] for folder in number], codes


def _common(folders: list[list[str]]) -> int:
    """Return how many leading folders all have in common."""
    levels = zip(*folders, strict=False)
    return len(list(takewhile(lambda names: len(set(names)) == 1, levels)))


def _one_class(classes: tuple[str, ...], folders: list[list[str]], depth: int) -> tuple[str, ...]:
    inside = "/".join(folders[0][:depth]) or "".join(classes)
    return (
        (f"all images lie in {inside!r}: one class says nothing, so no labels",) if inside else ()
    )


def _refuse_strays(index: FolderIndex, stray: Array, what: str, where: str) -> None:
    rows = np.flatnonzero(stray).tolist()
    if rows:
        raise DataError(
            f"{index.root} has {what}, but labels or splits are missing for {len(rows)} images; "
            f"move them into {where}:\n"
            + list_problems([(index.name(row), "lies beside them") for row in rows])
        )


def _check_trained(index: FolderIndex, classes: tuple[str, ...], y: Array, given: Array) -> None:
    missing = sorted(set(y.tolist()) - set(y[given == "train"].tolist()))
    if missing:
        raise DataError(
            f"{index.root} has classes without a training image: "
            f"{', '.join(classes[label] for label in missing)}; add some to train or remove them"
        )


def assign(layout: Layout, seed: int, where: str) -> dict[str, Array]:
    """Return the rows of each split: as the folders give them, the rest drawn by seed.

    Raises:
        DataError: there are too few images for three splits.
    """
    y = layout.y
    n = len(layout.given)
    try:
        if not n or not layout.given[0]:
            return divide(n, y, seed)
        parts = {name: np.flatnonzero(layout.given == name) for name in ("train", "valid", "test")}
        for i, name in enumerate(("valid", "test")):
            if not len(parts[name]):
                rows = parts["train"]
                parts["train"], parts[name] = carve(rows, None if y is None else y[rows], seed + i)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return parts
