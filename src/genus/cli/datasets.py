"""The options that say how data are read, and reading them with those options."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from genus.cli import output
from genus.cli.errors import hinted
from genus.cli.options import Flag
from genus.errors import DataError

if TYPE_CHECKING:
    from genus.data import DataSet


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How data of your own are read, and where published sets are.

    Args:
        size: Side in pixels, or HEIGHTxWIDTH, to which the images of a folder are brought.
        gray: Make the images of a folder grey.
        levels: Number of levels of your values; 256 for folders when left out.
        label: Column (CSV) or array (.npz) that holds the labels.
        data_root: Folder of published data sets; GENUS_DATA when left out.
    """

    size: str | None = None
    gray: Flag = False
    levels: int | None = None
    label: str | None = None
    data_root: Path | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the arguments of `genus.load_data`."""
        return {
            "size": self.size,
            "gray": self.gray,
            "levels": self.levels,
            "label": self.label,
            "root": self.data_root,
        }

    @property
    def given(self) -> bool:
        """Whether any of them was typed."""
        return self != DataOptions()


PLAIN = DataOptions()
"""No option at all."""


def load(
    name: str,
    options: DataOptions = PLAIN,
    labelled: int | None = None,
    given: str | None = None,
) -> DataSet:
    """Return the data set of that name or path.

    Args:
        name: or a path.
        options: how it is read.
        labelled: how many labels of the train split to keep; all by default.
        given: the degradation that leaves what a model is given of each image.

    Raises:
        DataError: there is none, or it is damaged, or the degradation does not fit it.
        ConfigError: fewer labels than classes, or no such degradation.
    """
    from genus.data import load_data

    asked = {**options.keywords(), "labelled": labelled, "given": given}
    with reading() as progress:
        return load_data(name, **asked, progress=progress)


def load_again(
    record: dict[str, Any], data_root: Path | None = None, *, training: bool = False
) -> DataSet:
    """Return the data set of a run, once it is sure that it is the same.

    Args:
        record: what the run's config.json says of its data.
        data_root: where published sets are now.
        training: whether labels that training did not see stay hidden.

    Raises:
        DataError: it is gone, or its contents have changed since.
    """
    from genus.data import load_data
    from genus.data.labelled import show_labels

    source = dict(record["source"])
    if data_root is not None:
        source["root"] = data_root
    with reading() as progress:
        data = load_data(**source, progress=progress)
    if data.digest != record["digest"]:
        raise DataError(
            f"{data.name} has changed since the run was trained: its digest was "
            f"{record['digest']}, now {data.digest}; bring the old data back, or train again"
        )
    return data if training else show_labels(data)


@contextlib.contextmanager
def reading() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how downloads and folders come along; suggest `genus data` where they do not."""
    try:
        with output.bar() as bar:
            yield bar
    except DataError as error:
        raise hinted(error, "genus data") from error
