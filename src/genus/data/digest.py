"""Digests: what stands beside a figure and says which data it was measured on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from genus.data.base import Array
from genus.spec import Spec

_CHUNK = 1 << 20


def digest_arrays(
    spec: Spec,
    splits: Mapping[str, tuple[Array, Array | None]],
    kind: str = "arrays",
    known: Mapping[str, Array | None] | None = None,
) -> str:
    """Return the sha256 of a Spec and of the arrays of each split.

    The type, the shape and the little-endian bytes of every array are hashed in the order of
    the splits, so the digest is the same on every machine and changes with any value.

    Args:
        spec: what the examples are.
        splits: ``x`` and ``y`` (or None) by the name of the split.
        kind: how the arrays are to be read, where they alone do not say it.
        known: which entries are not missing, by the name of the split; a split of which all
            are known has the digest that it has without.

    Example:
        >>> import numpy as np
        >>> x = np.zeros((2, 3), np.uint8)
        >>> digest_arrays(Spec((3,), levels=2), {"train": (x, None)})[:13]
        'sha256:e1a085'
    """
    sha = hashlib.sha256()
    _line(sha, ["genus-data-1", kind, spec.to_json()])
    for name, (x, y) in splits.items():
        _array(sha, f"{name}.x", x)
        if y is not None:
            _array(sha, f"{name}.y", y)
        mask = (known or {}).get(name)
        if mask is not None and not mask.all():
            _array(sha, f"{name}.known", np.asarray(mask, np.uint8))
    return f"sha256:{sha.hexdigest()}"


def digest_entries(spec: Spec, rules: object, splits: Mapping[str, Iterable[bytes]]) -> str:
    """Return the sha256 of a Spec, of how files are read, and of one record per file.

    The records are sorted within a split, so that renaming files changes nothing.
    """
    sha = hashlib.sha256()
    _line(sha, ["genus-data-1", "files", spec.to_json(), rules])
    for name, records in splits.items():
        _line(sha, [name])
        for record in sorted(records):
            sha.update(record)
    return f"sha256:{sha.hexdigest()}"


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(sha: hashlib._Hash, value: object) -> None:
    sha.update(json.dumps(value, sort_keys=True).encode() + b"\n")


def _array(sha: hashlib._Hash, name: str, array: Array) -> None:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    _line(sha, [name, little.dtype.str, list(little.shape)])
    flat = memoryview(little.reshape(-1).view(np.uint8).data)
    for start in range(0, len(flat), _CHUNK):
        sha.update(flat[start : start + _CHUNK])
