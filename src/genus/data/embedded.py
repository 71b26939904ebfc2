"""Data sets that need no download: two from scikit-learn, tiles of its photographs, 2-D toys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genus.data.base import Array, ArraySplit, DataSet
from genus.data.digest import digest_arrays
from genus.data.splitting import divide, uniforms
from genus.spec import Spec

Parts = dict[str, tuple[Array, Array | None]]

TILE = 32
_BANDS = {"train": (0, 384, 8), "valid": (384, 480, 16), "test": (480, 640, 16)}
_TOY_SIZES = {"train": 10_000, "valid": 2_000, "test": 2_000}


def load_digits() -> DataSet:
    """Return the 1,797 handwritten digits of scikit-learn: 8x8, levels 0 to 16, 10 classes.

    References:
        Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI, 1998 (CC BY 4.0).
    """
    from sklearn import datasets

    found = datasets.load_digits()
    x = np.asarray(found.images).round().astype(np.uint8)[:, None]
    y = np.asarray(found.target, np.int64)
    rows = divide(len(x), y, 0, (180, 360))
    return _make(
        "digits",
        Spec((1, 8, 8), levels=17, classes=10),
        {name: (x[part], y[part]) for name, part in rows.items()},
        "Handwritten digits, 8x8 (UCI); stratified 1,257 / 180 / 360.",
        labels=tuple("0123456789"),
    )


def load_wine() -> DataSet:
    """Return the 178 wines of scikit-learn: 13 measurements in their raw units, 3 cultivars.

    References:
        Aeberhard and Forina, Wine, UCI, 1991 (CC BY 4.0).
    """
    from sklearn import datasets

    found = datasets.load_wine()
    x = np.asarray(found.data, np.float32)
    y = np.asarray(found.target, np.int64)
    rows = divide(len(x), y, 0, (18, 36))
    return _make(
        "wine",
        Spec((13,), classes=3),
        {name: (x[part], y[part]) for name, part in rows.items()},
        "Chemical analyses of wines (UCI) in raw units, not standardised; stratified "
        "124 / 18 / 36.",
        labels=tuple(str(name) for name in found.target_names),
        value_names=tuple(found.feature_names),
    )


def load_patches() -> DataSet:
    """Return 32x32 RGB tiles of the two photographs of scikit-learn, 427x640 pixels each.

    The columns of each photograph are divided: train has 0 to 383, valid 384 to 479, test 480 to
    639, so no pixel is in two splits. Within a split tiles overlap (train every 8 pixels, the
    others every 16), so its examples are not independent of each other.
    """
    from sklearn import datasets

    photographs = [np.asarray(image, np.uint8) for image in datasets.load_sample_images().images]
    parts: Parts = {
        name: (np.concatenate([_tiles(image, *band) for image in photographs]), None)
        for name, band in _BANDS.items()
    }
    return _make(
        "patches",
        Spec((3, TILE, TILE), levels=256),
        parts,
        "32x32 tiles of two photographs; the splits are separate bands of columns and share no "
        "pixel, while tiles of one split overlap.",
    )


def _tiles(image: Array, left: int, right: int, stride: int) -> Array:
    """Return the tiles of a band of columns, ``(N, 3, 32, 32)``."""
    band = image[:, left:right]
    rows = range(0, band.shape[0] - TILE + 1, stride)
    columns = range(0, band.shape[1] - TILE + 1, stride)
    tiles = [band[r : r + TILE, c : c + TILE] for r in rows for c in columns]
    return np.ascontiguousarray(np.stack(tiles).transpose(0, 3, 1, 2))


def load_rings() -> DataSet:
    """Return points on three circles of radius 1, 2 and 3 with normal noise of 0.1; 3 classes."""
    return _toy("rings", 3, _rings, "Points near three circles in the plane.")


def load_moons() -> DataSet:
    """Return points on two half circles that reach into each other, noise of 0.1; 2 classes."""
    return _toy("moons", 2, _moons, "Points near two interleaved half circles in the plane.")


def _rings(which: Array, angle: Array) -> Array:
    radius = which + 1.0
    turn = 2 * np.pi * angle
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _moons(which: Array, angle: Array) -> Array:
    turn = np.pi * angle
    upper = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    lower = np.stack([1 - np.cos(turn), 0.5 - np.sin(turn)], axis=1)
    return np.where(which[:, None] == 0, upper, lower)


def _toy(name: str, classes: int, curve: Callable[[Array, Array], Array], about: str) -> DataSet:
    parts: Parts = {}
    for i, (split, n) in enumerate(_TOY_SIZES.items()):
        u = uniforms(4 * n, 20250 + classes, i).reshape(4, n)
        y = np.arange(n) % classes
        # Box and Muller; 1 - u keeps the logarithm finite.
        radius, turn = 0.1 * np.sqrt(-2 * np.log1p(-u[1])), 2 * np.pi * u[2]
        noise = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
        # A grid of 2**-16 hides the last bits, in which mathematical libraries differ.
        x = np.round((curve(y, u[0]) + noise) * 2**16) / 2**16
        parts[split] = (x.astype(np.float32), y.astype(np.int64))
    spec = Spec((2,), classes=classes)
    return _make(name, spec, parts, f"{about} 10,000 / 2,000 / 2,000.", value_names=("x", "y"))


def _make(
    name: str,
    spec: Spec,
    parts: Parts,
    description: str,
    labels: tuple[str, ...] = (),
    value_names: tuple[str, ...] = (),
) -> DataSet:
    return DataSet(
        name=name,
        spec=spec,
        splits={split: ArraySplit(x, y) for split, (x, y) in parts.items()},
        digest=digest_arrays(spec, parts),
        description=description,
        labels=labels or tuple(str(i) for i in range(spec.classes or 0)),
        value_names=value_names,
        source={"name_or_path": name},
    )
