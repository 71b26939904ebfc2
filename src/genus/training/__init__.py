"""Training: one loop for every model that learns, and the folder that a run leaves behind."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Names are resolved when first used: the command line reads TrainConfig without torch.
_EXPORTS = {
    "TrainConfig": "config",
    "TrainingInterrupted": "interrupts",
    "Hook": "hooks",
    "RunFolder": "run_folder",
    "RunConfig": "run_folder",
    "free_folder": "run_folder",
    "CheckpointWarning": "checkpoint",
    "RunResult": "runner",
    "train": "runner",
    "load": "loading",
    "rebuild": "loading",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from genus.training.checkpoint import CheckpointWarning as CheckpointWarning
    from genus.training.config import TrainConfig as TrainConfig
    from genus.training.hooks import Hook as Hook
    from genus.training.interrupts import TrainingInterrupted as TrainingInterrupted
    from genus.training.loading import load as load
    from genus.training.loading import rebuild as rebuild
    from genus.training.run_folder import RunConfig as RunConfig
    from genus.training.run_folder import RunFolder as RunFolder
    from genus.training.run_folder import free_folder as free_folder
    from genus.training.runner import RunResult as RunResult
    from genus.training.runner import train as train


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'genus.training' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"genus.training.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value
