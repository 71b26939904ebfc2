"""Hooks: everything that goes on around the update of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from genus.capabilities import Anneals, supports
from genus.errors import CheckpointError, ConfigError
from genus.training.optim import step_size

if TYPE_CHECKING:
    from genus.training.optim import Player
    from genus.training.session import Session

State = dict[str, Any]
"""Tensors and plain numbers, strings, lists by name: what a checkpoint can hold."""


class Hook:
    """Base of all hooks: override what is needed.

    A hook with state gives it by `state_dict` and takes it back by `load_state_dict`; then a
    resumed run goes on as if it had never stopped. The name must be the only one of its kind in a
    run.

    Example:
        >>> class Longest(Hook):
        ...     steps = 0
        ...     def on_step(self, session):
        ...         self.steps = session.step
        ...     def state_dict(self):
        ...         return {"steps": self.steps}
        ...     def load_state_dict(self, state):
        ...         self.steps = state["steps"]
        >>> Longest().name
        'longest'
    """

    @property
    def name(self) -> str:
        """How a checkpoint calls the hook; the class's name in lower case."""
        return type(self).__name__.lower()

    def on_start(self, session: Session) -> None:
        """Act before the first step, a resumed one included, once the state is loaded."""

    def before_step(self, session: Session) -> None:
        """Act before the updates of a step."""

    def on_gradients(self, session: Session, player: Player) -> None:
        """Act between the gradients of one player and its update."""

    def on_step(self, session: Session) -> None:
        """Act after the updates of a step; ``session.step`` counts it already."""

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Act on the scores of the valid split; the model holds the averaged weights."""

    def after_evaluation(self, session: Session) -> None:
        """Act once an evaluation is over and the model holds its own weights again."""

    def on_end(self, session: Session) -> None:
        """Act when training has ended or failed: close files, stop threads."""

    def state_dict(self) -> State:
        """Return the state that a checkpoint should hold."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` returned."""


class Schedule(Hook):
    """Sets the step size of every player, and tells the model how much of the training is over."""

    def before_step(self, session: Session) -> None:
        """Warm up, then follow the schedule of the configuration, smaller after a rollback."""
        factor = step_size(session.config, session.step, session.elapsed)
        factor *= session.rollback.factor
        if supports(session.model, Anneals):
            session.model.anneal(session.config.progress(session.step, session.elapsed))
        for player in session.players:
            player.set_step_size(factor)


class Hooks:
    """The hooks of a run, called in order.

    Raises:
        ConfigError: two of them have one name.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.hooks = tuple(hooks)
        names = [hook.name for hook in self.hooks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"two hooks are called {' and '.join(twice)}; give one another name")

    def on_start(self, session: Session) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.on_start(session)

    def before_step(self, session: Session) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.before_step(session)

    def on_gradients(self, session: Session, player: Player) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.on_gradients(session, player)

    def on_step(self, session: Session) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.on_step(session)

    def on_evaluate(self, session: Session, scores: Mapping[str, float]) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.on_evaluate(session, scores)

    def after_evaluation(self, session: Session) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.after_evaluation(session)

    def on_end(self, session: Session) -> None:
        """Tell every hook."""
        for hook in self.hooks:
            hook.on_end(session)

    def state_dicts(self) -> dict[str, State]:
        """Return the state of every hook that has one, by name."""
        found = {hook.name: hook.state_dict() for hook in self.hooks}
        return {name: state for name, state in found.items() if state}

    def load_state_dicts(self, states: Mapping[str, State]) -> None:
        """Hand every hook its state.

        Raises:
            CheckpointError: there is state of a hook that this run does not have.
        """
        lost = sorted(set(states) - {hook.name for hook in self.hooks})
        if lost:
            raise CheckpointError(
                f"the checkpoint has the state of hooks that were not given: {', '.join(lost)}; "
                "resume with the hooks that the run began with"
            )
        for hook in self.hooks:
            if hook.name in states:
                hook.load_state_dict(states[hook.name])


def split_state(state: State) -> tuple[dict[str, Tensor], State]:
    """Return the tensors of a state and the rest, which must fit JSON."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in state.items() if key not in tensors}
