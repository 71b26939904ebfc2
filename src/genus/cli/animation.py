"""Images being drawn, as an animated GIF.

What has been drawn is never changed, so a moment of the drawing is the finished image without what
comes later in the order: the frames need the samples and the order, and nothing else.
"""

# Shapes: N images, C colours, H height, W width, D entries; a picture is (rows, columns).
from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genus.cli.pictures import MISSING
from genus.training.pictures import sheet, visible

if TYPE_CHECKING:
    from genus.spec import Spec

FRAMES = 200
"""The most frames; the last byte, 255, stands for the lines between the images."""
LINE = 255
MILLISECONDS = 6_000
"""How long the drawing takes."""
HOLD = 2_000
"""How long the finished images stay, in milliseconds."""
WIDE = 400
"""Smaller pictures are enlarged by a whole factor to about this width."""
COLOURS = 255
"""Colours of a GIF besides that of what is not drawn yet."""

Picture = NDArray[np.uint8]


def gif(x: Tensor, spec: Spec, order: Tensor, recipe: dict[str, Any]) -> bytes:
    """Return an animated GIF of images that are drawn pixel by pixel, over and over.

    Args:
        x: ``(N, C, H, W)`` finished images.
        spec: what they are.
        order: ``(D,)``, the flat index of the entry at each position of the order.
        recipe: how they were made, as the file's comment.
    """
    pixels = visible(x, spec)
    appears = sheet(_appears(pixels, spec, order), _columns(x))[:, :, 0]
    colours, palette = _few_colours(sheet(pixels, _columns(x)))
    last = int(appears[appears < LINE].max())
    factor = max(1, WIDE // colours.shape[1])
    frames = _frames(_enlarged(colours, factor), _enlarged(appears, factor), last, palette)
    pause = max(20, MILLISECONDS // last // 10 * 10)
    buffer = io.BytesIO()
    next(frames).save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=[pause] * last + [HOLD],
        loop=0,
        comment=json.dumps(recipe).encode(),
    )
    return buffer.getvalue()


def _enlarged(picture: Picture, factor: int) -> Picture:
    return picture.repeat(factor, 0).repeat(factor, 1)


def _columns(x: Tensor) -> int:
    return int(np.ceil(np.sqrt(len(x))))


def _appears(pixels_N3HW: Tensor, spec: Spec, order: Tensor) -> Tensor:
    """Return the frame in which each pixel appears, in the shape of the pictures."""
    _, height, width = spec.shape
    position_D = torch.empty(spec.dims, dtype=torch.long)
    position_D[order.cpu()] = torch.arange(spec.dims)
    # A pixel is shown when its last colour has been drawn.
    done_HW = position_D.view(spec.shape).amax(0)
    frames = min(FRAMES, height * width)
    frame_HW = (done_HW * frames // spec.dims + 1).to(torch.uint8)
    factor = pixels_N3HW.shape[2] // height
    wide = frame_HW.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    return wide.expand(len(pixels_N3HW), 3, -1, -1)


def _few_colours(picture: Picture) -> tuple[Picture, bytes]:
    """Return a picture as indices from 1, and the palette; 0 is what is not drawn yet."""
    flat = picture.reshape(-1, 3)
    colours, index = np.unique(flat, axis=0, return_inverse=True)
    if len(colours) > COLOURS:
        reduced = Image.fromarray(picture).quantize(COLOURS, dither=Image.Dither.NONE)
        index = np.asarray(reduced)
        colours = np.asarray(reduced.getpalette(), np.uint8).reshape(-1, 3)[:COLOURS]
    palette = np.concatenate([[MISSING], colours]).astype(np.uint8)
    return (index.reshape(picture.shape[:2]) + 1).astype(np.uint8), palette.tobytes()


def _frames(colours: Picture, appears: Picture, last: int, palette: bytes) -> Iterator[Image.Image]:
    """Yield the picture before the first pixel, and after each step, one at a time."""
    for frame in range(last + 1):
        shown = (appears <= frame) | (appears == LINE)
        image = Image.fromarray(np.where(shown, colours, 0).astype(np.uint8))
        image.putpalette(palette)
        yield image
