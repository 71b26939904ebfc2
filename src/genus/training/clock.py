"""Seconds by what they were spent on, so that a time budget counts training alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

KINDS = ("training", "evaluation", "sampling", "checkpoint")


class Clock:
    """A stopwatch with one hand for each kind of work; it does not follow the wall clock.

    Example:
        >>> clock = Clock()
        >>> with clock.doing("training"):
        ...     with clock.doing("evaluation"):
        ...         pass
        >>> sorted(clock.seconds) == sorted(KINDS)
        True
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(KINDS, 0.0)
        self._kind: str | None = None
        self._since = 0.0

    def _switch(self, kind: str | None) -> str | None:
        now, before = time.perf_counter(), self._kind
        if before is not None:
            self.seconds[before] += now - self._since
        self._kind, self._since = kind, now
        return before

    @contextlib.contextmanager
    def doing(self, kind: str) -> Iterator[None]:
        """Count the time of this block under ``kind`` and no other."""
        before = self._switch(kind)
        try:
            yield
        finally:
            self._switch(before)

    @property
    def training(self) -> float:
        """Seconds of training so far."""
        self._switch(self._kind)
        return self.seconds["training"]
