"""The index of a folder of images: one pass over all files, a few dozen bytes kept of each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genus.data.base import Array
from genus.data.download import Progress
from genus.data.images import (
    MAX_FILE_BYTES,
    SUFFIXES,
    TRAIT_NOTES,
    Header,
    ImageError,
    Rules,
    Trait,
    decode,
    read_header,
)
from genus.errors import DataError

DECODE_FILES = 4000  # up to so many files, and so many pixels, are decoded when indexed
DECODE_PIXELS = 400_000_000
LISTED = 20
DIGEST_BYTES = 16


@dataclass
class FolderIndex:
    """What is remembered of each file; the paths lie in one block of bytes.

    Args:
        root: the folder.
        names: the paths relative to the root, one after another.
        ends: ``(N,)`` where each path ends in ``names``.
        digests: ``(N, 16)`` the first bytes of each file's sha256.
        sizes: ``(N, 2)`` height and width; (0, 0) for a file that cannot be used.
        traits: ``(N,)`` flags, see `Trait`.
        problems: (relative path, what is wrong) of every file that cannot be used.
        notes: what was passed over while looking for files.
        undecoded: how many files had only their header checked.
    """

    root: Path
    names: bytes
    ends: Array
    digests: Array
    sizes: Array
    traits: Array
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undecoded: int = 0

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, row: int) -> str:
        """Return the path of a file relative to the root, with ``/``."""
        start = int(self.ends[row - 1]) if row else 0
        return os.fsdecode(self.names[start : int(self.ends[row])])

    def read(self, row: int) -> bytes:
        """Return the contents of a file.

        Raises:
            ImageError: it cannot be read, or has changed since it was indexed.
        """
        data = _contents(self.root / self.name(row))
        if short_sha(data) != self.digests[row].tobytes():
            raise ImageError("has changed since the folder was indexed; load the data again")
        return data


def short_sha(data: bytes) -> bytes:
    """Return the first bytes of the sha256 of some contents."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def index_folder(
    root: Path, *, decode_all: bool = False, progress: Progress | None = None
) -> FolderIndex:
    """Look at every image file under a folder.

    Hidden files are passed over, and so are links to folders, which might lead in a circle.

    Args:
        root: the folder.
        decode_all: decode the pixels of every file; otherwise the headers of all and the pixels
            of the first few thousand.
        progress: told how far it is.

    Raises:
        DataError: there are no image files.
    """
    names, ends, notes, problems = _list_files(root)
    n = len(ends)
    if not n and not problems:
        raise DataError(
            f"{root} holds no image files ({', '.join(SUFFIXES)}); "
            f"put images there or name another folder{_aside(notes)}"
        )
    empty = (np.zeros((n, DIGEST_BYTES), np.uint8), np.zeros((n, 2), np.uint32), np.zeros(n, "u1"))
    index = FolderIndex(root, names, ends, *empty, problems, notes)
    pixels = 0
    for row in range(n):
        whole = decode_all or (row < DECODE_FILES and pixels < DECODE_PIXELS)
        index.undecoded += not whole
        pixels += _examine(index, row, whole)
        if progress is not None and (row % 256 == 255 or row + 1 == n):
            progress(f"reading {root.name}", row + 1, n)
    return index


def _aside(notes: list[str]) -> str:
    return "".join(f" ({note})" for note in notes)


def _examine(index: FolderIndex, row: int, whole: bool) -> int:
    """Fill in one row of the index and return the number of pixels."""
    try:
        data = _contents(index.root / index.name(row))
        index.digests[row] = np.frombuffer(short_sha(data), np.uint8)
        header = read_header(data)
        if whole:
            _decode_as_is(data, header)
    except ImageError as error:
        index.problems.append((index.name(row), str(error)))
        return 0
    index.sizes[row] = header.height, header.width
    index.traits[row] = int(header.traits)
    return header.height * header.width


def _decode_as_is(data: bytes, header: Header) -> None:
    pixels = decode(data, Rules(), 1 if Trait.GREY in header.traits else 3)
    check_size(pixels, header.height, header.width)


