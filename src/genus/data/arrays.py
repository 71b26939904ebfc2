"""The user's own ``.npy`` and ``.npz`` files; sizes are checked before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from genus.data.base import Array, ArraySplit, DataSet
from genus.data.digest import digest_arrays
from genus.data.missing import check_columns
from genus.data.places import MAX_BYTES
from genus.data.splitting import carve, divide
from genus.data.values import Values, channels_first, check_labels, to_values
from genus.errors import DataError, near
from genus.spec import Spec

_ALIASES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
_EXAMPLES, _LABELS = ("x", "images", "data"), ("y", "labels")


def load_npy(path: Path, levels: int | None, seed: int, label: str | None = None) -> DataSet:
    """Load one array of examples, ``(N, D)``, ``(N, H, W)`` or images with channels.

    Raises:
        DataError: the file or its values cannot be used.
    """
    if label is not None:
        raise DataError(
            f"{path} is one array without labels; leave --label out or save .npz (x, y)"
        )
    return build({"": (_read_npy(path), None)}, path, levels, seed)


def load_npz(path: Path, levels: int | None, seed: int, label: str | None = None) -> DataSet:
    """Load ``x`` and perhaps ``y``, or ``x_train``, ``y_train``, ``x_test`` ... from a ``.npz``.

    Args:
        path: the file.
        levels: number of levels, or None.
        seed: which of the possible divisions into splits.
        label: the name of the array of labels, if it is not ``y`` or ``labels``.

    Raises:
        DataError: the file or its values cannot be used.
    """
    return build(_read_npz(path, label), path, levels, seed)


def read_examples(path: Path) -> Array:
    """Return the array of examples of a ``.npy`` or ``.npz`` as it is, unchecked and undivided.

    Raises:
        DataError: the file cannot be used, or holds more than one array of examples.
    """
    if path.suffix.lower() == ".npy":
        return _read_npy(path)
    pairs = _read_npz(path, None)
    if "" not in pairs:
        raise DataError(f"{path} holds splits ({', '.join(pairs)}); save one array called x")
    return pairs[""][0]


def has_labels(path: Path) -> bool:
    """Return whether an ``.npz`` that `read_examples` took holds labels beside the examples."""
    with zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
    return bool(_choose(keys, path, None)[""][1])


def _read_npz(path: Path, label: str | None) -> dict[str, tuple[Array, Array | None]]:
    """Return examples and labels, by split or under the name "" all together."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = _choose(list(keys), path, label)
            read = {
                key: _read_member(archive, keys[key], f"{path.name}:{key}")
                for pair in wanted.values()
                for key in pair
                if key
            }
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is not a sound .npz file ({error}); save it again") from error
    return {name: (read[x], read[y] if y else None) for name, (x, y) in wanted.items()}


