"""A progress bar on stderr, where there is a terminal to see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genus.training.hooks import Hook

if TYPE_CHECKING:
    from genus.training.session import Session

_INTERVAL = 0.1


class ProgressBar(Hook):
    """Shows how much of the budget is spent, the loss and the last score."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0
        self._score = ""

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook."""
        return "progress"

    def on_start(self, session: Session) -> None:
        """Open the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        words = TextColumn("{task.description}", markup=False)
        columns = (words, BarColumn(), TaskProgressColumn(), Elapsed())
        self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._bar.add_task(session.model.name, total=1.0)
        self._bar.start()

    def on_step(self, session: Session) -> None:
        """Move the bar, ten times a second at most."""
        now = time.monotonic()
        if now - self._last > _INTERVAL:
            self._last = now
            losses = " ".join(f"{player.name} {player.loss:.4f}" for player in session.players)
            words = f"{session.model.name} step {session.step} {losses}{self._score}"
            done = session.config.progress(session.step, session.elapsed)
            self._bar.update(self._task, completed=done, description=words)

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Remember the score."""
        if "nats_per_dim" in scores:
            shown = f"{scores['nats_per_dim']:.4f}"
            if "nats_per_dim_low" in scores:
                shown = f"{scores['nats_per_dim_low']:.4f}–{scores['nats_per_dim_high']:.4f}"
            self._score = f" valid {shown} nats/dim"
        elif "frechet_distance" in scores:
            self._score = f" valid Frechet distance {scores['frechet_distance']:.4g}"

    def on_end(self, session: Session) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()


def wants_progress(progress: bool | None) -> bool:
    """Say whether to show a bar: as asked, or where stderr is a terminal."""
    return sys.stderr.isatty() if progress is None else progress
