"""Checkpoints: everything that a run needs to go on to the bit, written as a whole or not at all.

``state/step-00000123/`` holds ``state.safetensors`` (weights, averages, best weights, optimisers,
random states), ``state.json`` (counters, scores, what hooks remember) and ``manifest.json`` (the
sha256 of both). The folder appears by a rename, so there never is half of one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from genus.errors import CheckpointError, TrainingError, VersionError
from genus.training import rng
from genus.training.atomic import remove, sha256, sha256_of, to_json, write_durably, write_folder
from genus.training.hooks import split_state
from genus.training.tensors import check_finite, from_file, load_weights, to_bytes

if TYPE_CHECKING:
    from genus.training.session import Session

FORMAT = 1
_DAMAGED = "damaged-"


class CheckpointWarning(UserWarning):
    """A checkpoint cannot be used and an older one is."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Args:
        path: the folder.
        tensors: by names that begin with "model/", "optim/", "rng/" or "hook/".
        state: counters, clocks, scores and what hooks remember.
    """

    path: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates that had been made."""
        return int(self.state["step"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name begins with ``prefix``, without it."""
        size = len(prefix)
        return {k[size:]: value for k, value in self.tensors.items() if k.startswith(prefix)}


def folder_for(state: Path, step: int) -> Path:
    """Return a new folder for a step's checkpoint; its name sorts behind all older ones."""
    taken = len(list(state.glob(f"step-{step:08d}*")))
    return state / (f"step-{step:08d}-{taken:03d}" if taken else f"step-{step:08d}")


def save(session: Session) -> None:
    """Write a checkpoint and drop the oldest; every process calls it, the first one writes.

    Raises:
        TrainingError: the weights are not finite, or the disk is full; the older ones are intact.
        CheckpointError: the folder cannot be written to.
    """
    if not session.has_news():
        return
    with session.clock.doing("checkpoint"):
        session.saved()
        states = {name: session.engine.gather(value) for name, value in rng.states().items()}
        own = {name: session.engine.gather(value) for name, value in _own_buffers(session)}
        if session.engine.is_first:
            _write(session, states, own)
        session.engine.barrier()


def _own_buffers(session: Session) -> list[tuple[str, Tensor]]:
    """Return what each of several processes may have of its own, such as chains of samples."""
    if session.engine.world == 1:
        return []
    kept = session.model.state_dict()
    return [(name, value) for name, value in session.model.named_buffers() if name in kept]


def _write(session: Session, states: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    tensors = {f"model/{name}": value for name, value in session.model.state_dict().items()}
    _refuse_broken(session, tensors)
    tensors |= {f"rng/{name}": value for name, value in states.items()}
    tensors |= {f"own/{name}": value for name, value in own.items() if (value != value[0]).any()}
    for index, player in enumerate(session.players):
        tensors |= {f"optim/{index}/{name}": v for name, v in player.state_dict().items()}
    remembered = {}
    for name, state in session.hooks.state_dicts().items():
        found, remembered[name] = split_state(state)
        tensors |= {f"hook/{name}/{key}": value for key, value in found.items()}
    state = _counters(session) | {"hooks": remembered}
    files = {"state.safetensors": to_bytes(tensors), "state.json": to_json(state)}
    files["manifest.json"] = to_json(_manifest(files))

    def fill(folder: Path) -> None:
        for name, data in files.items():
            write_durably(folder / name, data)

    write_folder(folder_for(session.folder.state, session.step), fill)
    for old in find(session.folder.state)[session.config.keep :]:
        remove(old)


def _refuse_broken(session: Session, tensors: Mapping[str, Tensor]) -> None:
    weights = {name.removeprefix("model/"): value for name, value in tensors.items()}
    try:
        check_finite(weights, session.model, f"the model at step {session.step}")
    except CheckpointError as error:
        raise TrainingError(
            f"{error}; no checkpoint was made of it and the last one is kept: lower learning_rate"
        ) from error


def _counters(session: Session) -> dict[str, Any]:
    return {
        "step": session.step,
        "seconds": session.clock.seconds,
        "elapsed": session.elapsed,
        "next_evaluation": session.next_evaluation,
        "evaluated_at": session.evaluated_at,
        "scores": session.scores,
        "metrics_bytes": session.metrics.sync() if session.metrics else 0,
    }


def _manifest(files: Mapping[str, bytes]) -> dict[str, Any]:
    entries = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()}
    return {"format": FORMAT, "files": entries}


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Bring a session to where a checkpoint was taken.

    Raises:
        CheckpointError: it belongs to another model, or to other hooks.
    """
    state = checkpoint.state
    load_weights(session.model, checkpoint.part("model/"), str(checkpoint.path))
    mine = checkpoint.part("own/")
    for name, buffer in session.model.named_buffers():
        if name in mine:
            buffer.copy_(mine[name][session.engine.rank])
    for index, player in enumerate(session.players):
        player.load_state_dict(checkpoint.part(f"optim/{index}/"))
    names = {name.split("/")[1] for name in checkpoint.tensors if name.startswith("hook/")}
    states = {n: {**checkpoint.part(f"hook/{n}/")} for n in names | state["hooks"].keys()}
    session.hooks.load_state_dicts({n: s | state["hooks"].get(n, {}) for n, s in states.items()})
    own = {name: value[session.engine.rank] for name, value in checkpoint.part("rng/").items()}
    rng.restore(own)
    session.step, session.elapsed = state["step"], state["elapsed"]
    session.clock.seconds = dict(state["seconds"])
    session.next_evaluation, session.evaluated_at = state["next_evaluation"], state["evaluated_at"]
    session.scores = {name: float(value) for name, value in state["scores"].items()}
    session.saved()


def find(state: Path) -> list[Path]:
    """Return the folders of checkpoints, newest first, sound or not."""
    return sorted((path for path in state.glob("step-*") if path.is_dir()), reverse=True)


def read(folder: Path) -> Checkpoint:
    """Return a checkpoint after checking every byte of it.

    Raises:
        VersionError: a newer genus wrote it.
        CheckpointError: something is missing or damaged.
    """
    manifest = load_json(folder / "manifest.json")
    check_format(manifest, folder)
    files = manifest.get("files", {})
    for name in ("state.json", "state.safetensors"):
        if name not in files or not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing")
    if sha256_of(folder / "state.json") != files["state.json"]["sha256"]:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: its sha256 is wrong")
    tensors = from_file(folder / "state.safetensors", files["state.safetensors"]["sha256"])
    return Checkpoint(folder, tensors, load_json(folder / "state.json"))


def newest_valid(state: Path) -> Checkpoint | None:
    """Return the newest sound checkpoint, or None where there is none.

    Warns:
        CheckpointWarning: for every newer one that is damaged.

    Raises:
        VersionError: a newer genus wrote one of them, so it is not damaged.
    """
    for folder in find(state):
        try:
            return read(folder)
        except VersionError:
            raise
        except CheckpointError as error:
            warnings.warn(
                f"checkpoint {folder.name} cannot be used: {error}. Falling back to the one before",
                CheckpointWarning,
                stacklevel=2,
            )
    return None


def set_aside(state: Path, sound: Checkpoint | None) -> None:
    """Rename the damaged checkpoints that are newer than the sound one, so none is lost."""
    for folder in find(state):
        if sound is not None and folder.name <= sound.path.name:
            return
        place = folder.with_name(_DAMAGED + folder.name)
        remove(place)
        folder.rename(place)


def check_format(record: Mapping[str, Any], path: Path) -> None:
    """Check the format number of a JSON file of ours.

    Raises:
        VersionError: it is newer than what this genus knows.
        CheckpointError: there is no number.
    """
    number = record.get("format")
    if not isinstance(number, int):
        raise CheckpointError(f"{path} has no format number; was it written by genus?")
    if number > FORMAT:
        raise VersionError(
            f"{path} has format {number}, and this genus reads up to {FORMAT}; upgrade genus "
            f"(it was written by {record.get('genus', 'a newer version')})"
        )


def load_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, or raise `CheckpointError`."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return value
