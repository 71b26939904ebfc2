"""Samples of anyone's model, read from files as examples of a data set; nothing is resized."""

# Shapes: N samples, C channels, H height, W width; *shape is that of the data.
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genus.data.arrays import has_labels, read_examples
from genus.data.base import Array, DataSet
from genus.data.download import Progress
from genus.data.folder import FolderSplit
from genus.data.folder_index import FolderIndex, describe_traits, index_folder, list_problems
from genus.data.images import SUFFIXES, ImageError, Rules, Trait, decode
from genus.data.values import channels_first, check_finite, to_values
from genus.errors import DataError, near, raise_all
from genus.spec import Spec

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class GivenSamples:
    """Samples that fit a data set.

    Args:
        x: ``(N, *shape)`` levels in a small integer type, or float32.
        notes: what was converted, one sentence each.
    """

    x: Array
    notes: tuple[str, ...] = ()


def read_samples(path: Path, data: DataSet, progress: Progress | None = None) -> GivenSamples:
    """Read a folder of images (one file for each sample), or an ``.npy`` or ``.npz`` of samples.

    8-bit pixels become levels by the rule of the data, where these are a folder of images, and by
    the nearest level elsewhere. Nothing is cropped, resized or given other colours.

    Args:
        path: the folder or the file.
        data: what the samples are to be compared with.
        progress: told how far it is.

    Raises:
        DataError: there is no such path, a file is damaged, or the samples differ from the data in
            size, colours or range; every difference is named.
    """
    if not path.exists():
        raise DataError(_absent(path))
    if path.is_dir():
        return _from_folder(path, data, progress)
    if path.suffix.lower() in ARRAYS:
        return _from_array(path, data)
    if path.suffix.lower() in SUFFIXES:
        raise DataError(
            f"{path} is one picture; give a folder with one image file for each sample, or an "
            ".npy or .npz of them"
        )
    raise DataError(
        f"{path} holds no samples that can be read; give a folder of images, an .npy or .npz"
    )


def looks_like_samples(path: Path) -> bool:
    """Say whether a path may hold samples: an array, or a folder with an image file near the top.

    Example:
        >>> looks_like_samples(Path("samples.npz"))
        True
    """
    if path.suffix.lower() in ARRAYS:
        return True
    if not path.is_dir():
        return False
    below = [path, *sorted(p for p in path.iterdir() if p.is_dir())[:20]]
    return any(p.suffix.lower() in SUFFIXES for folder in below for p in folder.iterdir())


def _absent(path: Path) -> str:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    remedy = near(path.name, beside) if 0 < len(beside) <= 50 else "check the path"
    return f"there is no file or folder {str(path)!r}; {remedy}"


def _from_folder(path: Path, data: DataSet, progress: Progress | None) -> GivenSamples:
    spec = data.spec
    if not spec.is_image or spec.shape[0] not in (1, 3) or not 2 <= (spec.levels or 0) <= 256:
        raise DataError(
            f"{data.name} is {spec}, which image files cannot hold; give the samples as an .npy or "
            ".npz"
        )
    index = index_folder(path, progress=progress)
    problems = [f"{name} {what}" for name, what in index.problems[:20]]
    if len(index.problems) > 20:
        problems.append(f"and {len(index.problems) - 20:,} more that are damaged")
    problems += _sizes(index, data)
    if spec.shape[0] == 3:
        problems += _grey_for_colours(index, data)
    raise_all(DataError, f"{path} cannot be compared with {data.name}:", problems)
    pixels, equal = _decode(index, data)
    notes = list(describe_traits(index, Rules()))
    if equal:
        notes.append(f"{equal} of {len(index)} images are RGB with equal channels, read as grey")
    x, more = _levels(pixels, data)
    return GivenSamples(x, (*notes, *more))


def _sizes(index: FolderIndex, data: DataSet) -> list[str]:
    """Return what is wrong with the sizes of the images that can be read."""
    _, height, width = data.spec.shape
    good = [(int(h), int(w)) for h, w in index.sizes if h]
    wrong = {size: n for size, n in Counter(good).most_common() if size != (height, width)}
    if not wrong:
        return []
    found = ", ".join(f"{n:,} of {h}x{w}" for (h, w), n in list(wrong.items())[:5])
    return [
        f"images of another size: {found} (height x width), but {data.name} is {height}x{width}; "
        "draw samples of that size, or resize them yourself and say how, because the way of "
        "resizing changes every score"
    ]


