"""Where files are looked for and kept, and how they are written and unpacked safely."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from genus.errors import DataError

MAX_BYTES = 4 * 2**30  # what one file or array may unpack to


def cache_dir() -> Path:
    """Return the folder for downloads and parsed files: ``GENUS_CACHE`` or ``~/.cache/genus``."""
    named = os.environ.get("GENUS_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "genus"


def search_folders(name: str, root: Path | None) -> list[Path]:
    """Return the folders that may hold the files of a published set, best first.

    They are ``root`` (else ``GENUS_DATA``) and its subfolder of that name, with ``-`` or ``_``,
    and then the place of our own downloads.
    """
    named = root or (Path(os.environ["GENUS_DATA"]) if os.environ.get("GENUS_DATA") else None)
    folders = []
    if named is not None:
        folders = [named / name, named / name.replace("-", "_"), named]
    return [*folders, cache_dir() / "data" / name]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that it is either whole or absent, whatever happens in between.

    Raises:
        DataError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> DataError:
    """Return the error that says why a file cannot be written and what to do."""
    return DataError(
        f"cannot write {path}: {error.strerror or error}; make room there, or set GENUS_CACHE to "
        "a folder that can be written"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_plain(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the contents of a file, unpacked if it is gzip.

    Args:
        path: the file; gzip is known by its first bytes, not by its name.
        limit: the most bytes that it may unpack to.

    Raises:
        DataError: the file cannot be read, is damaged or cut off, or unpacks to too much.
    """
    try:
        with path.open("rb") as file:
            pieces = list(_unpack(file, path, limit))
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; fetch or save it again") from error
    return b"".join(pieces)


def _unpack(file: BinaryIO, path: Path, limit: int) -> Iterator[bytes]:
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    engine = zlib.decompressobj(31)
    total = 0
    while piece := file.read(1 << 20):
        while piece:
            # Unpack in bounded steps, so that a bomb is met before it fills the memory.
            out = engine.decompress(piece, 1 << 24) if packed else piece
            piece = engine.unconsumed_tail if packed else b""
            if packed and engine.eof:
                piece = engine.unused_data + file.read()
                ended, engine = engine, zlib.decompressobj(31)
                if not piece.strip(b"\0"):
                    piece, engine = b"", ended
            total += len(out)
            if total > limit:
                raise DataError(
                    f"{path} unpacks to more than {limit:,} bytes, the limit; split it into parts"
                )
            yield out
    if packed and not engine.eof:
        raise DataError(f"{path} is a gzip file that was cut off; fetch or save it again")
