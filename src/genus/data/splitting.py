"""Which rows go where: splits that are seeded, stratified and the same on every machine."""

from __future__ import annotations

import numpy as np

from genus.data.base import Array
from genus.errors import DataError

HELD_OUT = 0.1  # the share of rows that valid and test get each where nothing else is said


def words(n: int, *key: int) -> Array:
    """Return ``n`` random 64-bit words of a key of one or two integers.

    They are the raw output of Philox, which NumPy keeps the same in every version.
    """
    pair = [part % 2**64 for part in (*key, 0)[:2]]
    return np.asarray(np.random.Philox(key=pair).random_raw(n), np.uint64)


def uniforms(n: int, *key: int) -> Array:
    """Return ``n`` numbers in [0, 1) of a key, float64 with 53 random bits."""
    return np.asarray((words(n, *key) >> np.uint64(11)).astype(np.float64) / 2.0**53)


def mixed_order(n: int, y: Array | None, seed: int) -> Array:
    """Return the rows in a random order of which every stretch has all classes in proportion."""
    keys = words(n, seed, 1)
    if y is None:
        return np.argsort(keys, kind="stable")
    place = np.empty(n)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        members = members[np.argsort(keys[members], kind="stable")]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((keys, place))


def divide(
    n: int, y: Array | None, seed: int, sizes: tuple[int, int] | None = None
) -> dict[str, Array]:
    """Return the rows of train, valid and test, each in ascending order.

    Args:
        n: number of rows.
        y: ``(n,)`` labels to stratify by, or None.
        seed: which of the possible divisions.
        sizes: rows of valid and of test; a tenth of all rows each by default.

    Raises:
        DataError: there are fewer than 3 rows, so that a split would be empty.

    Example:
        >>> {name: len(rows) for name, rows in divide(50, None, 0).items()}
        {'train': 40, 'valid': 5, 'test': 5}
    """
    if n < 3:
        raise DataError(
            f"found {n} example{'s' if n != 1 else ''}, but train, valid and test need at least "
            "one each; add examples until there are 3 or more"
        )
    valid, test = sizes or (max(1, round(n * HELD_OUT)),) * 2
    order = mixed_order(n, y, seed)
    parts = {"train": order[valid + test :], "valid": order[test:][:valid], "test": order[:test]}
    return {name: np.sort(rows) for name, rows in parts.items()}


def carve(rows: Array, y: Array | None, seed: int) -> tuple[Array, Array]:
    """Return (what stays, a held-out tenth) of some rows, stratified.

    Args:
        rows: ``(n,)`` row numbers.
        y: ``(n,)`` their labels, or None.
        seed: which of the possible divisions.

    Raises:
        DataError: there is only one row.
    """
    if len(rows) < 2:
        raise DataError(
            f"the train part holds {len(rows)} example{'s' if len(rows) != 1 else ''}, too few to "
            "take others away for valid or test; add examples"
        )
    order = mixed_order(len(rows), y, seed)
    held = max(1, round(len(rows) * HELD_OUT))
    return np.sort(rows[order[held:]]), np.sort(rows[order[:held]])
