"""The data that a run is put to work on: its own, or others that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genus.cli import datasets
from genus.cli.datasets import DataOptions
from genus.cli.errors import UsageError

if TYPE_CHECKING:
    from genus.data import DataSet


def of_run(record: dict[str, Any], name: str | None, reading: DataOptions) -> DataSet:
    """Return the run's data once it is sure that they are the same, or the data that are named.

    Args:
        record: what the run's config.json says of its data.
        name: of other data, or None.
        reading: how those are read.

    Raises:
        UsageError: options of reading without a name; the run says how its own data are read.
        DataError: the data cannot be read, or have changed since.
    """
    if name is not None:
        return datasets.load(name, reading)
    if reading != DataOptions(data_root=reading.data_root):
        raise UsageError(
            "--size, --gray, --levels and --label say how --data is read; name it, or leave them "
            "out: the run says how its own data are read"
        )
    return datasets.load_again(record, reading.data_root)