def _read_npy(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            return _read_array(file, path.stat().st_size, path.name)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _choose(keys: list[str], path: Path, label: str | None) -> dict[str, tuple[str, str | None]]:
    """Return the names of the arrays of examples and labels, by split or under "" for all."""
    if label is not None and label not in keys:
        raise DataError(f"{path} has no array {label!r} for the labels; {near(label, keys)}")
    split = {
        name: found
        for name, aliases in _ALIASES.items()
        if (found := _pair(keys, [f"_{alias}" for alias in aliases]))
    }
    if "train" in split:
        if len({y is None for _, y in split.values()}) > 1:
            raise DataError(f"{path}: some splits have labels and some do not; add or leave out y_")
        return split
    rest = [key for key in keys if key != label]
    whole = _pair(rest, [""]) or ((rest[0], None) if len(rest) == 1 else None)
    if whole is None:
        raise DataError(
            f"{path} holds {', '.join(keys) or 'nothing'}; name the examples x (and labels y), or "
            "x_train, y_train, x_test, y_test"
        )
    return {"": (whole[0], label or whole[1])}


def _pair(keys: list[str], endings: list[str]) -> tuple[str, str | None] | None:
    def first(stems: tuple[str, ...]) -> str | None:
        names = (f"{stem}{ending}" for stem in stems for ending in endings)
        return next((name for name in names if name in keys), None)

    x = first(_EXAMPLES)
    return None if x is None else (x, first(_LABELS))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Array:
    with archive.open(info) as file:
        return _read_array(file, info.file_size, name)


def _read_array(file: IO[bytes], size: int, name: str) -> Array:
    """Read an array of the ``.npy`` layout; ``size`` is that of the whole, unpacked."""
    shape, fortran, dtype, start = _read_header(file, name)
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which could run code when read; save plain numbers, for "
            "example np.savez(path, x=np.stack(list_of_arrays))"
        )
    wanted = math.prod(shape) * dtype.itemsize
    if max(wanted, size) > MAX_BYTES:
        raise DataError(
            f"{name} would unpack to {max(wanted, size):,} bytes, above the limit of "
            f"{MAX_BYTES:,}; save a smaller type such as uint8, or use a folder of images"
        )
    if size - start != wanted:
        raise DataError(
            f"{name} says {shape} of {dtype} = {wanted:,} bytes but holds {size - start:,}; it was "
            "cut off or altered, save it again"
        )
    data = file.read(wanted + 1)
    if len(data) != wanted:
        raise DataError(f"{name} was cut off after {len(data):,} bytes; save it again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    head = io.BytesIO(file.read(12))
    try:
        version = np.lib.format.read_magic(head)
        width = 2 if version == (1, 0) else 4
        start = 8 + width + int.from_bytes(head.getvalue()[8 : 8 + width], "little")
        if start > 10_000:
            raise ValueError("the header is too long")
        whole = io.BytesIO(head.getvalue() + file.read(start - 12))
        np.lib.format.read_magic(whole)
        if version == (1, 0):
            return *np.lib.format.read_array_header_1_0(whole), start
        return *np.lib.format.read_array_header_2_0(whole), start
    except ValueError as error:
        raise DataError(f"{name} is not a NumPy array ({error}); save it with np.save") from error


def build(
    pairs: dict[str, tuple[Array, Array | None]], path: Path, levels: int | None, seed: int
) -> DataSet:
    """Make a data set of arrays, given by split or, under the name "", all together.

    Raises:
        DataError: shapes differ, values or labels cannot be used, or there are too few rows.
    """
    images = {name: channels_first(x, _called(path, "x", name)) for name, (x, _) in pairs.items()}
    shapes = {name: array.shape[1:] for name, array in images.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"{path}: the shapes of the splits differ ({shapes}); make them equal")
    x = np.concatenate(list(images.values()))
    # A vector may have entries that are missing; NaN in a picture is a mistake in making it.
    holes = x.ndim == 2 and x.dtype.kind == "f" and not np.isnan(x).all()
    values = to_values(x, levels, path.name, missing=holes)
    ends = np.cumsum([len(array) for array in images.values()])
    rows = {
        name: np.arange(end - len(images[name]), end)
        for name, end in zip(images, ends, strict=True)
    }
    y = _labels(pairs, path)
    rows, note = _without_empty(rows, values.known)
    if "" in rows:
        kept = rows[""]
        parts = divide(len(kept), None if y is None else y[kept], seed)
        rows = {name: kept[part] for name, part in parts.items()}
    else:
        rows = complete(rows, y, seed)
    return make(path, replace(values, notes=(*values.notes, *note)), y, rows)


def _without_empty(
    rows: dict[str, Array], known: Array | None
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return the rows of which anything is known, and a note on the others.

    A row without a value says nothing of a model and has likelihood 1 under any, so that keeping it
    would only make every mean look better.
    """
    if known is None:
        return rows, ()
    some = np.asarray(known.any(axis=tuple(range(1, known.ndim))))
    if some.all():
        return rows, ()
    first, count = int(np.flatnonzero(~some)[0]), int((~some).sum())
    note = f"{count:,} rows without any value were left out, the first at index {first}"
    return {name: part[some[part]] for name, part in rows.items()}, (note,)


def make(
    path: Path,
    values: Values,
    y: Array | None,
    parts: dict[str, Array],
    labels: tuple[str, ...] = (),
    value_names: tuple[str, ...] = (),
) -> DataSet:
    """Return the data set of checked values and labels and the rows of each split."""
    classes = None if y is None else int(y.max()) + 1
    spec = Spec(values.x.shape[1:], values.levels, classes)
    arrays = {
        name: (values.x[rows], None if y is None else y[rows]) for name, rows in parts.items()
    }
    known = {name: None if values.known is None else values.known[r] for name, r in parts.items()}
    if (train := known["train"]) is not None:
        check_columns(train, str(path), value_names)
    found = DataSet(
        name=path.name,
        spec=spec,
        splits={name: ArraySplit(*pair, known[name]) for name, pair in arrays.items()},
        digest=digest_arrays(spec, arrays, known=known),
        description=f"{sum(map(len, parts.values()))} examples in {path}",
        labels=labels or tuple(str(label) for label in range(classes or 0)),
        value_names=value_names,
        notes=values.notes,
    )
    missing = found.missing
    return found if missing is None else replace(found, notes=(*found.notes, str(missing)))


def complete(rows: dict[str, Array], y: Array | None, seed: int) -> dict[str, Array]:
    """Return train, valid and test; what is not given is taken from train.

    Raises:
        DataError: train is too small for it.
    """
    parts = dict(rows)
    for i, name in enumerate(("valid", "test")):
        if name not in parts:
            train = parts["train"]
            parts["train"], parts[name] = carve(train, None if y is None else y[train], seed + i)
    return {name: parts[name] for name in ("train", "valid", "test")}


def _called(path: Path, what: str, split: str) -> str:
    return (
        f"{path.name}:{what}{'_' + split if split else ''}" if path.suffix == ".npz" else path.name
    )


def _labels(pairs: dict[str, tuple[Array, Array | None]], path: Path) -> Array | None:
    classes: int | None = None
    found = []
    for name, (x, y) in pairs.items():
        if y is None:
            return None
        found.append(check_labels(y, len(x), _called(path, "y", name), classes))
        classes = classes or int(found[0].max()) + 1
    return np.concatenate(found)
