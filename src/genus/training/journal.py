"""Writes the losses into metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genus.training.hooks import Hook, State

if TYPE_CHECKING:
    from genus.training.session import Session


class Journal(Hook):
    """Logs the mean loss since the last line, and the other metrics as they are now."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def on_step(self, session: Session) -> None:
        """Add up, and write a line from time to time."""
        self.count += 1
        for player in session.players:
            self.sums[player.name] = self.sums.get(player.name, 0.0) + player.loss
        if session.step % session.config.log_every == 0 and session.players:
            session.log("train", self._line(session))
            self.sums, self.count = {}, 0

    def _line(self, session: Session) -> dict[str, float]:
        line: dict[str, float] = {}
        for player in session.players:
            others = {k: float(v) for k, v in player.metrics.items() if k != "loss"}
            rate = player.optimizer.param_groups[0]["lr"]
            own = {"loss": self.sums[player.name] / self.count, "norm": player.norm, "lr": rate}
            line |= {f"{player.name}/{key}": value for key, value in {**own, **others}.items()}
        return line

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Write the scores."""
        session.log("valid", scores)

    def state_dict(self) -> State:
        """Return the sums since the last line."""
        return {"sums": self.sums, "count": self.count} if self.count else {}

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""
        self.sums, self.count = dict(state["sums"]), state["count"]
