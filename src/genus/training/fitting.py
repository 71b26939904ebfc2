"""Models in closed form or by EM: one call instead of a loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from genus.capabilities import FitContext, Fits, Trains, supports
from genus.data.base import iterate
from genus.spec import Batch
from genus.training.loop import finish
from genus.training.sampler import generator_of

if TYPE_CHECKING:
    from genus.training.session import Session

_BATCH = 1024
"""Rows at once; statistics are sums, so the size does not change the result."""
MOST_PASSES = 1_000_000
"""Steps of a fit where nothing is said: it ends by itself long before."""


def with_budget(options: Mapping[str, Any], model: object) -> dict[str, Any]:
    """Return options of a `TrainConfig`, with steps for a model that needs to be given no budget.

    Args:
        options: by name; what is not among them is left to its default.
        model: an instance or a class.
    """
    needless = supports(model, Fits) and not supports(model, Trains)
    if needless and options.get("steps") is None and options.get("time_budget") is None:
        return {**options, "steps": MOST_PASSES}
    return dict(options)


def fit(session: Session) -> None:
    """Fit the model to the train split, then score it and write a checkpoint.

    What the model logs counts as a step. The fit is told to stop when the budget is spent or a
    signal has come; an interrupted fit begins again when it is resumed, because it is short.
    """

    def batches() -> Iterator[Batch]:
        size = max(_BATCH, session.batch_size)
        for batch in iterate(session.data.train, size):
            yield session.to_model(session.engine.share(batch))

    def log(metrics: dict[str, float]) -> None:
        session.step += 1
        session.look_at_clock()
        session.log("fit", metrics)
        session.hooks.on_step(session)

    def stop() -> bool:
        session.look_at_clock()
        return not session.goes_on()

    if session.evaluated_at >= 0:  # fitted before the run was killed at its very end
        return
    context = FitContext(
        generator=generator_of(session.config.seed, 7),
        log=log,
        stop=stop,
        reduce=session.engine.sum,
        rank=session.engine.rank,
    )
    with session.clock.doing("training"):
        session.model.fit(batches, context)
        session.look_at_clock()
    if not session.stopped_by:
        finish(session)
