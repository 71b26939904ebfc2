"""Readers of the layouts in which the published sets come."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genus.data.base import Array, binarise
from genus.data.digest import sha256_file
from genus.data.idx import read_idx
from genus.data.images import ImageError, Rules, decode
from genus.data.places import cache_dir, read_plain, write_atomically
from genus.data.splitting import divide
from genus.errors import DataError

Files = Mapping[str, Path]
Parts = dict[str, tuple[Array, Array | None]]

_CIFAR_RECORD = 1 + 3 * 32 * 32
_MNIST_VALID = 10_000
_CIFAR_VALID = 5_000
_STACKED, _STACKED_SEED = 3, 0
_DRAWERS = {"train": range(1, 15), "valid": range(15, 17), "test": range(17, 21)}


def read_mnist(files: Files) -> Parts:
    """Read the four IDX files of MNIST or Fashion-MNIST; valid is the last 10,000 of train."""
    parts: Parts = {}
    for name, stem in (("train", "train"), ("test", "t10k")):
        x = read_idx(files[f"{stem}-images-idx3-ubyte.gz"], 3)
        y = read_idx(files[f"{stem}-labels-idx1-ubyte.gz"], 1)
        if len(x) != len(y) or (len(y) and y.max() > 9):
            raise DataError(
                f"{files[f'{stem}-labels-idx1-ubyte.gz']} has {len(y)} labels up to "
                f"{y.max(initial=0)} for {len(x)} images, expected one of 0..9 "
                "each; fetch both again"
            )
        parts[name] = (x[:, None], y.astype(np.int64))
    return _hold_out(parts, _MNIST_VALID)


def _hold_out(parts: Parts, n: int) -> Parts:
    x, y = parts["train"]
    assert y is not None
    return {
        "train": (x[:-n], y[:-n]),
        "valid": (x[-n:], y[-n:]),
        "test": parts["test"],
    }


def read_mnist_dynamic(files: Files) -> Parts:
    """Read MNIST with valid and test binarised once; train stays grey until it is looked at."""
    parts = read_mnist(files)
    for key, name in ((1, "valid"), (2, "test")):
        x, y = parts[name]
        parts[name] = (binarise(x, np.arange(len(x)), key), y)
    return parts


def read_mnist_threshold(files: Files) -> Parts:
    """Read MNIST with pixels of 128 and above as 1."""
    return {name: ((x >= 128).astype(np.uint8), y) for name, (x, y) in read_mnist(files).items()}


def read_stacked_mnist(files: Files) -> Parts:
    """Read MNIST as the channels of colour images: three digits of a split drawn at random.

    The label is the number that the digits spell, 0 to 999.
    """
    parts: Parts = {}
    for key, (name, (x, y)) in enumerate(read_mnist(files).items()):
        assert y is not None
        n = len(x)
        # Raw Philox words: NumPy keeps them the same in every version and on every machine.
        words = np.random.Philox(key=[_STACKED_SEED, key]).random_raw(_STACKED * n)
        rows = (words % np.uint64(n)).astype(np.int64).reshape(n, _STACKED)
        parts[name] = (x[rows, 0], y[rows] @ np.array([100, 10, 1]))
    return parts


def read_binarized_mnist(files: Files) -> Parts:
    """Read Larochelle's three text files, and keep them parsed in the cache."""
    digests = "".join(sha256_file(path) for path in files.values())
    kept = (
        cache_dir()
        / "parsed"
        / f"binarized-mnist-{digests[:16]}{digests[64:80]}{digests[128:144]}.npz"
    )
    names = {"train": "train", "valid": "valid", "test": "test"}
    packed = _read_kept(kept)
    if packed is None:
        packed = {
            name: np.packbits(parse_amat(read_plain(files[_amat(name)]), 784, _amat(name)), axis=1)
            for name in names
        }
        _keep(kept, packed)
    return {
        name: (np.unpackbits(packed[name], axis=1)[:, :784].reshape(-1, 1, 28, 28), None)
        for name in names
    }


