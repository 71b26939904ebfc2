"""From a run folder back to a model; nothing that is loaded is ever run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genus.config import build_config
from genus.errors import CheckpointError
from genus.registry import get
from genus.training.checkpoint import Checkpoint, newest_valid
from genus.training.engine import find_device
from genus.training.run_folder import RunFolder
from genus.training.tensors import from_file, load_weights
from genus.training.weights import averaged_tensors


def rebuild(run: Path | str) -> Any:
    """Return the model of a run with fresh weights, from its config.json.

    Raises:
        CheckpointError: there is no run, or config.json is damaged.
        VersionError: a newer genus wrote it.
        ConfigError: the model is not installed, or has other options by now.
    """
    config = RunFolder(run).read_config()
    cls = get(config.model)
    with torch.random.fork_rng(devices=[]):
        return cls(config.spec, build_config(cls.Config, config.options, config.model))


def load(run: Path | str, device: str = "cpu") -> Any:
    """Return the trained model of a run, in evaluation mode, in float32, on the processor.

    The weights are the averaged ones that scored best on the valid split. The file's sha256, its
    names, shapes and values are checked. A run that has not ended yields the weights of its
    newest sound checkpoint, with a warning.

    Args:
        run: the folder of a run.
        device: where it is to be instead: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        CheckpointError: there is no run, or a file of it is missing or damaged.
        VersionError: a newer genus wrote it.
        ConfigError: the model is not installed, or has other options by now; there is no such
            device.
    """
    place = find_device(device)
    folder = RunFolder(run)
    model = rebuild(folder.path)
    if not folder.manifest_file.is_file() or folder.read_manifest().get("status") != "finished":
        tensors, where = _unfinished(folder, model)
    else:
        digest = folder.read_manifest().get("files", {}).get(folder.weights_file.name)
        if digest is None:
            raise CheckpointError(
                f"{folder.manifest_file} has no sha256 of {folder.weights_file.name}, so nobody "
                "vouches for the weights; train again, or restore the manifest"
            )
        tensors, where = from_file(folder.weights_file, digest), str(folder.weights_file)
    load_weights(model, tensors, where)
    return model.to(place).eval()


def _unfinished(folder: RunFolder, model: Any) -> tuple[dict[str, Tensor], str]:
    """Return the weights that the run would have kept had it ended at its last checkpoint."""
    checkpoint = newest_valid(folder.state)
    if checkpoint is None:
        raise CheckpointError(f"{folder.path} has neither final weights nor a sound checkpoint")
    warnings.warn(
        f"{folder.path} is {folder.status}, not finished; these are the weights of step "
        f"{checkpoint.step}",
        stacklevel=3,
    )
    return weights_of(checkpoint, model), str(checkpoint.path)


def weights_of(checkpoint: Checkpoint, model: Any) -> dict[str, Tensor]:
    """Return the best weights of a checkpoint, else the averaged ones, else the raw ones."""
    best = checkpoint.part("hook/best//")
    if best:
        return best
    averages = checkpoint.part("hook/ema/")
    names = averaged_tensors(model)
    averaged = {name: averages[str(i)] for i, name in enumerate(names) if str(i) in averages}
    return checkpoint.part("model/") | averaged
