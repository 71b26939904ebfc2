"""Words of the command line that several commands read the same way."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.cli.errors import UsageError
from genus.errors import raise_all

Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", consume_multiple=1, negative="", show_default=False),
]
"""Options of a model: ``--set features=32 layers=4``."""
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
"""An option without a value."""
Out = Annotated[Path | None, Parameter(name=("-o", "--out"))]
"""Where to write."""

MOST_NUMBERS = 1_000_000
"""The longest range of numbers that is read."""
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")


def duration(text: str, option: str = "--time-budget") -> float:
    """Return the seconds that a duration like ``90s``, ``5m`` or ``1h30m`` means.

    Raises:
        UsageError: it is no duration, or not above zero.

    Example:
        >>> duration("90"), duration("1h30m")
        (90.0, 5400.0)
    """
    plain = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        total = float(plain)
    elif _DURATION.fullmatch(plain):
        parts = re.findall(r"([\d.]+)([smhd])", plain)
        total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise UsageError(f"{option} {text!r} is no duration; write 90s, 5m or 1h30m")
    if total <= 0:
        raise UsageError(f"{option} {text!r} must be above zero; write 90s, 5m or 1h30m")
    return total


def check_device(name: str) -> None:
    """Check that a device is there, where one is asked for.

    Raises:
        ConfigError: it is not known, or not there.
    """
    if name != "cpu":  # which is always there, and needs no torch to say so
        from genus.training.engine import find_device

        find_device(name)


def assignments(words: Sequence[str], option: str = "--set") -> dict[str, str]:
    """Return the options that ``key=value`` words set.

    Raises:
        UsageError: a word is no assignment, or sets a key a second time; all of them at once.

    Example:
        >>> assignments(["features=64", "blocks=5"])
        {'features': '64', 'blocks': '5'}
    """
    values: dict[str, str] = {}
    problems = []
    for word in words:
        key, equals, value = word.partition("=")
        owner, dot, name = key.strip().rpartition(".")
        key = f"{owner}{dot}{name.replace('-', '_')}"
        if not equals or not key:
            problems.append(f"{option} {word!r} must be written key=value")
        elif key in values:
            problems.append(f"{option} gives {key!r} twice; keep one")
        values[key] = value
    raise_all(UsageError, "cannot read the options:", problems)
    return values


def numbers(text: str, option: str) -> list[int]:
    """Return the whole numbers that text like ``0-3,7`` means, in that order.

    Raises:
        UsageError: it does not mean any, or a number comes twice.

    Example:
        >>> numbers("0-3,7", "--index")
        [0, 1, 2, 3, 7]
    """
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not first <= last < first + MOST_NUMBERS:
            raise UsageError(f"{option} {text!r} must be numbers from 0, such as 0-3,7")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise UsageError(f"{option} {text!r} names a number twice; leave one out")
    return found


def decimals(text: str, option: str) -> list[float]:
    """Return the numbers that text like ``0.5,0.75,1`` holds, in that order.

    Raises:
        UsageError: it holds something else.

    Example:
        >>> decimals("0.5, 1", "--temperatures")
        [0.5, 1.0]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"{option} {text!r} must be numbers with commas between them, such as 0.5,0.75,1"
        ) from None


def within(value: float, low: float, high: float, option: str, remedy: str) -> None:
    """Check that an option's value lies between its limits.

    Raises:
        UsageError: naming the value, the limit and the remedy.
    """
    if not low <= value <= high:
        limit = f"at least {low:,}" if value < low else f"at most {high:,}"
        if math.isnan(value):
            limit = f"a number from {low:,} to {high:,}"
        raise UsageError(f"{option} {value:,} must be {limit}; {remedy}")


def check_temperature(temperature: float, option: str = "--temperature") -> None:
    """Check that a temperature is one that samples can be drawn at.

    Raises:
        UsageError: it is not from 0.01 to 100.
    """
    within(temperature, 0.01, 100, option, "1 is the model itself")


def check_seed(seed: int) -> None:
    """Check that a seed is one that every generator takes.

    Raises:
        UsageError: it is not.
    """
    within(seed, 0, 2**63 - 1, "--seed", "choose another")


def check_output(path: Path, force: bool, option: str = "--out") -> None:
    """Check that a file can be written without losing another.

    Raises:
        UsageError: the file exists and ``--force`` was not given, or its folder does not exist.
    """
    if path.exists() and not force:
        raise UsageError(
            f"{option} {path} exists; add --force to replace it, or choose another name"
        )
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: the folder {path.parent} does not exist; make it first")
