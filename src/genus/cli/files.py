"""Files of samples, whole or absent, that say how they were made."""

# Shapes: N samples, C channels, H height, W width.
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from genus.spec import Spec

SUFFIXES = (".png", ".npy", ".npz")
"""What a file of samples may end with."""
MOST_PIXELS = 2**26
"""The largest picture that is written."""
RECIPE = "genus"
"""Keyword of the PNG text chunk, and name of the entry of an .npz, that hold the recipe."""


def check_drawable(n: int, spec: Spec) -> None:
    """Check that so many examples fit one picture.

    Raises:
        UsageError: they are no images, or too many.
    """
    if not spec.is_image:
        raise UsageError(f"{spec} is no image; write numbers instead, for example -o samples.npz")
    _, height, width = spec.shape
    if n * height * width > MOST_PIXELS:
        most = max(1, MOST_PIXELS // (height * width))
        raise UsageError(
            f"-n {n:,} is too many for one picture, which takes {most:,} such images; draw fewer, "
            "or write numbers instead, for example -o samples.npz"
        )


def save(path: Path, x: Tensor, y: Tensor | None, spec: Spec, recipe: dict[str, Any]) -> str:
    """Write examples as ``.png``, ``.npy`` or ``.npz``, whichever the name ends with.

    Args:
        path: where to.
        x: ``(N, *shape)``.
        y: ``(N,)`` labels that were asked for, or None; only ``.npz`` holds them.
        spec: what an example is.
        recipe: how they were made; ``.png`` and ``.npz`` carry it.

    Returns:
        The sha256 of the file.
    """
    from genus.training.atomic import write_bytes

    kind = path.suffix.lower()
    if kind == ".png":
        data = _png(x, spec, recipe)
    elif kind == ".npy":
        data = _npy(x, spec)
    else:
        data = _npz(x, y, spec, recipe)
    return write_bytes(path, data)


def _png(x_NCHW: Tensor, spec: Spec, recipe: dict[str, Any]) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from genus.training.pictures import grid

    text = PngInfo()
    text.add_text(RECIPE, json.dumps(recipe))
    buffer = io.BytesIO()
    Image.fromarray(grid(x_NCHW, spec)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def _numbers(x: Tensor, spec: Spec) -> Any:
    """Return an array of the smallest usual type that holds the values."""
    if not spec.is_discrete:
        return x.float().numpy()
    return x.numpy().astype("uint8" if spec.levels_or_raise <= 256 else "int64")


def _npy(x: Tensor, spec: Spec) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, _numbers(x, spec), allow_pickle=False)
    return buffer.getvalue()


def _npz(x: Tensor, y: Tensor | None, spec: Spec, recipe: dict[str, Any]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    entries = {"x": _numbers(x, spec), RECIPE: np.array(json.dumps(recipe))}
    if y is not None:
        entries["y"] = y.numpy()
    np.savez_compressed(buffer, **entries)
    return buffer.getvalue()
