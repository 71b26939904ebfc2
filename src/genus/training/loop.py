"""The loop: what a step is, and what comes between the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genus.errors import NotFiniteError
from genus.training import rng
from genus.training.checkpoint import save
from genus.training.pictures import beside, draw_samples, grid, save_png, spread
from genus.training.scoring import score

if TYPE_CHECKING:
    from genus.training.optim import Player
    from genus.training.session import Session


def run(session: Session) -> None:
    """Train until the budget is spent or a signal comes; the last state is in a checkpoint."""
    session.model.train()
    session.look_at_clock()
    while session.goes_on():
        with session.clock.doing("training"):
            try:
                step(session)
            except NotFiniteError as error:
                session.watch.after_error(session, error)
            session.look_at_clock()
        if session.evaluation_is_due:
            evaluate(session)
        if session.checkpoint_is_due:
            save(session)
    finish(session)


def step(session: Session) -> None:
    """Let every player make its updates."""
    session.hooks.before_step(session)
    for player in session.players:
        for _ in range(player.objective.repeats):
            update(session, player)
    session.step += 1
    session.hooks.on_step(session)


def update(session: Session, player: Player) -> None:
    """Descend one player's loss on a fresh batch."""
    batch, noise = session.next_batch()
    with player.alone():
        with session.engine.autocast():
            metrics = player.objective.loss(batch, noise)
        metrics["loss"].backward()  # type: ignore[no-untyped-call]
    player.metrics = session.engine.average(player.gradients(), metrics)
    session.hooks.on_gradients(session, player)
    player.descend()


def evaluate(session: Session) -> None:
    """Score the averaged weights on the valid split and draw samples from them.

    The global random states are left alone, so that training is the same however often this is
    done.
    """
    before = sum(session.clock.seconds.values())
    with rng.preserved(), session.averaged(), session.clock.doing("evaluation"):
        scores = score(session)
        if session.config.samples and session.engine.is_first:
            with session.clock.doing("sampling"):
                scores |= sample(session)
        session.evaluated(scores, sum(session.clock.seconds.values()) - before)
        session.hooks.on_evaluate(session, scores)
    session.hooks.after_evaluation(session)


def sample(session: Session) -> dict[str, float]:
    """Save a grid of samples, and return how much they vary in comparison to the data."""
    (x, pairs), spec = draw_samples(session), session.model.spec
    data = session.data.train.batch(session.sampler.batch(0))
    if spec.is_image:
        shown = grid(x, spec)
        if pairs is not None and pairs.y is not None:
            shown = beside(pairs.y, x.unsqueeze(1), pairs.x, spec)
        save_png(session.folder.sample(session.step), shown)
    if data.known is not None:  # the spread of what is known in part is not that of examples
        return {}
    return {"sample_spread": spread(x) / max(spread(data.x), 1e-12)}


def finish(session: Session) -> None:
    """Score the last weights if the budget is spent, and write the last checkpoint."""
    if not session.stopped_by and session.evaluated_at != session.step:
        evaluate(session)
    save(session)
