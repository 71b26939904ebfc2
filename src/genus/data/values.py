"""Checks on the user's own numbers: what they may be, and how they become levels and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genus.data.base import Array
from genus.errors import DataError

MAX_LEVELS = 65536


@dataclass(frozen=True)
class Values:
    """Examples that passed the checks.

    Args:
        x: ``(N, *shape)`` uint8 or int32 levels, or float32; 0 where an entry is missing.
        levels: number of levels, or None for real numbers.
        notes: what was assumed.
        known: ``(N, *shape)`` boolean, False where an entry is missing; None where none is.
    """

    x: Array
    levels: int | None
    notes: tuple[str, ...] = ()
    known: Array | None = None


def check_levels(levels: int | None) -> int | None:
    """Return the number of levels if it can be one.

    Raises:
        DataError: it is not an integer from 2 to 65536.
    """
    if levels is None or (isinstance(levels, int) and 2 <= levels <= MAX_LEVELS):
        return levels
    raise DataError(f"levels={levels!r} must be an integer from 2 to {MAX_LEVELS}")


def to_values(x: Array, levels: int | None, name: str, *, missing: bool = False) -> Values:
    """Return levels or real numbers, whichever the array holds.

    Args:
        x: ``(N, D)`` or ``(N, C, H, W)``, any numeric type.
        levels: how many levels the user says there are, or None.
        name: what to call the array in errors.
        missing: take NaN for an entry that is missing, rather than refuse it.

    Raises:
        DataError: NaN where nothing may be missing, infinity, negative levels, levels out of
            range, or floating-point images without ``levels``.
    """
    check_levels(levels)
    if x.dtype.kind == "b":
        return Values(x.astype(np.uint8), levels or 2)
    if x.dtype.kind in "iu":
        return _integers(x, levels, name)
    if x.dtype.kind != "f":
        raise DataError(
            f"{name} has type {x.dtype}; save numbers instead, for example x.astype('float32')"
        )
    known = ~np.isnan(x) if missing and np.isnan(x).any() else None
    x = x if known is None else np.where(known, x, 0)
    check_finite(x, name)
    if levels is not None:
        return _quantised(x, levels, name, known)
    if x.ndim == 4:
        raise DataError(
            f"{name} holds floating-point images from {x.min():.4g} to {x.max():.4g}; say how many "
            "levels they have: --levels 256 (levels=256) for 8-bit images divided by 255"
        )
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    check_finite(single, f"{name} as float32")
    return Values(single, None, _constant_columns(single, known), known)


def check_finite(x: Array, name: str) -> None:
    """Raise if a value is NaN or infinite; the message has the count and the first place.

    Raises:
        DataError: there is such a value.
    """
    bad = ~np.isfinite(x)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{name} holds {int(bad.sum())} NaN or infinite values, the first at index {first}; "
            "drop those rows or fill them in"
        )


def _integers(x: Array, levels: int | None, name: str) -> Values:
    low, high = int(x.min()), int(x.max())
    if low < 0:
        raise DataError(
            f"{name} holds integers from {low} to {high}, but levels are 0..levels-1; subtract "
            "the smallest, or save real numbers as float32"
        )
    notes: tuple[str, ...] = ()
    if levels is None:
        levels = 256 if x.dtype == np.uint8 else max(2, high + 1)
        notes = (f"taken as {levels} levels (largest value {high}); --levels says otherwise",)
    check_levels(levels)
    if high >= levels:
        raise DataError(
            f"{name} holds values up to {high}, outside 0..{levels - 1}; "
            f"give --levels {high + 1} or more"
        )
    return Values(_smallest(x, levels), levels, notes)


def _quantised(x: Array, levels: int, name: str, known: Array | None) -> Values:
    given = x if known is None else x[known]
    low, high = float(given.min()), float(given.max())
    if low >= 0 and high <= 1:
        note = f"numbers from 0 to 1 became {levels} levels: round(x * {levels - 1})"
        return Values(_smallest(np.rint(x * (levels - 1)), levels), levels, (note,), known)
    if low >= 0 and high <= levels - 1 and bool((x == np.rint(x)).all()):
        return Values(_smallest(x, levels), levels, (), known)
    raise DataError(
        f"{name} holds numbers from {low:.4g} to {high:.4g}, which are neither in [0, 1] nor whole "
        f"numbers in 0..{levels - 1}; rescale them to [0, 1] first"
    )


def _smallest(x: Array, levels: int) -> Array:
    return x.astype(np.uint8 if levels <= 256 else np.int32)


def _constant_columns(x: Array, known: Array | None) -> tuple[str, ...]:
    first = x[0] if known is None else np.take_along_axis(x, known.argmax(0)[None], 0)[0]
    same = x == first if known is None else (x == first) | ~known
    constant = np.flatnonzero(same.all(0).reshape(-1)).tolist()
    if not constant:
        return ()
    return (f"entries {constant[:10]} never change, so their density has no upper limit",)


def channels_first(x: Array, name: str) -> Array:
    """Return vectors as ``(N, D)`` and images as ``(N, C, H, W)``.

    Images may come as ``(N, H, W)``, channels first or channels last.

    Raises:
        DataError: the shape is none of these, is ambiguous, or there is nothing in it.
    """
    if x.ndim in (2, 3, 4) and x.size == 0:
        raise DataError(f"{name} has shape {x.shape}, so there is nothing in it; save examples")
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x[:, None]
    first, last = (x.shape[1] in (1, 3), x.shape[-1] in (1, 3)) if x.ndim == 4 else (False, False)
    if first and last and x.shape[1] != x.shape[-1]:
        raise DataError(
            f"{name} has shape {x.shape}: channels first or last? Save it as (N, C, H, W) with H "
            "and W other than 1 and 3"
        )
    if first:
        return x
    if last:
        return x.transpose(0, 3, 1, 2)
    raise DataError(
        f"{name} has shape {x.shape}, expected (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C) "
        "with 1 or 3 channels; reshape it"
    )


def check_labels(y: Array, n: int, name: str, classes: int | None = None) -> Array:
    """Return labels as int64 in ``0 .. classes - 1``.

    Args:
        y: what the user gives.
        n: number of examples.
        name: what to call them in errors.
        classes: how many classes train has; None when these are the labels of train, which
            must then hold every class.

    Raises:
        DataError: wrong shape or type, negative, out of range, or a class without an example.
    """
    y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (n,):
        raise DataError(f"{name} has shape {y.shape}, expected ({n},): one label for each example")
    if y.dtype.kind == "f":
        check_finite(y, name)
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and (y == np.rint(y)).all()):
        raise DataError(
            f"{name} has type {y.dtype}; save whole numbers 0..classes-1, for example "
            "np.unique(y, return_inverse=True)[1]"
        )
    y = y.astype(np.int64)
    if y.min() < 0:
        raise DataError(
            f"{name} holds {int((y < 0).sum())} negative labels, the lowest {int(y.min())}; drop "
            "unlabelled examples or leave the labels out"
        )
    if classes is not None and y.max() >= classes:
        raise DataError(
            f"{name} holds label {int(y.max())}, outside the 0..{classes - 1} of train; correct "
            "the labels or add such examples to train"
        )
    if classes is None:
        _check_every_class(y, name)
    return y


def _check_every_class(y: Array, name: str) -> None:
    present = np.unique(y)
    if len(present) <= int(y.max()):
        gap = int(np.flatnonzero(present != np.arange(len(present)))[0])
        raise DataError(
            f"{name} runs to {int(y.max())}, but label {gap} has no example; renumber: "
            "np.unique(y, return_inverse=True)[1]"
        )
