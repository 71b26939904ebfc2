"""`train`: checks, the lock, one or several processes, and what is kept at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genus import registry
from genus.capabilities import Fits, Trains, supports
from genus.data.base import DataSet
from genus.data.labelled import alternate
from genus.errors import CheckpointError, ConfigError, DataError, SpecError
from genus.training import rng
from genus.training.atomic import explained, write_bytes
from genus.training.checkpoint import newest_valid, restore, save, set_aside
from genus.training.config import TrainConfig
from genus.training.engine import Engine, check_device, is_worker
from genus.training.first_look import initialise
from genus.training.fitting import fit, with_budget
from genus.training.hooks import Hook
from genus.training.interrupts import Interrupts, TrainingInterrupted
from genus.training.launch import run_workers
from genus.training.loading import load
from genus.training.loop import run
from genus.training.metrics import MetricsFile
from genus.training.optim import settled
from genus.training.progress import ProgressBar, wants_progress
from genus.training.run_folder import RunFolder, describe, free_folder
from genus.training.sampler import mixed
from genus.training.session import Session
from genus.training.tensors import check_finite, to_bytes
from genus.training.weights import DISTANCE, SCORE, snapshot


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        path: its folder.
        steps: updates, or iterations of a fit.
        seconds: by kind: "training", "evaluation", "sampling" and "checkpoint".
        score: nats per dimension on the valid split of the weights that were kept, or None for a
            model without a likelihood. Where entries are missing, nats per known entry.
        distance: Frechet distance of samples of these weights from the valid split, for an
            adversarial model, else None; see `genus.training.fidelity`.
        floor: what as many real examples would get.
        best_step: the step that these weights come from.
        parameters: how many numbers the model has learnt.
        rollbacks: how often the run went wrong and went back to its best weights.
        ended: why the run was given up before its budget was spent, or None.
    """

    path: Path
    steps: int
    seconds: Mapping[str, float]
    score: float | None
    best_step: int
    parameters: int
    distance: float | None = None
    floor: float | None = None
    rollbacks: int = 0
    ended: str | None = None


def train(
    model: Any,
    data: DataSet,
    out: Path | str,
    config: TrainConfig | None = None,
    *,
    hooks: Sequence[Hook] = (),
    resume: bool = False,
    progress: bool | None = None,
) -> RunResult:
    """Train a model on the train split of a data set and keep everything in a folder.

    Afterwards ``model`` holds the weights that were kept, in evaluation mode.

    Args:
        model: a registered model that trains by gradient or is fitted.
        data: what to train on; its Spec must be the model's, labels aside.
        out: the folder of the run; it must be empty or new, unless ``resume``.
        config: budgets and options; may be left out when resuming, and for a model that is fitted
            and so needs no budget.
        hooks: called besides the built-in ones; with several processes, in each of them.
        resume: go on from the newest sound checkpoint in ``out``.
        progress: show a bar; None shows one where stderr is a terminal.

    Returns:
        Where the run is, what it cost and how it scored.

    Raises:
        ConfigError: the model cannot be trained, or the device is not there.
        SpecError: the model was built for other data.
        CheckpointError: the folder holds another run, or is in use, or cannot be written to; or
            the run to be resumed was begun otherwise.
        TrainingError: the loss is not finite, or the disk is full.
        TrainingInterrupted: Ctrl-C or SIGTERM; the checkpoint is written.

    Example:
        >>> import genus, numpy, tempfile
        >>> from genus.data.base import ArraySplit, DataSet
        >>> spec = genus.Spec(shape=(1, 4, 4), levels=2)
        >>> half = ArraySplit(numpy.random.default_rng(0).integers(0, 2, (50, 1, 4, 4)))
        >>> data = DataSet("toy", spec, {"train": half, "valid": half}, "sha256:0")
        >>> model = genus.create("independent", spec)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = train(model, data, folder, TrainConfig(steps=5))
        ...     genus.load(folder).name, 0.5 < result.score < 0.7
        ('independent', True)
    """
    folder = RunFolder(out)
    if resume and not folder.exists:
        raise CheckpointError(f"there is no run in {out} to resume; leave resume (--resume) out")
    if config is None:
        begun = folder.read_config().training if resume else None
        config = begun or TrainConfig(**with_budget({}, model))
    check(model, data, config.processes)
    data = alternate(data) if model.spec.classes else data
    config = settled(config, model)
    check_device(config)
    if not resume:
        _check_new(folder)
    if is_worker():  # under torchrun, which has started one of us for each process
        return _as_worker(model, data, folder, config, hooks, resume, progress)
    with folder.locked():
        finished = _prepare(folder, describe(model, data, config), resume)
        if finished:
            steps = folder.read_manifest()["steps"]
            sys.stderr.write(f"{out} is finished already, at step {steps}\n")
        else:
            work = (model, data, folder, config, tuple(hooks), progress)
            if config.processes > 1:
                run_workers(train_here, work, config.processes)
            else:
                train_here(*work)
    return _result(folder, model)


