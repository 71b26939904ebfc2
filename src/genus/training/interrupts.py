"""Ctrl-C and SIGTERM: the first ends the run after the current step, the second at once."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class TrainingInterrupted(KeyboardInterrupt):
    """The run was asked to stop; its checkpoint is written.

    Args:
        message: what happened and how to go on.
        exit_code: what a command should exit with: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupts:
    """Takes note of signals, so that the loop can ask between two steps.

    Args:
        silent: say nothing, because another process does.

    Attributes:
        received: the signal that came first, or 0.
    """

    def __init__(self, silent: bool = False) -> None:
        self.received, self.silent = 0, silent

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first signal; let the second one through."""
        if self.received:
            raise TrainingInterrupted(
                "stopped at once; the checkpoints written before are intact", 128 + signum
            )
        self.received = signum
        if self.silent:
            return
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        sys.stderr.write(
            f"\n{name}: finishing this step and writing a checkpoint; again: at once\n"
        )

    @contextlib.contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Handle the signals meanwhile; only a program's main thread can, others see none."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[int, Any] = {}
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, self.handle)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
