"""Exit codes, and how what went wrong is told: what, with what, and the remedy, no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from cyclopts import CycloptsError

from genus.cli import output
from genus.errors import CheckpointError, GenusError, TrainingError, raise_all

E = TypeVar("E", bound=BaseException)

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143


class UsageError(GenusError):
    """What was typed cannot be done."""


class RunFailed(GenusError):
    """What was typed was done, and failed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it unwinds as Ctrl-C does, so that a training run writes its checkpoint."""


@dataclass
class Outcome:
    """What the process will exit with."""

    code: int = OK


class Problems:
    r"""Collects what is wrong, so that one message tells it all.

    Example:
        >>> problems = Problems()
        >>> with problems.collect():
        ...     raise GenusError("cannot train:\n  - this is wrong\n  - that is wrong")
        >>> problems.found
        ['cannot train: this is wrong', 'cannot train: that is wrong']
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the messages of a `GenusError` raised inside, and go on."""
        try:
            yield
        except GenusError as error:
            heading, *items = str(error).split("\n  - ")
            self.found += [f"{heading} {item}" for item in items] or [heading]

    def require(self, holds: bool, problem: str) -> None:
        """Keep ``problem`` unless it ``holds``."""
        if not holds:
            self.found.append(problem)

    def raise_any(self, heading: str) -> None:
        """Raise `UsageError` with every problem, if there is one."""
        raise_all(UsageError, heading, [p.removeprefix(heading).strip() for p in self.found])


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def _sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def guard(debug: bool, hint: str) -> Iterator[Outcome]:
    """Run a command; tell its errors and set the exit code in the `Outcome` that is yielded.

    Args:
        debug: print tracebacks too.
        hint: what to type next after an error that suggests nothing better.
    """
    outcome = Outcome()
    try:
        with _sigterm():
            yield outcome
            sys.stdout.flush()
    except BrokenPipeError:
        outcome.code = PIPE_CLOSED
        # Python flushes stdout at exit, which would fail again and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            output.err().print_exception()
        outcome.code = tell(error, hint)


def tell(error: BaseException, hint: str) -> int:
    """Print an error to stderr, then what to type next, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return _tell_interrupt(error)
    message, code = explain(error)
    output.err().print(f"genus: {message}", soft_wrap=True)
    output.next_step(getattr(error, "hint", hint))
    return code


def _tell_interrupt(error: KeyboardInterrupt) -> int:
    """Print that the command was stopped; a training run says in the error how to go on."""
    stopped = isinstance(error, Terminated)
    code = getattr(error, "exit_code", TERMINATED if stopped else INTERRUPTED)
    output.err().print(f"genus: {error}" if str(error) else "genus: stopped", soft_wrap=True)
    output.next_step(getattr(error, "hint", output.typed()))
    return int(code)


def explain(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code of an error."""
    if isinstance(error, CycloptsError):
        return str(error).strip(), USAGE
    if isinstance(error, CheckpointError | TrainingError | RunFailed):
        return str(error), FAILED
    if isinstance(error, GenusError):
        return str(error), USAGE
    if isinstance(error, OSError):
        return _explain_os(error), FAILED
    if _out_of_memory(error):
        remedy = "use a smaller --batch-size, or smaller options (genus models NAME)"
        return f"out of memory: {_first_line(error)}; {remedy}", FAILED
    return f"internal error, {type(error).__name__}: {error}; --debug shows where", FAILED


def _explain_os(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error}); free some space, or write elsewhere with --out"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"not allowed ({error}); choose another folder with --out"
    return str(error)


def _out_of_memory(error: BaseException) -> bool:
    # Asked by name and by words, because torch may not be imported for an error message's sake.
    names = {cls.__name__ for cls in type(error).__mro__}
    words = ("not enough memory", "can't allocate memory", "Storage size calculation overflowed")
    told = any(part in str(error) for part in words)
    return told or bool(names & {"MemoryError", "OutOfMemoryError"})


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def hinted(error: E, command: str) -> E:
    """Return the error with the command that its last line will suggest."""
    error.hint = command  # type: ignore[attr-defined]
    return error
