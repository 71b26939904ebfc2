"""Every data set by name, and the one function that loads a name or a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genus.data.base import DataSet
from genus.data.degradations import degradation
from genus.data.degraded import degrade
from genus.data.download import Progress
from genus.errors import DataError, near

Kind = Literal["embedded", "published"]
ARRAY_SUFFIXES = (".npy", ".npz", ".csv", ".csv.gz")


@dataclass(frozen=True)
class DataEntry:
    """One line of the list of data sets.

    Args:
        name: what `load_data` takes.
        kind: embedded (nothing to download) or published.
        shape: of an example.
        levels: number of levels, None for real numbers.
        classes: number of classes, None without labels.
        counts: rows by split.
        where: "embedded", "present" on this machine, "download" when first used, or "absent"
            where it is neither here nor to be had.
        bytes: of the files here, or to be downloaded as far as known; 0 for embedded sets.
        description: what it is and how it is split.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    levels: int | None
    classes: int | None
    counts: dict[str, int]
    where: Literal["embedded", "present", "download", "absent"]
    bytes: int
    description: str


def _entry(
    name: str, shape: tuple[int, ...], levels: int | None, classes: int | None,
    counts: tuple[int, int, int], description: str,
) -> DataEntry:  # fmt: skip
    rows = dict(zip(("train", "valid", "test"), counts, strict=True))
    return DataEntry(name, "embedded", shape, levels, classes, rows, "embedded", 0, description)


# Written down rather than loaded, so that a list needs no scikit-learn; a test compares them.
EMBEDDED: dict[str, DataEntry] = {
    entry.name: entry
    for entry in (
        _entry("digits", (1, 8, 8), 17, 10, (1257, 180, 360), "Handwritten digits, 8x8."),
        _entry("wine", (13,), None, 3, (124, 18, 36), "Chemical analyses of wines, raw units."),
        _entry("patches", (3, 32, 32), 256, None, (4500, 250, 450), "Tiles of two photographs."),
        _entry("rings", (2,), None, 3, (10000, 2000, 2000), "Points near three circles."),
        _entry("moons", (2,), None, 2, (10000, 2000, 2000), "Points near two half circles."),
    )
}


def list_data(root: str | Path | None = None) -> list[DataEntry]:
    """Return every data set that has a name, the embedded ones first.

    Args:
        root: where published sets may be; else ``GENUS_DATA``.

    Example:
        >>> [entry.name for entry in list_data()][:3]
        ['digits', 'wine', 'patches']
    """
    from genus.data.published import PUBLISHED

    return [*EMBEDDED.values(), *(_published_entry(name, root) for name in PUBLISHED)]


def _published_entry(name: str, root: str | Path | None) -> DataEntry:
    from genus.data.published import PUBLISHED, find

    entry = PUBLISHED[name]
    files = find(name, Path(root) if root else None)
    here = sum(path.stat().st_size for path in files.values()) if files else 0
    where: Literal["present", "download", "absent"]
    where = "present" if files else "download" if entry.remotes else "absent"
    return DataEntry(
        name=name,
        kind="published",
        shape=entry.spec.shape,
        levels=entry.spec.levels,
        classes=entry.spec.classes,
        counts=dict(zip(("train", "valid", "test"), entry.counts, strict=True)),
        where=where,
        bytes=here or sum(remote.bytes or 0 for remote in entry.remotes),
        description=entry.description,
    )


def load_data(
    name_or_path: str | Path,
    *,
    root: str | Path | None = None,
    size: int | str | tuple[int, int] | None = None,
    gray: bool = False,
    levels: int | None = None,
    seed: int = 0,
    label: str | int | None = None,
    labelled: int | None = None,
    given: str | None = None,
    progress: Progress | None = None,
) -> DataSet:
    """Load a data set by its name, or the user's own by its path.

    A name wins over a file of that name; write ``./name`` for the file. The user's files are
    only read.

    Args:
        name_or_path: a name of `list_data` in any case, or a folder of images, ``.npy``,
            ``.npz``, ``.csv`` or ``.csv.gz``.
        root: a folder with published sets; else ``GENUS_DATA``, else they are downloaded.
        size: of the images of a folder: pixels, (height, width) or ``"HEIGHTxWIDTH"``.
        gray: make the images of a folder grey.
        levels: how many levels the user's values have (folders: 256 by default).
        seed: which of the possible divisions of the user's data into splits, and choices of labels.
        label: the column (CSV) or the array (``.npz``) that holds the labels.
        labelled: how many labels of the train split to keep, as many of each class; a label of
            the others is -1. For models that learn from both, such as ``m2``.
        given: what a model is given of each image, as `genus.data.degradations` reads it:
            ``"downsample:2"``. Labels are dropped then. For models such as ``pix2pix``.
        progress: called with (what, done, total) during downloads and while reading folders.

    Raises:
        DataError: there is no such name or path, an option does not belong to it, or the data
            are damaged or not what they should be; every problem is listed.
        ConfigError: fewer ``labelled`` than classes, or ``given`` cannot be read.

    Example:
        >>> data = load_data("digits")
        >>> data.spec
        Spec(shape=(1, 8, 8), levels=17, classes=10)
        >>> len(data.train), len(data.valid), len(data.test)
        (1257, 180, 360)
    """
    label = None if label is None else str(label)
    left = None if given is None else degradation(given)
    if left is not None and labelled is not None:
        raise DataError("given drops all labels, so labelled has none to keep; leave one out")
    options = {"size": size, "gray": gray, "levels": levels, "seed": seed, "label": label}
    said = {key: value for key, value in options.items() if value not in (None, False)}
    if seed == 0:
        said.pop("seed", None)
    place = Path(root) if root else None
    name = known_name(name_or_path)
    if name is not None:
        chosen = {key: value for key, value in said.items() if key != "seed" or labelled is None}
        _refuse(chosen, (), f"{name}, whose contents and splits are fixed")
        data = _load_named(name, place, progress)
    else:
        path = existing(name_or_path)
        data = _load_path(path, {**options, "given": said}, progress)
        data = replace(data, source={"name_or_path": str(path.resolve()), **said})
    if left is not None:
        return degrade(data, left)
    return data if labelled is None else _partly_labelled(data, labelled, seed)


