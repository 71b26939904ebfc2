"""Evaluations kept beside the run they belong to, so that a comparison can be taken up again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from genus.evaluation.cache import write_atomic
from genus.evaluation.scoring import FORMAT, Evaluation


def for_pictures(x: Tensor) -> Tensor:
    """Return the first samples, as many as a picture shows: 64 images, 400 points."""
    return x[: 64 if x.dim() == 4 else 400].contiguous()


def save_evaluation(folder: Path, evaluation: Evaluation, settings: dict[str, Any]) -> None:
    """Write an evaluation, with the settings it was made under, into a folder.

    The JSON is written last, so that a folder with one is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"nats": torch.from_numpy(np.array(evaluation.likelihood.nats))}
    if evaluation.drawn is not None:
        tensors["drawn"] = for_pictures(evaluation.drawn)
    if evaluation.restored is not None:
        tensors["restored"] = evaluation.restored.contiguous()
    if evaluation.known is not None:
        tensors["known"] = torch.from_numpy(evaluation.known)
    if evaluation.samples is not None and evaluation.samples.closest is not None:
        tensors["closest"] = evaluation.samples.closest.contiguous()
    (folder / "evaluation.json").unlink(missing_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for kind, png in evaluation.learned.items():
        write_atomic(folder / f"{kind}.png", png)
    write_atomic(folder / "evaluation.safetensors", save_safetensors(tensors))
    content = {
        "settings": settings,
        "learned": list(evaluation.learned),
        "evaluation": evaluation.to_json(),
    }
    write_atomic(folder / "evaluation.json", json.dumps(content, indent=1).encode())


def load_evaluation(folder: Path, settings: dict[str, Any]) -> Evaluation | None:
    """Return the evaluation kept in a folder, or None where it is to be made (again).

    It is taken only if it was made under the same settings by the same format.
    """
    record, arrays = folder / "evaluation.json", folder / "evaluation.safetensors"
    if not (record.is_file() and arrays.is_file()):
        return None
    try:
        content = json.loads(record.read_text())
        tensors = load_safetensors(arrays.read_bytes())
        names = content.get("learned", [])
        learned = {name: (folder / f"{name}.png").read_bytes() for name in names}
    except (ValueError, RuntimeError, FileNotFoundError):
        return None  # damaged: it costs only the time to evaluate once more
    same = content.get("settings") == settings
    if not same or content["evaluation"]["format"] != FORMAT:
        return None
    found = Evaluation.from_json(
        content["evaluation"],
        tensors["nats"].numpy(),
        tensors.get("drawn"),
        tensors.get("restored"),
        tensors["known"].numpy() if "known" in tensors else None,
    )
    found = replace(found, learned=learned)
    if found.samples is None:
        return found
    return replace(found, samples=replace(found.samples, closest=tensors.get("closest")))
