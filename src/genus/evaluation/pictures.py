"""Samples as pictures in a page: grids of images, clouds of points."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genus.spec import Spec

_SIDE, _EDGE = 200, 8


def grid_png(x: Tensor, spec: Spec, columns: int = 8) -> bytes:
    """Return images in a grid as PNG, one pixel of the file for each pixel of the data.

    Args:
        x: ``(n, C, H, W)`` levels, or real numbers, which are stretched to their range.
        spec: what they are; of 2 or more than 3 channels the first is shown.
        columns: images in a row.
    """
    n, (channels, height, width) = len(x), spec.shape
    if spec.levels is not None:
        scaled = x.float() / (spec.levels - 1)
    else:
        low, high = x.float().min(), x.float().max()
        scaled = (x.float() - low) / (high - low).clamp(min=1e-12)
    pixels = (scaled * 255).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels if channels == 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    rows = math.ceil(n / columns)
    # What lies between the images is transparent, so it suits a light and a dark page.
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for index, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width, :3] = image
        sheet[top : top + height, left : left + width, 3] = 255
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that holds it, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


class Plane:
    """Shows vectors on two axes: their own two, or the first principal components of real data.

    Args:
        reference: ``(n, D)`` real examples, which fix the axes and the frame.
    """

    def __init__(self, reference: Tensor) -> None:
        values = reference.double()
        self.mean, deviation = values.mean(0), values.std(0)
        self.deviation = torch.where(deviation > 0, deviation, 1.0)
        self.axes = torch.eye(values.shape[1], dtype=torch.float64)[:, :2]
        if values.shape[1] > 2:
            _, _, directions = torch.linalg.svd(self._standard(values), full_matrices=False)
            self.axes = directions[:2].T
        self.reference = self._project(values)
        self.reach = float(self.reference.abs().max()) * 1.15 or 1.0

    def svg(self, x: Tensor, label: str) -> str:
        """Return samples over the real examples as an SVG element."""
        real = self._dots(self.reference, "real", 1.6)
        own = self._dots(self._project(x.double()), "own", 1.8)
        return (
            f'<svg class="cloud" viewBox="0 0 {_SIDE} {_SIDE}" role="img" '
            f'aria-label="{escape(label)}">{real}{own}</svg>'
        )

    def _standard(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def _project(self, values: Tensor) -> Tensor:
        plane = self._standard(values) @ self.axes
        return torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))

    def _dots(self, points: Tensor, name: str, radius: float) -> str:
        scale = (_SIDE / 2 - _EDGE) / self.reach
        inside = points[(points.abs() <= self.reach).all(1)][:400]
        return "".join(
            f'<circle class="{name}" r="{radius}" cx="{_SIDE / 2 + scale * a:.1f}" '
            f'cy="{_SIDE / 2 - scale * b:.1f}"/>'
            for a, b in inside.tolist()
        )