def _grey_for_colours(index: FolderIndex, data: DataSet) -> list[str]:
    grey = int((index.traits[index.sizes[:, 0] > 0] & int(Trait.GREY) > 0).sum())
    if not grey:
        return []
    return [
        f"{grey:,} of {len(index):,} images are grey, but {data.name} is RGB; if grey is what the "
        "model drew, save them as RGB (image.convert('RGB'))"
    ]


def _decode(index: FolderIndex, data: DataSet) -> tuple[Array, int]:
    """Return all images as ``(N, C, H, W)`` bytes, and how many grey ones are stored as RGB."""
    channels, images, equal = data.spec.shape[0], [], 0
    problems: list[tuple[str, str]] = []
    for row in range(len(index)):
        grey = bool(index.traits[row] & int(Trait.GREY))
        try:
            image = decode(index.read(row), Rules(), 1 if grey else 3)
        except ImageError as error:
            problems.append((index.name(row), str(error)))
            continue
        if channels == 1 and not grey:
            if not ((image[0] == image[1]) & (image[0] == image[2])).all():
                problems.append((index.name(row), "has colours"))
                continue
            image, equal = image[:1], equal + 1
        images.append(image)
    if problems:
        raise DataError(
            f"{index.root} cannot be compared with {data.name}, which is "
            f"{'grey' if channels == 1 else 'RGB'}; {len(problems):,} of {len(index):,} images "
            "differ. Save them as the data are (image.convert('L') makes grey):\n"
            + list_problems(problems)
        )
    return np.stack(images), equal


def _levels(pixels: Array, data: DataSet) -> tuple[Array, list[str]]:
    """Return bytes as the levels of the data, and a sentence on what was rounded."""
    levels = data.spec.levels_or_raise
    if levels == 256:
        return pixels, []
    wide = pixels.astype(np.int64)
    if isinstance(data.train, FolderSplit):
        note = f"8-bit pixels v became {levels} levels as those of the data: v * {levels} // 256"
        return (wide * levels // 256).astype(np.uint8), [note]
    x = (2 * wide * (levels - 1) + 255) // 510
    between = float((pixels != (2 * x * 255 + levels - 1) // (2 * (levels - 1))).mean())
    notes = [f"8-bit pixels v became {levels} levels: round(v * {levels - 1} / 255)"]
    if between > 0:
        notes.append(f"{between:.1%} of the pixels lay between two levels".replace("%", " %"))
    return x.astype(np.uint8), notes


def _from_array(path: Path, data: DataSet) -> GivenSamples:
    array = read_examples(path)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} has type {array.dtype}; save numbers")
    if not array.ndim or not len(array):
        raise DataError(f"{path} holds no samples, but an array of shape {array.shape}")
    x = array if array.shape[1:] == data.spec.shape else channels_first(array, path.name)
    problems = []
    if x.shape[1:] != data.spec.shape:
        problems.append(
            f"its examples have shape {x.shape[1:]}, but those of {data.name} {data.spec.shape}; "
            "draw samples of that shape, or reshape them"
        )
    try:
        if x.dtype.kind == "f":
            check_finite(x, path.name)
        values, notes = _values(x, data.spec, path.name)
    except DataError as error:
        problems.append(str(error))
    raise_all(DataError, f"{path} cannot be compared with {data.name}:", problems)
    if path.suffix.lower() == ".npz" and has_labels(path):
        notes = (*notes, f"the labels in {path.name} are not used: samples are judged without")
    return GivenSamples(values, notes)


def _values(x: Array, spec: Spec, name: str) -> tuple[Array, tuple[str, ...]]:
    """Return numbers as levels or float32, whichever the data are."""
    if spec.levels is None:
        with np.errstate(over="ignore"):
            single = x.astype(np.float32)
        check_finite(single, f"{name} as float32")
        return single, ()
    if x.dtype.kind in "iu" and x.size and not 0 <= x.min() <= x.max() < spec.levels:
        raise DataError(
            f"{name} holds values from {x.min()} to {x.max()}, outside the levels "
            f"0..{spec.levels - 1} of the data; bring them to that range first"
        )
    found = to_values(x, spec.levels, name)
    return found.x, found.notes
