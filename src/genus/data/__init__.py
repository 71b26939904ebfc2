"""Data sets: by name, or the user's own by path; checked, split and with a digest.

Example:
    >>> from genus.data import load_data
    >>> load_data("wine").spec
    Spec(shape=(13,), levels=None, classes=3)
"""

from genus.data.base import (
    ArraySplit,
    BinarisedSplit,
    DataSet,
    Split,
    as_arrays,
    iterate,
)
from genus.data.catalogue import DataEntry, list_data, load_data
from genus.data.degradations import Degradation, degradation
from genus.data.degraded import degrade
from genus.data.inspect import DataReport, inspect_data
from genus.data.missing import Missing

__all__ = [
    "ArraySplit",
    "BinarisedSplit",
    "DataEntry",
    "DataReport",
    "DataSet",
    "Degradation",
    "Missing",
    "Split",
    "as_arrays",
    "degradation",
    "degrade",
    "inspect_data",
    "iterate",
    "list_data",
    "load_data",
]