def check(model: Any, data: DataSet, processes: int = 1) -> None:
    """Check that a model can be trained on a data set.

    Args:
        model: an instance.
        data: what it is to be trained on.
        processes: that share the examples.

    Raises:
        ConfigError: it neither trains nor fits, or has no name to be loaded by; or there are fewer
            examples than processes.
        SpecError: it was built for other data, or entries or labels are missing and it cannot do
            without.
        DataError: there is nothing to train on.
    """
    if not supports(model, Trains) and not supports(model, Fits):
        raise ConfigError(f"{type(model).__name__} can neither be trained nor fitted")
    if model.name == "unregistered":
        raise ConfigError(
            f"{type(model).__name__} has no name, so its run could not be loaded again; put "
            '@genus.register("name") before the class'
        )
    if model.spec not in (data.spec, data.spec.unconditional()):
        raise SpecError(f"the model was built for {model.spec}, but {data.name} has {data.spec}")
    registry.check_missing(model, data.missing, fit=True)
    registry.check_labelled(model, model.spec, data.labelled)
    if not len(data.train):
        raise DataError(f"the train split of {data.name} is empty")
    if len(data.train) < processes:
        raise ConfigError(
            f"processes={processes} is more than the {len(data.train)} training examples of "
            f"{data.name}, so that some would have none; use processes=1"
        )


def _prepare(folder: RunFolder, record: Mapping[str, Any], resume: bool) -> bool:
    """Get the folder ready and say whether the run is finished already.

    Raises:
        CheckpointError: the folder is not what it should be.
    """
    with explained(folder.path):
        if not resume:  # once more: another process may have been faster
            _check_new(folder)
        folder.sweep()
        if not folder.exists:
            folder.begin(record)
            folder.write_manifest("running", {}, hashes=False)
            return False
        folder.check_same(record)
        if folder.manifest_file.is_file() and folder.read_manifest()["status"] == "finished":
            return True
        folder.follow_data(record)
        set_aside(folder.state, newest_valid(folder.state))
        folder.write_manifest("running", {}, hashes=False)
    return False


def _check_new(folder: RunFolder) -> None:
    other = free_folder(folder.path)
    if folder.exists:
        finished = folder.manifest_file.is_file() and folder.read_manifest()["status"] == "finished"
        remedy = "" if finished else "go on with resume=True (--resume), or "
        raise CheckpointError(
            f"{folder.path} holds {'a finished' if finished else 'an unfinished'} run, which is "
            f"never overwritten; {remedy}choose another folder, such as {other} (--out)"
        )
    inside = sorted(folder.path.iterdir()) if folder.path.is_dir() else []
    foreign = [path.name for path in inside if path != folder.state]
    foreign = [name for name in foreign if not name.startswith(".tmp-") and name != "samples"]
    if foreign:
        raise CheckpointError(
            f"{folder.path} holds other files ({', '.join(foreign[:3])}); choose an empty or a new "
            f"folder, such as {other} (--out)"
        )


def _as_worker(
    model: Any,
    data: DataSet,
    folder: RunFolder,
    config: TrainConfig,
    hooks: Sequence[Hook],
    resume: bool,
    progress: bool | None,
) -> RunResult:
    """Train under a launcher from outside: the first process prepares the folder for all."""
    world = int(os.environ["WORLD_SIZE"])
    if world != config.processes:
        raise ConfigError(f"the launcher started {world} processes; set processes={world}")
    engine, finished = Engine(config, model.dtype), False
    with folder.locked() if engine.is_first else contextlib.nullcontext():
        if engine.is_first:
            finished = _prepare(folder, describe(model, data, config), resume)
        if not engine.agree([finished])[0]:  # the others wait here for the folder
            train_here(model, data, folder, config, tuple(hooks), progress)
    return _result(folder, model)