def _partly_labelled(data: DataSet, labelled: int, seed: int) -> DataSet:
    from genus.data.labelled import keep_labels

    chosen = {"labelled": labelled, **({"seed": seed} if seed else {})}
    return replace(keep_labels(data, labelled, seed), source={**data.source, **chosen})


def known_name(name_or_path: str | Path) -> str | None:
    """Return the name of a data set in its proper spelling, or None if it is none."""
    if isinstance(name_or_path, Path):
        return None
    plain = name_or_path.strip().lower().replace("_", "-")
    return plain if plain in _names() else None


def existing(name_or_path: str | Path) -> Path:
    """Return the path of the user's data.

    Raises:
        DataError: there is no such path; the message has the names that are near.
    """
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    text = str(name_or_path)
    if os.sep in text or text.lower().endswith(ARRAY_SUFFIXES):
        raise DataError(f"there is no file or folder {text!r}; check the path")
    raise DataError(
        f"there is no data set {text!r} and no such file or folder; "
        f"{near(text.lower(), _names())} (`genus data` lists all)"
    )


def _names() -> list[str]:
    from genus.data.published import PUBLISHED

    return [*EMBEDDED, *PUBLISHED]


def _load_named(name: str, root: Path | None, progress: Progress | None) -> DataSet:
    if name not in EMBEDDED:
        from genus.data.published import load_published

        return load_published(name, root, progress)
    from genus.data import embedded

    loaders: dict[str, Callable[[], DataSet]] = {
        "digits": embedded.load_digits,
        "wine": embedded.load_wine,
        "patches": embedded.load_patches,
        "rings": embedded.load_rings,
        "moons": embedded.load_moons,
    }
    return loaders[name]()


def _load_path(path: Path, options: dict[str, Any], progress: Progress | None) -> DataSet:
    from genus.data.values import check_levels

    given, seed = options["given"], options["seed"]
    levels = check_levels(options["levels"])
    if path.is_dir():
        from genus.data.folder import load_folder

        _refuse(given, ("size", "gray", "levels", "seed"), f"the folder {path}")
        return load_folder(
            path, folder_rules(options["size"], options["gray"], levels), seed, progress
        )
    from genus.data import arrays, table

    name = path.name.lower()
    _refuse(given, ("levels", "seed", "label"), f"the file {path}")
    if name.endswith(".npy"):
        return arrays.load_npy(path, levels, seed, options["label"])
    if name.endswith(".npz"):
        return arrays.load_npz(path, levels, seed, options["label"])
    if name.endswith((".csv", ".csv.gz")):
        return table.load_csv(path, levels, seed, options["label"])
    raise DataError(
        f"{path} is neither a folder nor one of {', '.join(ARRAY_SUFFIXES)}; convert it, or name "
        "the folder that holds the images"
    )


def folder_rules(size: Any, gray: bool, levels: int | None) -> Any:
    """Return the `Rules` of a folder.

    Raises:
        DataError: the size or the number of levels cannot be used.
    """
    from genus.data.images import Rules, parse_size

    if levels is not None and levels > 256:
        raise DataError(f"levels={levels} is above the 256 of 8-bit images; give 2 to 256")
    return Rules(parse_size(size), gray, levels or 256)


def _refuse(given: dict[str, Any], allowed: tuple[str, ...], what: str) -> None:
    wrong = sorted(set(given) - set(allowed))
    if wrong:
        flags = ", ".join(f"--{key}" for key in wrong)
        raise DataError(f"{flags} cannot be used with {what}; leave it out")
