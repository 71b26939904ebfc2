"""Writes that either happen or do not, whenever the process or the machine dies.

A file is written beside its place, forced to disk, renamed over the old one, and the folder is
forced to disk too. A folder is made in the same way. What a dead process left half done has a
name that begins with `TEMPORARY` and is swept away by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genus.errors import CheckpointError, TrainingError

TEMPORARY = ".tmp-"
"""How the name of everything half written begins."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the disk says no to into an error with a remedy.

    Raises:
        TrainingError: the disk is full.
        CheckpointError: the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TrainingError(
                f"cannot write {path}: {os.strerror(error.errno)}. What was written before is "
                "intact; free some space. A training run then goes on with resume=True (--resume), "
                "and takes less with a lower keep"
            ) from error
        if error.errno in _FORBIDDEN:
            raise CheckpointError(
                f"cannot write {path}: {os.strerror(error.errno)}; make the folder writable, or "
                "choose another one (--out)"
            ) from error
        raise


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to disk, so that a rename in it lasts."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and force it to disk; it may be torn if the process dies meanwhile."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> str:
    """Put a file in place as a whole and return its sha256.

    Raises:
        TrainingError: the disk is full; the old file is intact.
        CheckpointError: the folder cannot be written to.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    with explained(path):
        try:
            write_durably(temporary, data)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except OSError:
            remove(temporary)
            raise
    return sha256(data)


def write_json(path: Path, value: Any) -> str:
    """Put a JSON file in place as a whole and return its sha256."""
    return write_bytes(path, to_json(value))


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Put a folder in place as a whole.

    Args:
        folder: where it will be; there must be none yet, since two renames are not one.
        fill: writes the files, each by `write_durably`, into the folder that it is given.

    Raises:
        TrainingError: the disk is full; nothing is changed.
        CheckpointError: the folder cannot be written to.
    """
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
    with explained(folder):
        try:
            remove(temporary)
            temporary.mkdir()
            fill(temporary)
            sync_folder(temporary)
            os.rename(temporary, folder)
            sync_folder(folder.parent)
        except OSError:
            remove(temporary)
            raise


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there.

    A folder is renamed first, so that a half deleted one is never taken for a whole one.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path
    if not path.name.startswith(TEMPORARY):
        doomed = path.with_name(f"{TEMPORARY}removed-{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path) -> list[str]:
    """Delete what a dead process left half written in a folder, and return the names."""
    stale = sorted(folder.glob(f"{TEMPORARY}*"))
    for path in stale:
        remove(path)
    return [path.name for path in stale]


def sha256(data: bytes) -> str:
    """Return the digest of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinity become their names.

    Example:
        >>> plain({"loss": float("nan"), "steps": (1, 2)})
        {'loss': 'NaN', 'steps': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def to_json(value: Any) -> bytes:
    """Return a value as readable JSON, which never holds the bare words NaN or Infinity."""
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()
