"""A figure of the sample block, beside what real data get."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A figure of the sample block beside what real data get.

    Args:
        value: of the samples.
        floor: of equally many real examples that are not in the reference: a perfect model.
        standard_error: of the value, where it is known.
    """

    value: float
    floor: float
    standard_error: float | None = None
