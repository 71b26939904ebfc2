"""Other work on the processors: seen in the first seconds of training, and told once.

Threads of one sum wait for each other. When other work takes a processor, the thread that was on it
is put aside for milliseconds, and all others spin meanwhile: two threads on two processors of which
one is taken are then slower than one thread; the guide on training has figures.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, NamedTuple

import torch

from genus.training.hooks import Hook

if TYPE_CHECKING:
    from genus.training.session import Session

LOOK = 15.0
"""Seconds of training before the judgement."""
PUT_ASIDE = 60.0
"""Times a second that a thread is put aside on a crowded machine; about 30 on a quiet one."""
SHARE = 0.8
"""Of the processors that its threads could take, what a run takes at least on a quiet machine."""


class Usage(NamedTuple):
    """What the process has had so far: seconds of clock and processor, and times put aside."""

    clock: float
    processor: float
    put_aside: int

    @classmethod
    def now(cls) -> Usage:
        """Return what it has had by now, with all its threads."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_nivcsw)


def crowded(before: Usage, after: Usage, threads: int) -> bool:
    """Return whether threads waited for other work between two moments.

    Both signs are asked for: a run that waits for its data takes little of the processors and is
    not put aside, and one that has all of them may be put aside for moments.

    Args:
        before: the first moment.
        after: the second, later one.
        threads: that compute.

    Example:
        >>> crowded(Usage(0, 0, 0), Usage(10, 12.5, 1950), threads=2)
        True
        >>> crowded(Usage(0, 0, 0), Usage(10, 19.7, 700), threads=2)
        False
    """
    seconds = after.clock - before.clock
    aside = (after.put_aside - before.put_aside) / seconds
    taken = (after.processor - before.processor) / seconds
    return threads > 1 and aside > PUT_ASIDE * threads and taken < SHARE * threads


class Crowding(Hook):
    """Tells once that fewer threads are likely to be faster, on a processor with other work."""

    def __init__(self) -> None:
        self.before: Usage | None = None

    def on_start(self, session: Session) -> None:
        """Begin to watch, if there are threads that could wait for each other."""
        if session.engine.device.type == "cpu" and torch.get_num_threads() > 1:
            self.before = Usage.now()

    def on_step(self, session: Session) -> None:
        """Judge the first seconds."""
        if self.before is None or time.perf_counter() - self.before.clock < LOOK:
            return
        threads, before, self.before = torch.get_num_threads(), self.before, None
        if crowded(before, Usage.now(), threads):
            session.note(
                f"note: other work takes a part of the processors, and the {threads} threads of "
                "this run wait for each other; with OMP_NUM_THREADS=1 before the command it is "
                "likely to be faster"
            )
