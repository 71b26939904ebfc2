"""The IDX layout of MNIST: a magic number, the sizes, then unsigned bytes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from genus.data.base import Array
from genus.data.places import read_plain
from genus.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, rank: int) -> Array:
    """Return the array of an IDX file, plain or gzip.

    Raises:
        DataError: see `parse_idx`, and the file may be missing or damaged.
    """
    return parse_idx(read_plain(path), rank, path.name)


def parse_idx(data: bytes, rank: int, name: str = "the file") -> Array:
    """Return the uint8 array of IDX bytes.

    Args:
        data: the whole file.
        rank: how many sizes are expected: 3 for images, 1 for labels.
        name: what to call it in errors.

    Raises:
        DataError: wrong magic number, a cut-off header, or a length other than the sizes say.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), rank=1).tolist()
        [7, 9]
    """
    magic = int.from_bytes(data[:4], "big")
    expected = _UNSIGNED_BYTE << 8 | rank
    if len(data) < 4 or magic != expected:
        raise DataError(
            f"{name} has magic number 0x{magic:08x}, expected 0x{expected:08x} (IDX of unsigned "
            f"bytes, {rank} size{'s' if rank > 1 else ''}); is it another file, or not unpacked?"
        )
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError(f"{name} ends within its header of {start} bytes; fetch it again")
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    if len(data) - start != math.prod(sizes):
        raise DataError(
            f"{name} says {' x '.join(map(str, sizes))} = {math.prod(sizes):,} bytes but holds "
            f"{len(data) - start:,}; it was cut off or altered, fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)
