"""Files of samples, whole or absent, that say how they were made."""

# Shapes: N samples.
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
        from genus.training.pictures import grid

        data = png(grid(x, spec), recipe)
    elif kind == ".npy":
        data = _npy(x, spec)
    else:
        entries = {"x": numbers(x, spec)}
        data = npz(entries if y is None else {**entries, "y": y.numpy()}, recipe)
    return write_bytes(path, data)


def png(pixels: Any, recipe: dict[str, Any]) -> bytes:
    """Return an array ``(height, width, 3)`` of bytes as a PNG that carries its recipe."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(RECIPE, json.dumps(recipe))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def numbers(x: Tensor, spec: Spec) -> Any:
    """Return an array of the smallest usual type that holds the values."""
    if not spec.is_discrete:
        return x.float().numpy()
    return x.numpy().astype("uint8" if spec.levels_or_raise <= 256 else "int64")


def _npy(x: Tensor, spec: Spec) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, numbers(x, spec), allow_pickle=False)
    return buffer.getvalue()


def npz(arrays: dict[str, Any], recipe: dict[str, Any]) -> bytes:
    """Return arrays as an archive that carries its recipe."""
    import numpy as np

    buffer = io.BytesIO()
    entries: dict[str, Any] = {**arrays, RECIPE: np.array(json.dumps(recipe))}
    np.savez_compressed(buffer, **entries)
    return buffer.getvalue()
