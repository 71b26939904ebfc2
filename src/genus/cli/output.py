"""Where the command line writes: data to stdout, notes and progress to stderr, JSON on request."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
"""The option that every command takes."""

PIPE_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where there is no terminal to measure."""

_consoles: list[tuple[Console, Console]] = []
_typed: list[list[str]] = []


def _console(stream: TextIO) -> Console:
    """Return a console that colours only a terminal, and none where ``NO_COLOR`` is set."""
    from rich.console import Console as RichConsole

    class Console(RichConsole):
        """A console that lets a broken pipe be heard of."""

        def on_broken_pipe(self) -> None:
            """Leave the exit code to `genus.cli.errors`; rich would exit with 1."""
            raise BrokenPipeError

    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=stream,
        width=None if stream.isatty() else PIPE_WIDTH,
        color_system=None if plain else "auto",
        force_terminal=None if stream.isatty() else False,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


@contextlib.contextmanager
def consoles(words: Sequence[str] = ()) -> Iterator[None]:
    """Bind the consoles to the streams of this moment, for the length of one command.

    Args:
        words: what was typed after ``genus``.
    """
    _typed.append(list(words))
    _consoles.append((_console(sys.stdout), _console(sys.stderr)))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=UserWarning, module=r"genus\.")
            warnings.showwarning = _show_warning
            yield
    finally:
        _consoles.pop()
        _typed.pop()


def _show_warning(message: Warning | str, *details: Any, **more: Any) -> None:
    """Print a warning as a line on stderr: file and line of our source would only confuse."""
    err().print(f"warning: {message}", soft_wrap=True)


def out() -> Console:
    """Return the console of data."""
    return _consoles[-1][0] if _consoles else _console(sys.stdout)


def err() -> Console:
    """Return the console of notes and progress."""
    return _consoles[-1][1] if _consoles else _console(sys.stderr)


def typed() -> str:
    """Return the command that is running, as it was typed."""
    return shlex.join(["genus", *(_typed[-1] if _typed else ())])


def finite(data: Any) -> Any:
    """Return JSON-ready data: NaN and infinity, which JSON lacks, become null."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


def print_json(data: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def say(text: str = "") -> None:
    """Write a line of data to stdout."""
    out().print(text, soft_wrap=True)


def note(text: str) -> None:
    """Write a line about what is going on to stderr."""
    err().print(text, style="dim", soft_wrap=True)


def next_step(command: str) -> None:
    """Write the last line of a command to stderr: what to type next."""
    err().print(f"next: {command}", soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Write a table to stdout; columns of numbers, some perhaps missing, are on the right."""
    from rich import box
    from rich.table import Table

    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        known = [cell for cell in cells if cell is not None]
        numeric = bool(known) and all(isinstance(cell, int | float) for cell in known)
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell_text(cell) for cell in row))
    out().print(shown)


def cell_text(cell: Any) -> str:
    """Return what a table prints for a value."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def pairs(items: Sequence[tuple[str, Any]]) -> None:
    """Write names and values to stdout, one to a line, aligned."""
    width = max((len(name) for name, _ in items), default=0)
    for name, value in items:
        say(f"{name:<{width}}  {cell_text(value)}")


def tree(data: Any, indent: int = 0) -> None:
    """Write nested dictionaries to stdout, one name to a line."""
    for name, value in data.items():
        label = " " * indent + str(name)
        if isinstance(value, dict) and value:
            say(label)
            tree(value, indent + 2)
        else:
            say(f"{label:<22}  {value}")


def seconds(value: float) -> str:
    """Return a duration as people say it.

    Example:
        >>> seconds(0.5), seconds(75), seconds(7200)
        ('0.5 s', '1 min 15 s', '2 h 0 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(count: float) -> str:
    """Return a number of bytes as people say it.

    Example:
        >>> size(1536), size(3 * 2**30)
        ('1.5 KB', '3.0 GB')
    """
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


@contextlib.contextmanager
def progress(title: str, total: float) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr, if it is a terminal, and yield the function that moves it on."""
    from rich.progress import Progress

    with Progress(console=err(), transient=True, disable=not err().is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda amount: bar.update(task, advance=amount)


@contextlib.contextmanager
def bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function of (what, done, total) that shows a bar on stderr, if it is a terminal."""
    from rich.progress import Progress

    with Progress(console=err(), transient=True, disable=not err().is_terminal) as shown:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield report
