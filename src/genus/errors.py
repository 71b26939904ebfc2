"""What genus raises when the user's input cannot be used.

Every error is a `ValueError`, so a caller may catch the lot with one clause, and every message
names the value, the limit and what to do about it. An assertion, in contrast, is our own bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GenusError(ValueError):
    """Base of all errors that are the input's fault rather than the library's."""


class SpecError(GenusError):
    """A tensor, a condition or a model does not fit the `Spec` of the data."""


class ConfigError(GenusError):
    """A name, an option or a value in a configuration cannot be used."""


class DataError(GenusError):
    """A data set is missing, damaged or not what it claims to be."""


class CheckpointError(GenusError):
    """A run folder or a checkpoint is damaged, incomplete or busy."""


class VersionError(CheckpointError):
    """A file was written by a newer genus than this one."""


class TrainingError(GenusError):
    """Training cannot go on: the loss is not finite, or the disk is full."""


class NotFiniteError(TrainingError):
    """A loss or a gradient has no value; the update was not made."""


def near(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: near matches for a misspelt name, else all names.

    Example:
        >>> near("pixelcn", ["pixelcnn", "vae"])
        'did you mean pixelcnn?'
        >>> near("zzz", ["vae", "gan"])
        'choose from: gan, vae'
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return f"choose from: {', '.join(names)}"


def raise_all(error: type[GenusError], heading: str, problems: list[str]) -> None:
    """Raise one error that lists every problem, or return when there is none."""
    if len(problems) == 1:
        raise error(f"{heading} {problems[0]}")
    if problems:
        raise error("\n".join([heading, *(f"  - {problem}" for problem in problems)]))