def _amat(split: str) -> str:
    return f"binarized_mnist_{split}.amat"


def _read_kept(path: Path) -> dict[str, Array] | None:
    """Return the parsed arrays, or None where there are none or they are damaged."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in ("train", "valid", "test")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # the text is parsed again and replaces it
    sound = all(x.dtype == np.uint8 and x.ndim == 2 and x.shape[1] == 98 for x in found.values())
    return found if sound else None


def _keep(path: Path, arrays: dict[str, Array]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def parse_amat(data: bytes, width: int, name: str) -> Array:
    r"""Return the 0s and 1s of a text with one example per line, ``(N, width)`` uint8.

    Raises:
        DataError: another character, or a line of another length.

    Example:
        >>> parse_amat(b"0 1 1\n1 0 0\n", 3, "the text").tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    text = np.frombuffer(data, np.uint8)
    if (plain := _usual_layout(text, width)) is not None:
        return plain
    digit = (text & 0xFE) == ord("0")
    line_end = text == ord("\n")
    blank = line_end | (text == ord(" ")) | (text == ord("\r")) | (text == ord("\t"))
    strange = np.flatnonzero(~(digit | blank))
    if len(strange):
        at = int(strange[0])
        raise DataError(
            f"{name} holds {bytes(data[at : at + 1])!r} at byte {at}, but only 0 and 1 are "
            "expected; fetch it again"
        )
    touching = np.flatnonzero(digit[1:] & digit[:-1])
    if len(touching):
        raise DataError(f"{name} holds a number other than 0 and 1 at byte {int(touching[0])}")
    seen = np.cumsum(digit)[line_end]
    if not len(text) or not line_end[-1]:
        seen = np.append(seen, digit.sum())
    counts = np.diff(seen, prepend=0)
    counts = counts[counts > 0]
    if not len(counts) or (counts != width).any():
        wrong = int(np.flatnonzero(counts != width)[0]) if len(counts) else 0
        found = int(counts[wrong]) if len(counts) else 0
        raise DataError(
            f"{name} has {found} values in line {wrong + 1}, expected {width}; it was cut off or "
            "altered, fetch it again"
        )
    values: Array = text[digit] - ord("0")
    return values.reshape(-1, width)


def _usual_layout(text: Array, width: int) -> Array | None:
    """Return the values of text in which one blank or line end follows each, else None."""
    if not len(text) or len(text) % (2 * width):
        return None
    cells = text.reshape(-1, width, 2)
    values: Array = cells[:, :, 0] - np.uint8(ord("0"))
    sound = (
        values.max() <= 1
        and bool((cells[:, :-1, 1] == ord(" ")).all())
        and bool((cells[:, -1, 1] == ord("\n")).all())
    )
    return values if sound else None


def read_cifar10(files: Files) -> Parts:
    """Read CIFAR-10 from its archive or from its six binary files; valid is the end of train."""
    archive = files.get("cifar-10-binary.tar.gz")
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    if archive is not None:
        blocks = _read_tar(archive, names, 10_000 * _CIFAR_RECORD)
    else:
        blocks = {name: read_plain(files[name]) for name in names}
    read = {name: parse_cifar(blocks[name], 10_000, name) for name in names}
    x = np.concatenate([read[name][0] for name in names[:5]])
    y = np.concatenate([read[name][1] for name in names[:5]])
    return _hold_out({"train": (x, y), "test": read["test_batch.bin"]}, _CIFAR_VALID)


def read_cifar10_part(files: Files) -> Parts:
    """Read the first 4,000 records of the first batch and divide them 3,200 / 400 / 400."""
    name = "data_batch_1_first4000.bin"
    x, y = parse_cifar(read_plain(files[name]), 4_000, name)
    rows = divide(len(x), y, 0, (400, 400))
    return {split: (x[part], y[part]) for split, part in rows.items()}