def train_here(
    model: Any,
    data: DataSet,
    folder: RunFolder,
    config: TrainConfig,
    hooks: tuple[Hook, ...],
    progress: bool | None,
) -> None:
    """Be one process of a run whose folder is ready."""
    engine = Engine(config, model.dtype)
    bars = [ProgressBar()] if engine.is_first and wants_progress(progress) else []
    # Of several processes the one that started them has said that it was asked to stop.
    with rng.preserved(), Interrupts(silent=engine.world > 1).installed() as interrupts:
        rng.seed_everything(mixed(config.seed) >> 32)
        session = Session(model, data, config, engine, folder, [*hooks, *bars], interrupts)
        status, facts = "failed", {}
        try:
            _begin(session)
            (run if session.players else fit)(session)
            status = "interrupted" if session.stopped_by else "finished"
        except TrainingInterrupted:
            status = "interrupted"
            raise
        except Exception as error:
            facts = {"reason": f"{type(error).__name__}: {error}"}
            raise
        finally:
            session.hooks.on_end(session)
            _close(session, status, facts)
    engine.close()
    if session.stopped_by:
        raise TrainingInterrupted(_resume_with(session), 128 + session.stopped_by)


def _begin(session: Session) -> None:
    """Bring the session to its newest checkpoint, or make the first one."""
    checkpoint = newest_valid(session.folder.state)
    if session.engine.is_first:
        size = checkpoint.state["metrics_bytes"] if checkpoint else 0
        session.metrics = MetricsFile(session.folder.metrics_file, size)
    if checkpoint is None:
        initialise(session)
        session.ema.attach(session.model)
        # What draws from the global generators, such as dropout, differs between processes.
        rng.seed_everything(mixed(session.config.seed, session.engine.rank) >> 32)
        save(session)
    else:
        session.ema.attach(session.model)
        restore(session, checkpoint)
        session.note(f"resuming {session.folder.path} at step {session.step}")
    session.hooks.on_start(session)


def _resume_with(session: Session) -> str:
    path, name = session.folder.path, session.model.name
    return (
        f"stopped at step {session.step}, with a checkpoint; resume with: "
        f"genus train {name} --data {session.data.name} --out {path} --resume"
    )


def _close(session: Session, status: str, facts: Mapping[str, Any]) -> None:
    """Write what is kept, and the manifest; the first process does."""
    if session.metrics is None:
        return
    try:
        with session.clock.doing("checkpoint"):
            if status == "finished":
                _keep(session)
            session.metrics.sync()
    finally:
        session.metrics.close()
    session.folder.write_manifest(status, {**_facts(session), **facts})


def _keep(session: Session) -> None:
    """Write the weights that scored best, else the averaged ones."""
    weights = session.best.best
    if not weights:
        with session.averaged():
            weights = snapshot(session.model)
    check_finite(weights, session.model, "the final model")
    write_bytes(session.folder.weights_file, to_bytes(weights))


def _facts(session: Session) -> dict[str, Any]:
    engine, config, data, best = session.engine, session.config, session.data, session.best
    return {
        "model": session.model.name,
        "data": {"name": data.name, "digest": data.digest},
        "seed": config.seed,
        "steps": session.step,
        "seconds": {kind: round(value, 3) for kind, value in session.clock.seconds.items()},
        "parameters": learnt(session.model),
        "score": _score(session),
        "best_step": best.step if best.best else session.step,
        "device": str(engine.device),
        "precision": engine.precision,
        "processes": engine.world,
        "threads": torch.get_num_threads(),
        "rollbacks": session.rollback.done,
        "ended_early": session.rollback.ended or None,
        "stopped_by": signal.Signals(session.stopped_by).name if session.stopped_by else None,
    }


def _score(session: Session) -> dict[str, Any] | None:
    """Return the score of the weights that are kept, and what is needed to read it."""
    name = DISTANCE if session.fidelity is not None else SCORE
    best = session.best
    kept = best.score if best.best else session.scores.get(name)
    if kept is None:
        return None
    said: dict[str, Any] = {name: kept, "split": "valid"}
    if session.fidelity is not None:
        told = {key: session.scores.get(key) for key in ("frechet_floor", "rows")}
        said |= {**told, "features": "random"}
    return said


def learnt(model: torch.nn.Module) -> int:
    """Return how many numbers a model learns: its weights, or its statistics if it is fitted."""
    statistics = [b for name, b in model.named_buffers() if b.is_floating_point()]
    return sum(tensor.numel() for tensor in (list(model.parameters()) or statistics))


def _result(folder: RunFolder, model: Any) -> RunResult:
    """Return what the manifest says, and put the kept weights into the caller's model."""
    manifest = folder.read_manifest()
    score = manifest["score"] or {}
    model.load_state_dict(load(folder.path).state_dict())
    model.eval()
    return RunResult(
        path=folder.path,
        steps=manifest["steps"],
        seconds=manifest["seconds"],
        score=None if SCORE not in score else float(score[SCORE]),
        best_step=manifest["best_step"],
        parameters=manifest["parameters"],
        distance=None if DISTANCE not in score else float(score[DISTANCE]),
        floor=score.get("frechet_floor"),
        rollbacks=manifest.get("rollbacks", 0),
        ended=manifest.get("ended_early"),
    )
