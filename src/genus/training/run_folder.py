"""The folder of a run, which explains itself.

::

    config.json        what rebuilds the model, and how it was trained
    manifest.json      status, versions, seed, command, data digest, seconds, sha256 of every file
    metrics.jsonl      losses and scores
    model.safetensors  the final weights, once there are some
    samples/           grids of samples by step
    state/             checkpoints, and the lock
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from genus import __version__
from genus.config import to_json
from genus.errors import CheckpointError, raise_all
from genus.spec import Spec
from genus.training import checkpoint
from genus.training.atomic import explained, plain, sha256_of, sweep, write_json
from genus.training.config import TrainConfig
from genus.training.metrics import read_metrics

if TYPE_CHECKING:
    from genus.data.base import DataSet

FORMAT = checkpoint.FORMAT

_PLACES = ("data.source.name_or_path", "data.source.root")
"""Where the data lie; which they are their digest says."""
_FREE = (
    "genus", "training.checkpoint_every", "training.keep", "training.log_every", *_PLACES,
)  # fmt: skip
"""What may differ between a run and its resumption, because it does not touch the weights."""


@dataclass(frozen=True)
class RunConfig:
    """What config.json says.

    Args:
        model: the registered name.
        options: the model's configuration.
        spec: what it was built for.
        training: how it was trained.
        data: name, digest and what `genus.data.load_data` needs to load the set again.
        genus: the version that wrote it.
    """

    model: str
    options: dict[str, Any]
    spec: Spec
    training: TrainConfig
    data: dict[str, Any]
    genus: str


def describe(model: Any, data: DataSet, config: TrainConfig) -> dict[str, Any]:
    """Return what config.json should say of a run."""
    dtype = next((str(p.dtype) for p in model.parameters()), "torch.float32")
    options = to_json(model.config)
    record = {
        "format": FORMAT,
        "genus": __version__,
        "model": {"name": model.name, "config": options, "dtype": dtype.removeprefix("torch.")},
        "spec": model.spec.to_json(),
        "training": to_json(config),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "rows": {name: len(split) for name, split in data.splits.items()},
            "source": dict(data.source),
        },
    }
    # As it will be read back: tuples become lists, paths become strings.
    return cast(dict[str, Any], json.loads(json.dumps(plain(record), default=str)))


class RunFolder:
    """A run on disk.

    Args:
        path: its folder; it need not exist yet.

    Example:
        >>> RunFolder("runs/none").status
        'none'
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.state = self.path / "state"
        self.samples = self.path / "samples"
        self.config_file = self.path / "config.json"
        self.manifest_file = self.path / "manifest.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.weights_file = self.path / "model.safetensors"

    def sample(self, step: int) -> Path:
        """Return where the sample grid of a step is."""
        return self.samples / f"step-{step:08d}.png"

    @property
    def exists(self) -> bool:
        """Whether there is a run here."""
        return self.config_file.is_file()

    def read_config(self) -> RunConfig:
        """Return what config.json says.

        Raises:
            VersionError: a newer genus wrote it.
            CheckpointError: there is none, or it is damaged.
        """
        record = self._record(self.config_file)
        try:
            return RunConfig(
                model=record["model"]["name"],
                options=record["model"]["config"],
                spec=Spec.from_json(record["spec"]),
                training=TrainConfig(**record["training"]),
                data=record["data"],
                genus=record["genus"],
            )
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{self.config_file} is damaged: {error!r}") from error

    def read_manifest(self) -> dict[str, Any]:
        """Return what manifest.json says.

        Raises:
            VersionError: a newer genus wrote it.
            CheckpointError: there is none, or it is damaged.
        """
        return self._record(self.manifest_file)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        return read_metrics(self.metrics_file)

    def _record(self, path: Path) -> dict[str, Any]:
        if not self.exists:
            raise CheckpointError(f"{self.path} is not a run: it has no config.json")
        record = checkpoint.load_json(path)
        checkpoint.check_format(record, path)
        return record

    @property
    def status(self) -> str:
        """What the run is, found out rather than believed.

        "none", "running", "crashed" (it says running, but nobody does), "interrupted", "failed"
        or "finished"; all but the first two and the last can be resumed.
        """
        if not self.exists:
            return "none"
        if self.holder() is not None:
            return "running"
        if not self.manifest_file.is_file():
            return "crashed"
        said = str(self.read_manifest().get("status"))
        return "crashed" if said == "running" else said

    # Writing

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the run meanwhile.

        The lock belongs to the process: it is free again when that dies, however it dies.

        Raises:
            CheckpointError: another process has it, or the folder cannot be written to.
        """
        import fcntl

        with explained(self.path):
            self.state.mkdir(parents=True, exist_ok=True)
            file = (self.state / "lock").open("a+")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(
                    f"{self.path} is being trained by process {self._named() or '(unknown)'}; "
                    "wait for it, stop it, or choose another folder (--out)"
                ) from error
            with explained(self.path):
                _fill(file, str(os.getpid()))
            try:
                yield
            finally:
                _fill(file, "")

    def _named(self) -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.state / "lock").read_text())
        return None

    def holder(self) -> int | None:
        """Return the process that trains the run now, or None."""
        pid = self._named()
        try:
            if pid is not None:
                os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:  # it lives, under another user
            return pid
        return pid

    def begin(self, record: Mapping[str, Any]) -> None:
        """Write the configuration of a new run."""
        self.samples.mkdir(exist_ok=True)
        write_json(self.config_file, record)

    def sweep(self) -> None:
        """Delete what a dead process left half written."""
        for folder in (self.path, self.samples, self.state):
            sweep(folder)

    def check_same(self, record: Mapping[str, Any]) -> None:
        """Check that a run is to be resumed as it was begun.

        Raises:
            CheckpointError: listing every difference.
        """
        old, new = _flat(self._record(self.config_file)), _flat(record)
        differences = [
            f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key) and key not in _FREE
        ]
        heading = (
            f"cannot resume {self.path}, because it would not be the same run (begin a new one "
            "in another folder, or put these back):"
        )
        raise_all(CheckpointError, heading, differences)

    def follow_data(self, record: Mapping[str, Any]) -> None:
        """Take note of where the data are now, if they were moved; they are found there later."""
        old = self._record(self.config_file)
        if old["data"] != record["data"]:
            write_json(self.config_file, {**old, "data": record["data"]})

    def write_manifest(self, status: str, facts: Mapping[str, Any], *, hashes: bool = True) -> None:
        """Write manifest.json: the facts, the versions and the sha256 of every file."""
        old = self.read_manifest() if self.manifest_file.is_file() else {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {
            "format": FORMAT,
            "status": status,
            "started": old.get("started", now),
            "updated": now,
            "command": sys.argv,
            "versions": versions(),
            **facts,
            "files": self._hashes() if hashes else {},
        }
        write_json(self.manifest_file, record)

    def _hashes(self) -> dict[str, str]:
        named = [self.config_file, self.metrics_file, self.weights_file]
        paths = [*named, *sorted(self.samples.glob("*.png"))]
        return {str(p.relative_to(self.path)): sha256_of(p) for p in paths if p.is_file()}


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("torch", "numpy", "safetensors", "lightning-fabric")
    found = {name: version(name) for name in packages}
    return {"genus": __version__, "python": platform.python_version(), **found}


def free_folder(path: Path | str) -> Path:
    """Return a folder that does not exist or is empty: ``path``, else ``path-2`` and so on."""
    wanted = Path(path)
    candidate, number = wanted, 2
    while candidate.exists() and (not candidate.is_dir() or any(candidate.iterdir())):
        candidate, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return candidate


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dots in the keys."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _fill(file: Any, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
