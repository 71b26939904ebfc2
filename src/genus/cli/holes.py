"""The options that say which entries are missing, and what they make of a Spec."""

# Shapes: C colours, H height, W width.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genus.cli.errors import Problems, UsageError
from genus.cli.options import Flag, numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from genus.spec import Spec

Box = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]
HALVES: dict[str, Callable[[int, int], tuple[int, int, int, int]]] = {
    "lower_half": lambda height, width: (height // 2, 0, height - height // 2, width),
    "upper_half": lambda height, width: (0, 0, height // 2, width),
    "right_half": lambda height, width: (0, width // 2, height, width - width // 2),
    "left_half": lambda height, width: (0, 0, height, width // 2),
}
"""The box (top, left, height, width) that each of these options means."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Holes:
    """What is missing; several of them add up.

    Args:
        mask: Picture of the images' size; what is white is missing, what is black is known.
        lower_half: The lower half is missing.
        upper_half: The upper half is missing.
        left_half: The left half is missing.
        right_half: The right half is missing.
        box: TOP,LEFT,HEIGHT,WIDTH of a missing box, in pixels; may be repeated.
        entries: Numbers of missing entries, such as 0,3-5; for data that are no images.
    """

    mask: Path | None = None
    lower_half: Flag = False
    upper_half: Flag = False
    left_half: Flag = False
    right_half: Flag = False
    box: Box = ()
    entries: str | None = None

    def check(self) -> None:
        """Check all that can be checked before the size of the images is known.

        Raises:
            UsageError: nothing is said to be missing, or it cannot be read.
        """
        problems = Problems()
        problems.require(
            self != Holes(),
            "nothing is said to be missing; give --lower-half, --box TOP,LEFT,HEIGHT,WIDTH or "
            "--mask FILE, where white is missing",
        )
        for box in self.box:
            with problems.collect():
                _numbers_of(box)
        if self.entries is not None:
            with problems.collect():
                numbers(self.entries, "--entries")
        if self.mask is not None:
            problems.require(self.mask.is_file(), f"--mask {self.mask} is not there, or is no file")
        problems.raise_any("cannot complete:")

    def missing(self, spec: Spec) -> Tensor:
        """Return which entries are missing, ``(*shape)`` boolean.

        Raises:
            UsageError: with all that does not fit such data, or that leaves nothing to do.
        """
        import torch

        problems = Problems()
        missing = torch.zeros(spec.shape, dtype=torch.bool)
        if spec.is_image:
            self._mark_pixels(missing, problems)
        else:
            self._mark_entries(missing, problems)
        problems.raise_any("cannot complete:")
        if not bool(missing.any()):
            raise UsageError("nothing is missing, so there is nothing to draw; white is missing")
        if bool(missing.all()):
            raise UsageError(
                "everything is missing, so there is nothing to complete: genus sample draws "
                "from nothing"
            )
        return missing

    def _mark_pixels(self, missing_CHW: Tensor, problems: Problems) -> None:
        _, height, width = missing_CHW.shape
        problems.require(self.entries is None, "--entries is for data that are no images")
        boxes = [find(height, width) for name, find in HALVES.items() if getattr(self, name)]
        for text in self.box:
            with problems.collect():
                boxes.append(_inside(text, height, width))
        for top, left, tall, wide in boxes:
            missing_CHW[:, top : top + tall, left : left + wide] = True
        if self.mask is not None:
            import torch

            with problems.collect():
                missing_CHW |= torch.from_numpy(read_mask(self.mask, height, width))

    def _mark_entries(self, missing_D: Tensor, problems: Problems) -> None:
        given = [f"--{f.name.replace('_', '-')}" for f in fields(self) if getattr(self, f.name)]
        for option in given:
            problems.require(
                option == "--entries",
                f"{option} is for images; these data are vectors, say --entries 0,3-5",
            )
        indices = numbers(self.entries, "--entries") if self.entries else []
        wrong = [str(index) for index in indices if index >= len(missing_D)]
        problems.require(
            not wrong,
            f"--entries {', '.join(wrong)}: the entries of these data are 0 to "
            f"{len(missing_D) - 1}",
        )
        missing_D[[index for index in indices if index < len(missing_D)]] = True

    def recipe(self) -> dict[str, Any]:
        """Return the options that were given, without the paths, which tell of the machine."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        return {k: v.name if isinstance(v, Path) else v for k, v in given.items()}


def _numbers_of(box: str) -> tuple[int, int, int, int]:
    try:
        top, left, height, width = (int(word) for word in box.split(","))
    except ValueError:
        raise UsageError(
            f"--box {box!r} must be four whole numbers, TOP,LEFT,HEIGHT,WIDTH, for example 2,3,4,4"
        ) from None
    return top, left, height, width


def _inside(text: str, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a box once it is sure that it lies in the image."""
    top, left, tall, wide = _numbers_of(text)
    fits = 0 <= top < top + tall <= height and 0 <= left < left + wide <= width
    if not fits:
        raise UsageError(
            f"--box {text} does not lie in images of {height}x{width} (height x width); it is "
            "TOP,LEFT,HEIGHT,WIDTH, counted from 0"
        )
    return top, left, tall, wide


def read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """Return where a picture is white, ``(H, W)``.

    Raises:
        UsageError: it is no picture, of another size, or not of black and white alone.
    """
    import numpy as np

    from genus.data.images import ImageError, Rules, decode

    try:
        pixels_3HW = decode(path.read_bytes(), Rules(), 3)
    except (ImageError, OSError) as error:
        raise UsageError(f"--mask {path}: {error}; save it as PNG") from error
    found = pixels_3HW.shape[1:]
    if found != (height, width):
        raise UsageError(
            f"--mask {path} is {found[0]}x{found[1]} (height x width), but the images of this run "
            f"are {height}x{width}; make it that size"
        )
    white: NDArray[np.bool_] = (pixels_3HW == 255).all(0)
    black = (pixels_3HW == 0).all(0)
    between = np.argwhere(~white & ~black)
    if len(between):
        row, column = between[0].tolist()
        raise UsageError(
            f"--mask {path} has {len(between)} pixels that are neither black (known) nor white "
            f"(missing), the first in row {row}, column {column}; save it with two colours, "
            "without smoothing"
        )
    return white
