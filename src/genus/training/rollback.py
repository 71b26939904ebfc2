"""Back to the best weights: what a run does when it has gone wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from genus.training.hooks import Hook, State
from genus.training.tensors import load_weights
from genus.training.weights import snapshot

if TYPE_CHECKING:
    from genus.training.session import Session

SMALLER = 0.5
"""Factor on the step size, at each rollback."""


class Rollback(Hook):
    """Keeps a moment of the run, and takes weights, averages and optimisers back to it.

    Steps and time do not run back. So the batches and the noise that follow, which depend on the
    step, are others than those that led astray, and a budget stays a budget.

    Args:
        limit: how often; 0 keeps nothing and goes nowhere.

    Attributes:
        done: how often it has gone back.
        step: the moment that is kept; 0 is the beginning.
        ended: why the run was given up, if it was.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.done, self.step, self.ended = 0, 0, ""
        self.kept: dict[str, Tensor] = {}

    @property
    def factor(self) -> float:
        """What the step size is multiplied by."""
        return SMALLER**self.done

    def on_start(self, session: Session) -> None:
        """Keep the beginning, for a run that goes wrong before its first score."""
        if not self.kept:
            self.keep(session)

    def keep(self, session: Session) -> None:
        """Take a copy of this moment."""
        if not self.limit:
            return
        self.step = session.step
        self.kept = {f"model/{name}": value for name, value in snapshot(session.model).items()}
        for index, player in enumerate(session.players):
            state = player.state_dict()
            self.kept |= {f"optim/{index}/{name}": _copy(v) for name, v in state.items()}
        self.kept |= {f"ema/{name}": _copy(v) for name, v in session.ema.state_dict().items()}

    def back(self, session: Session, trouble: str, advice: str) -> None:
        """Go back with a smaller step size, or give the run up where that was done too often.

        Args:
            session: the run.
            trouble: the word for the log.
            advice: what to change, for the last words of a run that is given up.
        """
        if not self.limit or self.ended:
            return
        self._return(session)
        if self.done == self.limit:
            self.ended = trouble
            session.evaluated_at = -1  # the scores are those of other weights
            session.note(
                f"step {session.step}: {trouble} again after {self.done} rollbacks; the run ends "
                f"early and keeps the weights of step {self.step}. {advice}"
            )
        else:
            self.done += 1
            session.note(
                f"step {session.step}: back to step {self.step} because of {trouble}, rollback "
                f"{self.done} of {self.limit}; the step size is now {self.factor:g} of what it was"
            )
        values = {"why": trouble, "to": self.step, "step_size": self.factor}
        session.log("end" if self.ended else "rollback", values)

    def _return(self, session: Session) -> None:
        load_weights(session.model, self._part("model/"), f"the moment kept at step {self.step}")
        for index, player in enumerate(session.players):
            player.load_state_dict(self._part(f"optim/{index}/"))
            player.optimizer.zero_grad(set_to_none=True)
        session.ema.load_state_dict(self._part("ema/"))

    def _part(self, prefix: str) -> dict[str, Tensor]:
        size = len(prefix)
        return {name[size:]: v for name, v in self.kept.items() if name.startswith(prefix)}

    def state_dict(self) -> State:
        """Return the moment that is kept, and how often it was gone back to."""
        if not self.kept:
            return {}
        numbers = {"done": self.done, "step": self.step, "ended": self.ended}
        return {**numbers, **{f"/{name}": value for name, value in self.kept.items()}}

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""
        self.done, self.step, self.ended = state["done"], state["step"], state["ended"]
        self.kept = {name[1:]: value for name, value in state.items() if name.startswith("/")}


def _copy(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous().clone()
