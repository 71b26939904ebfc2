"""Files kept between sessions, found by the content that made them and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from genus.data.places import cache_dir


def key_of(recipe: dict[str, Any]) -> str:
    """Return the hash of a recipe; whatever changes the result must stand in it."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]


def load(kind: str, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the notes stored under a key, or None.

    A file that is damaged is left out with a warning, so that it is made anew.
    """
    weights, notes = _paths(kind, key)
    if not (weights.is_file() and notes.is_file()):
        return None
    content = weights.read_bytes()
    try:
        stored = json.loads(notes.read_text())
        if stored["sha256"] == hashlib.sha256(content).hexdigest():
            return load_safetensors(content), stored["notes"]
        reason = "its sha256 differs from the one recorded"
    except (ValueError, KeyError, TypeError) as error:
        reason = f"its record cannot be read ({error})"
    warnings.warn(f"{weights} is damaged ({reason}) and is made anew", stacklevel=2)
    return None


def store(kind: str, key: str, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Keep tensors and notes under a key; a folder that cannot be written costs only a warning."""
    weights, record = _paths(kind, key)
    content = save_safetensors({name: tensor.contiguous() for name, tensor in tensors.items()})
    stored = {"sha256": hashlib.sha256(content).hexdigest(), "notes": notes}
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(weights, content)
        write_atomic(record, json.dumps(stored, indent=1).encode())
    except OSError as error:
        warnings.warn(f"cannot keep {weights} for the next time: {error}", stacklevel=2)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _paths(kind: str, key: str) -> tuple[Path, Path]:
    folder = cache_dir() / kind
    return folder / f"{key}.safetensors", folder / f"{key}.json"