def check_size(pixels: Array, height: int, width: int) -> None:
    """Raise if a decoded image, ``(C, H, W)``, has another size than its header says.

    A late EXIF block can do that: it turns an image when all of the file has been read.

    Raises:
        ImageError: the sizes differ.
    """
    if pixels.shape[1:] != (height, width):
        raise ImageError(
            f"decodes to {pixels.shape[1]}x{pixels.shape[2]}, but its header says "
            f"{height}x{width}; save it again"
        )


def _contents(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"has more than {MAX_FILE_BYTES:,} bytes; scale it down first")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from error


def _list_files(root: Path) -> tuple[bytes, Array, list[str], list[tuple[str, str]]]:
    """Return the paths of the image files in sorted order, packed, and what was passed over."""
    names, ends = bytearray(), []
    others: Counter[str] = Counter()
    problems: list[tuple[str, str]] = []
    for name in _walk(root, "", others, problems):
        names += os.fsencode(name)
        ends.append(len(names))
    notes = [f"{count} {what} passed over" for what, count in sorted(others.items())]
    return bytes(names), np.array(ends, np.int64), notes, problems


def _walk(
    root: Path, below: str, others: Counter[str], problems: list[tuple[str, str]]
) -> Iterator[str]:
    try:
        with os.scandir(root / below) as entries:
            found = sorted((e.name, e.is_dir(), e.is_symlink()) for e in entries)
    except OSError as error:
        problems.append((f"{below}/", f"cannot be opened ({error.strerror})"))
        return
    for name, is_folder, is_link in found:
        if name.startswith("."):
            others["hidden files or folders"] += 1
        elif is_folder and is_link:
            others["links to folders"] += 1
        elif is_folder:
            yield from _walk(root, f"{below}/{name}" if below else name, others, problems)
        elif name.lower().endswith(SUFFIXES):
            yield f"{below}/{name}" if below else name
        else:
            others["files that are not images"] += 1


def find_mixtures(index: FolderIndex, rules: Rules) -> list[tuple[str, str]]:
    """Return (path, problem) for the images whose size is not that of most, unless resized."""
    good = np.flatnonzero(index.sizes[:, 0])
    if rules.size is not None or not len(good):
        return []
    sizes = [(int(h), int(w)) for h, w in index.sizes[good]]
    (most, count), *others = Counter(sizes).most_common()
    if not others:
        return []
    return [
        (index.name(int(row)), f"is {h}x{w} (height x width), but {count} are {most[0]}x{most[1]}")
        for row, (h, w) in zip(good, sizes, strict=True)
        if (h, w) != most
    ]


def describe_traits(index: FolderIndex, rules: Rules) -> list[str]:
    """Return a sentence for each conversion, with the number of images that it concerns."""
    good = index.traits[index.sizes[:, 0] > 0]
    notes = []
    for trait, meaning in TRAIT_NOTES.items():
        count = int((good & int(trait) > 0).sum())
        if count:
            notes.append(f"{count} of {len(good)} images {meaning}")
    grey = int((good & int(Trait.GREY) > 0).sum())
    if grey < len(good) and rules.gray:
        notes.append(f"{len(good) - grey} of {len(good)} images had colours and were made grey")
    elif 0 < grey < len(good):
        notes.append(
            f"mixed modes: {grey} grey and {len(good) - grey} colour images; the grey ones were "
            "read as RGB (--gray makes all grey)"
        )
    if rules.size is not None:
        resized = int(((index.sizes[index.sizes[:, 0] > 0]) != rules.size).any(1).sum())
        notes.append(f"{resized} of {len(good)} images were cropped and resized (--size)")
    if index.undecoded:
        notes.append(
            f"only the headers of {index.undecoded} images were checked; "
            "`genus data PATH` decodes every one"
        )
    return notes + index.notes


def list_problems(problems: list[tuple[str, str]]) -> str:
    """Return the first 20 problems, one a line, and how many more there are."""
    lines = [f"  - {name}: {what}" for name, what in problems[:LISTED]]
    if len(problems) > LISTED:
        lines.append(f"  - and {len(problems) - LISTED} more")
    return "\n".join(lines)
