"""Pictures with words on them: what `genus plot` and notebooks show."""

# Shapes: N pictures, H height, W width.
from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from genus.errors import SpecError
from genus.spec import Spec
from genus.training.atomic import write_bytes
from genus.training.pictures import sheet, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
"""Dots of an inch: a pixel of a sheet is a pixel of the file."""
SEEN = 56
"""Images are enlarged by whole factors while they stay within so many pixels."""
RECIPE = "genus"
"""Keyword of the PNG text chunk that holds the recipe, as in the files of samples."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, and what is worth knowing about it.

    Args:
        kind: what it shows.
        figure: of matplotlib; it belongs to no window.
        facts: plain values by name.
    """

    kind: str
    figure: Figure
    facts: dict[str, Any] = field(default_factory=dict)

    def png(self, recipe: dict[str, Any] | None = None) -> bytes:
        """Return the figure as a PNG; the same figure is the same file with the same libraries.

        Args:
            recipe: how it was made; the file carries it.
        """
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        drawn, buffer, text = io.BytesIO(), io.BytesIO(), PngInfo()
        self.figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
        if recipe is not None:
            text.add_text(RECIPE, json.dumps(recipe))
        # Without what is transparent nowhere, and packed better: files are half as large.
        Image.open(drawn).convert("RGB").save(buffer, "PNG", pnginfo=text, optimize=True)
        return buffer.getvalue()

    def save(self, path: Path | str) -> str:
        """Write the PNG as a whole and return its sha256."""
        return write_bytes(Path(path), self.png())

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        return self.png()


def check_images(what: str, spec: Spec) -> None:
    """Raise `SpecError` unless the data are images."""
    if not spec.is_image:
        raise SpecError(
            f"{what} are drawn as images, but the data are {spec}; latent-map and states show "
            "models of any data"
        )


def seen(x: Tensor, spec: Spec) -> Tensor:
    """Return examples as ``(N, 3, height, width)`` bytes, large enough to be seen.

    Args:
        x: ``(N, C, H, W)`` levels or means of levels; real numbers are stretched to their range,
            so that what is to be compared must come in one call.
        spec: what they are.
    """
    pixels = visible(x, spec)
    factor = max(1, SEEN // max(pixels.shape[2:]))
    return pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def tiles(
    pixels_N3HW: Tensor,
    columns: int,
    *,
    title: str,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Figure:
    """Return pictures in rows, pixel by pixel, with labels beside and below them.

    Args:
        pixels_N3HW: bytes.
        columns: pictures in a row.
        title: above them; lines may be broken by hand.
        row_labels: of the first rows.
        column_labels: of the first columns.
    """
    from matplotlib.figure import Figure

    whole = sheet(pixels_N3HW, columns)
    height, width, _ = whole.shape
    figure = Figure(figsize=(width / DPI, height / DPI))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(whole, interpolation="nearest")
    row, column = pixels_N3HW.shape[2] + 2, pixels_N3HW.shape[3] + 2
    axis.set_yticks([row * (i + 0.5) - 0.5 for i in range(len(row_labels))], row_labels)
    axis.set_xticks([column * (i + 0.5) - 0.5 for i in range(len(column_labels))], column_labels)
    bare(axis)
    axis.set_title(plain_text(title), fontsize=9, loc="left")
    return figure


def bare(axis: Axes) -> None:
    """Leave the labels of an axis, and take away its lines."""
    axis.tick_params(length=0, labelsize=8)
    for side in axis.spines.values():
        side.set_visible(False)


def plain_text(words: str) -> str:
    r"""Return words of the user's as matplotlib shows them: without mathematics in dollar signs.

    Example:
        >>> plain_text("under $5 or $9")
        'under \\$5 or \\$9'
    """
    return words.replace("$", r"\$")