def _read_tar(path: Path, names: list[str], size: int) -> dict[str, bytes]:
    """Return members of an archive by the last part of their names; nothing is written."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in names and member.isfile() and member.size == size:
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off ({error}); fetch it again") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)} of {size:,} bytes; is it the binary version?"
        )
    return found


def parse_cifar(data: bytes, n: int, name: str) -> tuple[Array, Array]:
    """Return images ``(N, 3, 32, 32)`` and labels of records of 1 + 3,072 bytes.

    Raises:
        DataError: it does not hold ``n`` records, or a label is above 9.
    """
    if len(data) != n * _CIFAR_RECORD:
        raise DataError(
            f"{name} holds {len(data):,} bytes, expected {n:,} records of {_CIFAR_RECORD:,}; it is "
            "cut off or another file, fetch it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(n, _CIFAR_RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"{name} holds label {records[:, 0].max()}, outside 0..9; fetch it again")
    images = np.ascontiguousarray(records[:, 1:]).reshape(n, 3, 32, 32)
    return images, records[:, 0].astype(np.int64)


def read_omniglot(files: Files) -> Parts:
    """Read Omniglot's archives; drawers 1-14 are train, 15-16 valid and 17-20 test.

    Ink is 1. A class is a character, in the order of alphabets and characters by name.
    """
    drawn = sorted(entry for path in files.values() for entry in _read_zip(path))
    classes = {name: i for i, name in enumerate(sorted({name for name, _, _ in drawn}))}
    x = np.stack([image for _, _, image in drawn])[:, None]
    y = np.array([classes[name] for name, _, _ in drawn], np.int64)
    drawer = np.array([number for _, number, _ in drawn])
    masks = {split: np.isin(drawer, list(numbers)) for split, numbers in _DRAWERS.items()}
    return {split: (x[mask], y[mask]) for split, mask in masks.items()}


def _read_zip(path: Path) -> list[tuple[str, int, Array]]:
    """Return (alphabet/character, drawer, image) for each drawing of an archive."""
    out = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                folders = info.filename.split("/")
                if not info.filename.endswith(".png") or len(folders) != 4:
                    continue
                drawer = int(folders[3].removesuffix(".png").split("_")[1])
                pixels = decode(_bounded(archive, info), Rules(), 1)[0]
                if pixels.shape != (105, 105):
                    raise DataError(f"{path}: {info.filename} is not 105x105; fetch it again")
                out.append(("/".join(folders[1:3]), drawer, (pixels < 128).astype(np.uint8)))
    except (zipfile.BadZipFile, OSError, zlib.error, ImageError, ValueError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged or cut off ({error}); fetch it again") from error
    if not out:
        raise DataError(f"{path} holds no drawings; is it the archive of the authors?")
    return out


def _bounded(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > 1 << 20:
        raise ImageError(f"{info.filename} unpacks to {info.file_size:,} bytes")
    return archive.read(info)


def read_frey_faces(files: Files) -> Parts:
    """Read the Frey faces in the order of the film: 1,565 / 200 / 200."""
    from scipy import io as matlab

    path = files["frey_rawface.mat"]
    try:
        faces = np.asarray(matlab.loadmat(io.BytesIO(read_plain(path)))["ff"])
    except Exception as error:  # the reader raises many types on a damaged file
        raise DataError(f"{path} is not a sound MATLAB file ({error}); fetch it again") from error
    if faces.shape != (560, 1965) or faces.dtype != np.uint8:
        raise DataError(
            f"{path} holds {faces.dtype} {faces.shape}, expected uint8 (560, 1965); fetch it again"
        )
    x = np.ascontiguousarray(faces.T).reshape(-1, 1, 28, 20)
    return {"train": (x[:1565], None), "valid": (x[1565:1765], None), "test": (x[1765:], None)}
