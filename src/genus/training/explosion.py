"""The watch over training without a game: it leaves out wild gradients, and sees runs explode.

A step size that serves for an hour may not serve for the next minute: a gradient comes that is
hundreds of times as long as those before it. Clipping bounds that step, whose direction is as bad
as it was; here it is not made, as in the training of very deep VAEs (Child, 2021,
https://arxiv.org/abs/2011.10650). Where such gradients keep coming the weights are past help, and
the run goes back to its best ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genus.errors import TrainingError
from genus.training.game import advice
from genus.training.hooks import Hook, State
from genus.training.weights import selection

if TYPE_CHECKING:
    from genus.training.optim import Player
    from genus.training.session import Session

FAR, LEAST = 100.0, 1.0
"""Times the usual norm of a gradient, and the norm itself, beyond both of which it is wild.

In five long runs that went well the norm was below 19 times the usual, but for a single gradient.
"""
SOONEST, USUAL = 50, 100
"""Steps before which nothing is judged, and over which the usual norm is an average."""
MANY = 10
"""Wild gradients in as many steps as the usual norm is an average over that are an explosion."""


class ExplosionWatch(Hook):
    """Leaves out updates by wild gradients, and rolls back when they keep coming, or have no value.

    Its state is in checkpoints, and every process comes to the same opinion, since gradients are
    the same on all. Where rolling back is turned off it only warns.

    Attributes:
        best: the smallest score on the valid split so far.
        usual: the running mean of the norm of the gradient, by objective.
        counts: how many norms are in it, by objective.
        wild: the steps of the wild gradients of late.
    """

    def __init__(self) -> None:
        self.best = math.inf
        self.usual: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.wild: list[int] = []
        self.warned, self._is_best = False, False

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook."""
        return "explosion"

    def on_gradients(self, session: Session, player: Player) -> None:
        """Leave out an update by a wild gradient; learn from any other what is usual."""
        name, norm = player.objective.name, player.norm
        usual, count = self.usual.get(name, 0.0), self.counts.get(name, 0)
        if count >= SOONEST and norm > max(LEAST, FAR * usual):
            self.wild.append(session.step)
            what = "the update was not made" if session.rollback.limit else "the update was made"
            said = f"the gradient of {name!r} has norm {norm:.3g}, and {usual:.3g} is usual; {what}"
            self._warn(session, f"step {session.step + 1}: {said}")
            if session.rollback.limit:
                player.optimizer.zero_grad(set_to_none=True)
        else:
            self.counts[name] = count + 1
            self.usual[name] = usual + (norm - usual) / min(count + 1, USUAL)

    def on_step(self, session: Session) -> None:
        """Go back if there were many wild gradients of late."""
        self.wild = [step for step in self.wild if step > session.step - USUAL]
        if len(self.wild) >= MANY:
            self._go_back(session)

    def after_error(self, session: Session, error: TrainingError) -> None:
        """Go back because of a loss or a gradient without a value, to a moment that was scored.

        Raises:
            TrainingError: the error itself, where going back is turned off or nothing was scored
                yet: then the settings are wrong from the start.
        """
        if not (session.rollback.limit and session.rollback.step):
            raise error
        session.abandon_step()
        self._warn(session, str(error))
        self._go_back(session)

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Note whether this moment is the best; without a valid split every one is."""
        score = selection(scores)
        self._is_best = not scores or score < self.best
        self.best = min(self.best, score)

    def after_evaluation(self, session: Session) -> None:
        """Keep this moment if it is the best."""
        if self._is_best and not session.rollback.ended:
            session.rollback.keep(session)

    def _warn(self, session: Session, why: str) -> None:
        if not self.warned:
            self.warned = True
            session.note(f"warning: training is about to explode: {why}")
            session.log("warning", {"explosion": why})

    def _go_back(self, session: Session) -> None:
        self.wild = []
        session.rollback.back(session, "explosion", advice(session, "explosion"))

    def state_dict(self) -> State:
        """Return what was seen so far."""
        if not self.counts:
            return {}
        return {
            "best": self.best, "usual": self.usual, "counts": self.counts, "wild": self.wild,
            "warned": self.warned,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""
        self.best, self.warned = float(state["best"]), state["warned"]
        self.usual, self.counts = dict(state["usual"]), dict(state["counts"])
        self.wild = list(state["wild"])
