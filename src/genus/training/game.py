"""The watch over a game: it sees a run go wrong, says what to change, and has it roll back.

What is looked at are the scores of each evaluation (see `genus.training.fidelity`), the critic's
accuracy and the gradients of the generator since the one before, and the losses of every step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from genus.capabilities import Advises, supports
from genus.errors import TrainingError
from genus.training.hooks import Hook, State
from genus.training.weights import DISTANCE

if TYPE_CHECKING:
    from genus.training.session import Session

FAR = 2.0
"""Times the best distance beyond which, by more than the floor, samples are far from it."""
COLLAPSED = 0.15
"""Share of the data's spread, or of their distance from each other, below which samples are alike.

It is a collapse if they varied twice as much at the best moment. Many games begin with samples that
are alike; that is told, and not rolled back, when half of the training is over.
"""
EXPLODED = 1e5
"""Loss of a player that no game comes back from."""
SURE, CHANCE = 0.99, (0.45, 0.55)
"""Accuracy of a critic that has won, and of one that knows nothing."""
VANISHED = 0.01
"""Share of the largest gradient of the generator below which it learns nothing."""
BAD = 32.0
"""Distance of samples that are bad: half of what one and the same middling sample gets."""
SETTLED, SOONEST = 0.1, 50
"""Share of the training, and steps, before which nothing is judged by its samples."""
PATIENCE = {"collapse": 2, "alike": 2, "divergence": 3, "vanishing": 2, "chance": 3}
"""Evaluations in a row before something is said; one alone may be chance."""
FATAL = ("collapse", "divergence", "explosion")
"""Troubles that are rolled back; of the others a game may come back by itself."""


class GameWatch(Hook):
    """Sees collapse, divergence, explosion, and a critic that is too strong or too weak.

    Each is warned of once, with what to change. The state is in checkpoints, and every process
    comes to the same opinion, since scores and metrics are the same on all.

    Attributes:
        best: the smallest distance from the valid split so far.
        variety: how much samples varied then, as a share of the data.
        streaks: evaluations in a row, by trouble.
        warned: troubles that were told.
    """

    def __init__(self) -> None:
        self.best, self.variety, self.liveliest = math.inf, 0.0, 0.0
        self.streaks: dict[str, int] = {}
        self.warned: list[str] = []
        self.accuracy: Tensor | None = None  # sums since the last evaluation
        self.norm, self.count = 0.0, 0
        self._found: dict[str, str] = {}
        self._is_best = False

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook."""
        return "game"

    def on_step(self, session: Session) -> None:
        """Add up what evaluations look at, and see a loss explode."""
        for player in session.players:
            accuracy = player.metrics.get("accuracy")
            if accuracy is None:
                self.norm += player.norm
            else:
                value = accuracy.detach().double()
                before = 0.0 if self.accuracy is None else self.accuracy.to(value.device)
                self.accuracy = before + value
        self.count += 1
        huge = [player for player in session.players if abs(player.loss) > EXPLODED]
        if huge:
            why = f"the loss of {huge[0].name!r} is {huge[0].loss:.3g}"
            self._act(session, {"explosion": why})

    def after_error(self, session: Session, error: TrainingError) -> None:
        """Roll back because of a loss or a gradient without a value.

        Raises:
            TrainingError: the error itself, where rolling back is turned off or has come to its end
                before there was any score.
        """
        if not session.rollback.limit or self._is_hopeless(session):
            raise error
        session.abandon_step()
        self._act(session, {"explosion": str(error)})

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Look at the scores, and remember what is to be done once the evaluation is over."""
        self._found, self._is_best = {}, False
        if session.rollback.ended:
            return
        if DISTANCE not in scores:  # no valid split: what has not exploded is the best there is
            self._is_best = True
            return
        self._is_best = scores[DISTANCE] < self.best
        if self._is_best:
            self.best, self.variety = scores[DISTANCE], _variety(scores)
        accuracy, norm = self._means()
        self.liveliest = max(self.liveliest, norm)
        progress = session.config.progress(session.step, session.elapsed)
        if progress >= SETTLED and session.step >= SOONEST:
            seen = self._symptoms(scores, accuracy, norm, late=progress >= 0.5)
            self.streaks = {name: self.streaks.get(name, 0) + 1 for name in seen}
            self._found = {n: why for n, why in seen.items() if self.streaks[n] >= PATIENCE[n]}

    def _means(self) -> tuple[float, float]:
        """Return the critic's accuracy and the generator's gradient since the last evaluation."""
        count = max(1, self.count)
        accuracy = math.nan if self.accuracy is None else float(self.accuracy) / count
        norm = self.norm / count
        self.accuracy, self.norm, self.count = None, 0.0, 0
        return accuracy, norm

    def _symptoms(
        self, scores: Mapping[str, float], accuracy: float, norm: float, *, late: bool
    ) -> dict[str, str]:
        """Return what is wrong at this evaluation, and by which figures."""
        distance, found = scores[DISTANCE], {}
        spread, distinct = scores["feature_spread"], scores["distinct"]
        alike = f"they vary {spread:.1%} as much as the data, and are {distinct:.1%} as far apart"
        if min(spread, distinct) < min(COLLAPSED, 0.5 * self.variety):
            found["collapse"] = alike
        elif min(spread, distinct) < COLLAPSED and late:
            found["alike"] = alike
        if distance > FAR * self.best + scores["frechet_floor"]:
            found["divergence"] = f"the distance to valid is {distance:.4g}, after {self.best:.4g}"
        if accuracy > SURE and norm < VANISHED * self.liveliest:
            found["vanishing"] = (
                f"the critic is right in {accuracy:.1%} of pairs, and the generator's gradient is "
                f"{norm / self.liveliest:.1%} of what it was"
            )
        if CHANCE[0] < accuracy < CHANCE[1] and distance > BAD:
            found["chance"] = (
                f"the critic is right in {accuracy:.1%} of pairs, which is chance, though the "
                f"distance to valid is {distance:.4g}"
            )
        return found

    def after_evaluation(self, session: Session) -> None:
        """Keep this moment if it is the best, or go back to the one that was."""
        if self._is_best and "collapse" not in self.streaks:
            session.rollback.keep(session)
        self._act(session, self._found)

    def _act(self, session: Session, found: Mapping[str, str]) -> None:
        """Warn of what is new, and roll back if there is no other way."""
        fatal = next((trouble for trouble in FATAL if trouble in found), None)
        for trouble, why in found.items():
            if trouble == fatal or trouble not in FATAL:  # a collapse is far from the data, too
                self._warn(session, trouble, why)
        if fatal is None or not session.rollback.limit:
            return
        if self._is_hopeless(session):
            raise TrainingError(
                f"step {session.step}: {fatal}: {found[fatal]}, before there was any score, and "
                f"rolling back {session.rollback.done} times has not helped. "
                f"{advice(session, fatal)}"
            )
        session.rollback.back(session, fatal, advice(session, fatal))
        self.streaks = {}

    def _is_hopeless(self, session: Session) -> bool:
        """Say whether the last rollback was made and there are no weights that have a score."""
        rollback = session.rollback
        return rollback.done == rollback.limit and not math.isfinite(self.best)

    def _warn(self, session: Session, trouble: str, why: str) -> None:
        if trouble not in self.warned:
            self.warned.append(trouble)
            session.note(
                f"warning: {TOLD[trouble]} at step {session.step}: {why}. "
                f"{advice(session, trouble)}"
            )
            session.log("warning", {"game": trouble})

    def state_dict(self) -> State:
        """Return what was seen so far."""
        numbers = {
            "best": self.best, "variety": self.variety, "liveliest": self.liveliest,
            "streaks": self.streaks, "warned": self.warned, "norm": self.norm, "count": self.count,
        }  # fmt: skip
        return numbers if self.accuracy is None else {**numbers, "accuracy": self.accuracy}

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""
        self.best, self.variety = float(state["best"]), state["variety"]
        self.liveliest = state["liveliest"]
        self.streaks, self.warned = dict(state["streaks"]), list(state["warned"])
        self.norm, self.count = state["norm"], state["count"]
        self.accuracy = state.get("accuracy")


TOLD = {
    "collapse": "samples collapse",
    "alike": "samples are all alike",
    "divergence": "the game diverges",
    "explosion": "a player explodes",
    "vanishing": "the critic has won",
    "chance": "the critic tells nothing",
}
"""What is said of each trouble."""


def _variety(scores: Mapping[str, float]) -> float:
    return min(scores["feature_spread"], scores["distinct"])


def advice(session: Session, trouble: str) -> str:
    """Return what to change, in words."""
    model, player = session.model, session.players[0]
    tries = list(model.remedies(trouble)) if supports(model, Advises) else []
    rate = player.base * (2 if trouble == "chance" else 0.5)
    tries.insert(1, f"--learning-rate {rate:g} (now {player.base:g})")
    return f"Try {'; or '.join(tries)}"
