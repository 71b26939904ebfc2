"""Where the weights of the Inception network are, and how they are read without running them.

They are a pickle, and a pickle can run code when it is loaded. Here only tensors are read from it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genus.data.download import Remote, download
from genus.errors import DataError

ENVIRONMENT = "GENUS_INCEPTION"
"""Names a file with weights, before any other place."""
PUBLISHED = Remote(
    "weights-inception-2015-12-05-6726825d.pth",
    (
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
    ),
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    95_628_359,
)
"""The weights of 2015 that the Frechet Inception distance is defined by, as torch-fidelity has
them."""


def weights_path(progress: Callable[[str], None] | None = None) -> Path:
    """Return the file with the weights, which is fetched where it is not on this machine.

    It is the one that ``GENUS_INCEPTION`` names, else the published one in the folder where
    torch-fidelity keeps it.

    Args:
        progress: told before anything is fetched.

    Raises:
        DataError: ``GENUS_INCEPTION`` names no file, or the weights cannot be had.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        if not Path(named).is_file():
            raise DataError(
                f"{ENVIRONMENT}={named} is no file; let it name {PUBLISHED.file}, or unset it to "
                "use the copy of torch-fidelity"
            )
        return Path(named)
    # Where torch.hub puts what torch-fidelity fetches, so that neither fetches it twice.
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / PUBLISHED.file
    if path.is_file():
        return path
    if progress is not None:
        size = (PUBLISHED.bytes or 0) / 1e6
        progress(f"downloading the Inception weights, {size:.0f} MB, to {folder}")
    return download(
        PUBLISHED,
        folder,
        remedy=f"fetch it by other means and put it into {folder}, let {ENVIRONMENT} name it, or "
        "leave the Inception features out",
    )


def read_weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the weights in a file and whether they are the published ones.

    Raises:
        DataError: the file cannot be read, holds anything but finite tensors by name, or has the
            place and the name of the published one but not its contents.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    published = sha256 == PUBLISHED.sha256
    if path.name == PUBLISHED.file and not published:
        raise DataError(
            f"{path} has sha256 {sha256}, but the published weights of that name have "
            f"{PUBLISHED.sha256}; remove it and fetch it again, or, if other weights are meant, "
            f"give the file another name and let {ENVIRONMENT} name it"
        )
    return _tensors(path), published


def _tensors(path: Path) -> dict[str, Tensor]:
    remedy = f"save a state dict of tensors by torch.save, or name {PUBLISHED.file}"
    try:
        # Without `weights_only` a pickle may run any code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file the reader raises what it likes
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} does not hold weights alone ({reason}); {remedy}") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"{path} holds something else than tensors by name; {remedy}")
    broken = [name for name, value in content.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise DataError(f"{path} holds NaN or infinity in {', '.join(broken[:3])}; {remedy}")
    return {str(name): value for name, value in content.items()}


def digest_of(weights: dict[str, Tensor]) -> str:
    """Return a hash of weights, whatever the file that holds them.

    Example:
        >>> digest_of({"a": torch.zeros(2)}) == digest_of({"a": torch.zeros(3)})
        False
    """
    sha = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].contiguous()
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.numpy().tobytes())
    return sha.hexdigest()
