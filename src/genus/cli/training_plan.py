"""What `genus train` is about to do: the model, the data, and what the model goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli.errors import UsageError

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.training import TrainConfig


@dataclass(frozen=True)
class Goes:
    """What a model goes by besides the examples.

    Args:
        conditional: the labels.
        labelled: so many labels.
        given: what a degradation leaves of each image.
    """

    conditional: bool = False
    labelled: int | None = None
    given: str | None = None

    @property
    def by_labels(self) -> bool:
        """Whether labels were asked for."""
        return self.conditional or self.labelled is not None

    def check(self) -> None:
        """Raise `UsageError` if both labels and an image were asked for."""
        if self.by_labels and self.given is not None:
            raise UsageError(
                "--given drops the labels, which --conditional and --labelled ask for; leave "
                "one or the other out"
            )

    def named(self, data: str) -> str:
        """Return what data of that name are called with what they are given."""
        from genus.data import degradation

        return data if self.given is None else f"{data}:{degradation(self.given)}"


@dataclass(frozen=True)
class Plan:
    """A run that is ready to begin.

    Args:
        model: with its weights as they are at first.
        data: what it learns from.
        config: how.
        out: where to.
        resume: whether to go on with the run that is there.
    """

    model: Any
    data: DataSet
    config: TrainConfig
    out: Path
    resume: bool
