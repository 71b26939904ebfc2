"""Everything that one process of a run holds while it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from genus.capabilities import Criticises, Trains, supports
from genus.data.base import DataSet
from genus.random import BatchNoise
from genus.spec import Batch
from genus.training.clock import Clock
from genus.training.config import TrainConfig
from genus.training.crowding import Crowding
from genus.training.engine import Engine
from genus.training.explosion import ExplosionWatch
from genus.training.fidelity import Fidelity, samples_for
from genus.training.game import GameWatch
from genus.training.hooks import Hook, Hooks, Schedule
from genus.training.interrupts import Interrupts
from genus.training.journal import Journal
from genus.training.metrics import MetricsFile
from genus.training.optim import make_players, settled
from genus.training.rollback import Rollback
from genus.training.run_folder import RunFolder
from genus.training.sampler import Sampler, generator_of
from genus.training.watch import CollapseWatch, GradientWatch
from genus.training.weights import Ema, KeepBest


class Session:
    """The state of a run and what the loop asks of it; hooks are handed this.

    Args:
        model: what is trained; it is moved to the device.
        data: the data set.
        config: how to train.
        engine: device, precision and processes.
        folder: where files go.
        hooks: the user's hooks, called after the built-in ones.
        interrupts: the signals that came.

    Attributes:
        step: updates so far.
        elapsed: seconds of training so far, the same number on every process.
        stopped_by: the signal that ends the run, or 0.
        players: the objectives with their optimisers; none for a model that is fitted.
        scores: what the last evaluation returned.
        game: the watch over a critic that plays against a generator, or None.
        watch: that, or the one over all other training: what sees a run go wrong.
    """

    def __init__(
        self,
        model: Any,
        data: DataSet,
        config: TrainConfig,
        engine: Engine,
        folder: RunFolder,
        hooks: Sequence[Hook],
        interrupts: Interrupts,
    ) -> None:
        self.model, self.data, self.config = model, data, settled(config, model)
        self.engine, self.folder, self.interrupts = engine, folder, interrupts
        self.step, self.elapsed, self.clock = 0, 0.0, Clock()
        self.scores: dict[str, float] = {}
        self.metrics: MetricsFile | None = None
        self.evaluated_at, self.next_evaluation = -1, config.evaluation_interval
        self.stopped_by, self.checkpoint_is_due = 0, False
        self._saved_at, self._saved = 0.0, (-1, -1)
        self._draws = 0
        engine.place(model)
        self.dtype = next((p.dtype for p in model.parameters()), None)
        objectives = model.objectives() if supports(model, Trains) else ()
        self.players = make_players(objectives, config) if objectives else []
        self.per_step = sum(player.objective.repeats for player in self.players)
        assert self.config.batch_size is not None
        self.batch_size = self.config.batch_size
        self.sampler = Sampler(len(data.train), self.batch_size, config.seed)
        is_game = supports(model, Criticises) and len(self.players) > 1
        self.game = GameWatch() if is_game else None
        self.fidelity = self._fidelity() if is_game else None
        self.ema, self.best = Ema(config.ema if self.players else 0.0), KeepBest()
        self.watch = self.game or ExplosionWatch()
        self.rollback = Rollback(config.rollbacks if self.players else 0)
        own: list[Hook] = [Schedule(), GradientWatch(config.clip), self.ema, Journal()]
        own += [Crowding(), CollapseWatch(), *([self.best] if config.keep_best else [])]
        own += [self.rollback, self.watch] if self.players else []
        self.hooks = Hooks([*own, *hooks])

    def _fidelity(self) -> Fidelity | None:
        """Return what scores samples, where there are two valid examples to compare with."""
        valid = len(self.data.splits["valid"]) if "valid" in self.data.splits else 0
        n = samples_for(self.config, self.per_step, valid)
        return Fidelity(self.data, n, self.config.seed) if n > 1 else None

    def to_model(self, batch: Batch) -> Batch:
        """Return a batch on the device, without conditions if the model takes none."""
        y = batch.y if self.model.spec.is_conditional else None
        return Batch(batch.x, y, batch.known).to(self.engine.device)

    def next_batch(self) -> tuple[Batch, BatchNoise]:
        """Return this process's part of the next global batch, and noise for it.

        Both depend on the seed, the step and the number of batches drawn in it, and on nothing
        else.
        """
        index = self.step * self.per_step + self._draws
        self._draws = (self._draws + 1) % self.per_step
        engine, seed = self.engine, self.config.seed
        n = self.batch_size // engine.world
        rows = self.sampler.batch(index)[engine.rank * n : (engine.rank + 1) * n]
        batch = self.data.train.batch(rows, generator=generator_of(seed, 2, index))
        noise = BatchNoise(
            n,
            generator_of(seed, 3, index),
            rank=engine.rank,
            world=engine.world,
            device=engine.device,
            **({"dtype": self.dtype} if self.dtype is not None else {}),
        )
        return self.to_model(batch), noise

    def abandon_step(self) -> None:
        """Count a step that was not finished, so that the next one has other batches and noise."""
        self.step, self._draws = self.step + 1, 0

    def goes_on(self) -> bool:
        """Say whether there is budget left, nobody asked to stop, and the game is not given up."""
        return (
            not (self.stopped_by or self.rollback.ended)
            and self.config.progress(self.step, self.elapsed) < 1
        )

    def look_at_clock(self) -> None:
        """Agree with the other processes on the time, on signals and on what is due."""
        training = self.clock.training
        due = sum(self.clock.seconds.values()) - self._saved_at >= self.config.checkpoint_every
        said = self.engine.agree((training, self.interrupts.received, due))
        self.elapsed, self.stopped_by, self.checkpoint_is_due = said[0], int(said[1]), bool(said[2])

    @property
    def evaluation_is_due(self) -> bool:
        """Whether to score the valid split now: by steps if they are the budget, else by time."""
        if self.config.steps is not None:
            return self.step % self.config.evaluation_interval == 0
        return self.elapsed >= self.next_evaluation

    def evaluated(self, scores: dict[str, float], cost: float) -> None:
        """Take note of an evaluation that took ``cost`` seconds, by the first process's clock.

        Under a time budget the next one waits at least five times as long, so that evaluating
        never takes much more than a sixth of the whole; of games ten times as long.
        """
        (cost,) = self.engine.agree((cost,))  # the others draw no samples: less, and other moments
        self.scores, self.evaluated_at = scores, self.step
        wait = (5 if self.game is None else 10) * cost
        self.next_evaluation = self.elapsed + max(self.config.evaluation_interval, wait)

    def saved(self) -> None:
        """Take note of a checkpoint, written or read."""
        self._saved_at = sum(self.clock.seconds.values())
        self._saved = (self.step, self.evaluated_at)

    def has_news(self) -> bool:
        """Say whether anything happened since the last checkpoint."""
        return self._saved != (self.step, self.evaluated_at)

    def log(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write a line of metrics.jsonl; the first process does."""
        if self.metrics is not None:
            head = {"kind": kind, "step": self.step, "elapsed": round(self.elapsed, 4)}
            self.metrics.write({**head, **values})

    def note(self, text: str) -> None:
        """Say something on stderr; the first process does."""
        if self.engine.is_first:
            sys.stderr.write(f"{text}\n")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the model in evaluation mode and the averaged weights into it meanwhile."""
        training = self.model.training
        self.model.eval()
        try:
            with self.ema.swapped():
                yield
        finally:
            self.model.train(training)
