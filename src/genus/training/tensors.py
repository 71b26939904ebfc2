"""Reading and checking safetensors: they load flipped bytes and NaN without complaint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from genus.errors import CheckpointError
from genus.training.atomic import sha256

_PICKLES = {b"\x80": "a pickle", b"PK": "a zipped pickle, as torch.save writes it"}


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors in the safetensors format; each gets storage of its own."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data: bytes = safetensors.torch.save(plain, metadata={"format": "pt"})
    return data


def from_file(path: Path, digest: str | None) -> dict[str, Tensor]:
    """Return the tensors of a file.

    Args:
        path: a safetensors file.
        digest: the sha256 that it must have; None is for files that nobody vouches for.

    Raises:
        CheckpointError: it is missing, is not safetensors, or has another digest. A pickle is
            never run.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    data = path.read_bytes()
    for start, what in _PICKLES.items():
        if data.startswith(start) and data[8:9] != b"{":
            raise CheckpointError(
                f"{path} is {what}: opening one can run any program, so it was not opened; "
                "genus reads safetensors only, convert it where you trust it"
            )
    if digest is not None and sha256(data) != digest:
        raise CheckpointError(
            f"{path} is damaged: its sha256 is {sha256(data)[:16]}..., the manifest says "
            f"{digest[:16]}...; copy it again from where it came"
        )
    try:
        loaded: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    return loaded


def check_finite(tensors: Mapping[str, Tensor], model: nn.Module, where: str) -> None:
    """Check that weights have values.

    Infinity is allowed in buffers, where masks and logarithms of zero live.

    Raises:
        CheckpointError: naming every tensor with NaN, or infinite parameters.
    """
    parameters = {name for name, _ in model.named_parameters()}
    wrong = [name for name, value in tensors.items() if not _is_sound(value, name in parameters)]
    if wrong:
        raise CheckpointError(f"{where} has NaN or infinity in {', '.join(sorted(wrong)[:5])}")


def _is_sound(value: Tensor, is_parameter: bool) -> bool:
    if not value.is_floating_point():
        return True
    return bool(torch.isfinite(value).all() if is_parameter else ~torch.isnan(value).any())


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a model, each into its place.

    Raises:
        CheckpointError: names or shapes differ, all of them listed, or values are not finite.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    problems = [f"{name} is missing" for name in sorted(own.keys() - given.keys())]
    problems += [f"{name} is not in this model" for name in sorted(given.keys() - own.keys())]
    problems += [
        f"{name} has shape {given[name]}, this model's has {own[name]}"
        for name in sorted(own.keys() & given.keys())
        if own[name] != given[name]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{where} is of another model: {'; '.join(problems[:5])}{more}")
    check_finite(tensors, model, where)
    model.load_state_dict(dict(tensors))
