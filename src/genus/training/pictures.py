"""Grids of samples as PNG, always drawn from the same noise, so that steps can be compared."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genus.spec import Batch, Spec
from genus.training.atomic import write_bytes
from genus.training.sampler import generator_of

if TYPE_CHECKING:
    from pathlib import Path

    from genus.training.session import Session


PAIRS_BELOW = 16
"""Rows of a picture of pairs before further ones stand beside the first."""


def draw_samples(session: Session) -> tuple[Tensor, Batch | None]:
    """Return the samples of this moment: the same generator every time, classes in turn.

    A model that goes by images is given those of the first valid examples, which are returned as
    well; None for other models.
    """
    model, n = session.model, session.config.samples
    classes, pairs = model.spec.classes, None
    y = None if classes is None else torch.arange(n, device=session.engine.device) % classes
    if model.spec.condition is not None:
        split = session.data.splits.get("valid") or session.data.train
        pairs = split.batch(torch.arange(n) % len(split))
        y = session.to_model(pairs).y
    samples: Tensor = model.sample(n, y=y, generator=generator_of(session.config.seed, 4))
    return samples.cpu(), pairs


def spread(x: Tensor) -> float:
    """Return the standard deviation between examples, averaged over their entries."""
    return float(x.double().std(0, correction=0).mean())


def grid(x: Tensor, spec: Spec) -> npt.NDArray[np.uint8]:
    """Return images side by side, enlarged by whole factors until they can be seen.

    Args:
        x: ``(n, C, H, W)`` levels, or real numbers, which are stretched to their range.
        spec: what they are; of more than three channels the first is shown.

    Returns:
        ``(height, width, 3)`` bytes with white lines between the images.
    """
    return sheet(visible(x, spec), math.ceil(math.sqrt(len(x))))


def beside(y: Tensor, x: Tensor, original: Tensor | None, spec: Spec) -> npt.NDArray[np.uint8]:
    """Return for each condition a strip: the condition, what was made of it, and the original.

    Args:
        y: ``(n, C', H', W')``, brought to the size of the images by repeating pixels.
        x: ``(n, k, C, H, W)``, k samples of each.
        original: ``(n, C, H, W)``, or None.
        spec: what the samples are.
    """
    enlarged = torch.nn.functional.interpolate(y.double(), spec.shape[1:], mode="nearest")
    drawn = visible(x.flatten(0, 1), spec)
    strips = [visible(enlarged, spec).unsqueeze(1), drawn.view(*x.shape[:2], *drawn.shape[1:])]
    strips += [] if original is None else [visible(original, spec).unsqueeze(1)]
    tiles = torch.cat(strips, 1)
    return sheet(tiles.flatten(0, 1), tiles.shape[1] * math.ceil(len(y) / PAIRS_BELOW))


def visible(x: Tensor, spec: Spec) -> Tensor:
    """Return images as ``(n, 3, height, width)`` bytes, enlarged until they can be seen.

    Args:
        x: ``(n, C, H, W)`` levels, or real numbers, which are stretched to their range.
        spec: what they are; of 2 or more than 3 channels the first is shown.
    """
    low, high = (0.0, spec.levels - 1.0) if spec.levels else (float(x.min()), float(x.max()))
    scaled = (x.double() - low) / max(high - low, 1e-12) * 255
    pixels = scaled.round().clamp(0, 255).to(torch.uint8)
    pixels = pixels if pixels.shape[1] == 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    factor = max(1, 48 // max(spec.shape[1:]))
    return pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def sheet(pixels: Tensor, columns: int) -> npt.NDArray[np.uint8]:
    """Return pictures ``(n, 3, height, width)`` in rows, with white lines between them."""
    missing = -len(pixels) % columns
    framed = torch.nn.functional.pad(pixels, (1, 1, 1, 1), value=255)
    framed = torch.cat([framed, framed.new_full((missing, *framed.shape[1:]), 255)])
    n, channels, height, width = framed.shape
    tiles = framed.view(n // columns, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    picture: npt.NDArray[np.uint8] = tiles.flatten(0, 1).flatten(1, 2).contiguous().numpy()
    return picture


def save_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Put a picture in place as a whole."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
