"""Reading one image file safely, and turning it into 8-bit grey or RGB without hiding anything.

A file is hostile until shown otherwise: only common formats are tried, the number of pixels is
checked from the header before any is decoded, and every pixel is decoded before the file is
called good (`PIL.Image.Image.verify` passes a truncated JPEG).
"""

from __future__ import annotations

import io
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

from genus.data.base import Array
from genus.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 512 * 2**20
MAX_SIDE = 4096  # of the images handed to a model
_ORIENTATION = 0x0112
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


class ImageError(Exception):
    """What is wrong with one file; a report gathers these with the names of the files."""


class Trait(IntFlag):
    """What an image needs before it is plain 8-bit grey or RGB."""

    GREY = 1
    ALPHA = 2
    PALETTE = 4
    OTHER_COLOURS = 8
    DEEP = 16
    TURNED = 32


TRAIT_NOTES = {
    Trait.ALPHA: "had transparency and were laid on white",
    Trait.PALETTE: "had a palette and were read as RGB",
    Trait.OTHER_COLOURS: "were CMYK or another colour space and were converted to RGB",
    Trait.DEEP: "had 16 bits a channel and were rescaled to 8 (65535 becomes 255)",
    Trait.TURNED: "were turned upright as their EXIF orientation says",
}


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it; the size is that of the upright image."""

    height: int
    width: int
    traits: Trait


@dataclass(frozen=True)
class Rules:
    """How images become examples.

    Args:
        size: (height, width) to crop at the centre and resize to (Lanczos), or None to keep.
        gray: whether colours become grey (ITU-R 601 luma).
        levels: number of levels; 8-bit value v becomes ``v * levels // 256``.
    """

    size: tuple[int, int] | None = None
    gray: bool = False
    levels: int = 256


def parse_size(size: int | str | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return (height, width) from a number, a pair or text such as ``"64"`` and ``"48x64"``.

    Raises:
        DataError: it is none of these, or a side is not 2 to 4096 pixels.

    Example:
        >>> parse_size("48x64")
        (48, 64)
    """
    if size is None:
        return None
    parts = size.lower().split("x") if isinstance(size, str) else np.atleast_1d(size).tolist()
    try:
        sides = [int(part) if isinstance(part, str) else operator.index(part) for part in parts]
    except (TypeError, ValueError):
        sides = []
    if len(sides) not in (1, 2) or not all(2 <= side <= MAX_SIDE for side in sides):
        raise DataError(
            f"size={size!r} must be one number or HEIGHTxWIDTH, each from 2 to {MAX_SIDE} pixels; "
            "for example --size 64 or --size 48x64"
        )
    return sides[0], sides[-1]


def read_header(data: bytes) -> Header:
    """Return what the header of an image file says.

    Raises:
        ImageError: it cannot be used; the message says why.
    """
    with _opened(data) as image:
        return _header(image, data)


def decode(data: bytes, rules: Rules, channels: int) -> Array:
    """Return the image as levels.

    Args:
        data: the file's contents.
        rules: size and levels.
        channels: 1 for grey, 3 for RGB.

    Returns:
        ``(channels, H, W)`` uint8.

    Raises:
        ImageError: it cannot be used, or its pixels are damaged or cut off.
    """
    from PIL import ImageOps

    with _opened(data) as image:
        traits = _header(image, data).traits
        image.load()
        upright = ImageOps.exif_transpose(image)
        plain = _on_white(_eight_bit(upright)).convert("L" if channels == 1 else "RGB")
        if Trait.GREY not in traits and channels == 1 and not rules.gray:
            raise ImageError("has colours, but the others are grey; give --gray")
        if rules.size is not None and plain.size != rules.size[::-1]:
            plain = ImageOps.fit(plain, rules.size[::-1])
        array = np.asarray(plain, np.uint8)
    array = array[None] if channels == 1 else array.transpose(2, 0, 1)
    if rules.levels < 256:
        array = (array.astype(np.uint16) * rules.levels // 256).astype(np.uint8)
    return np.ascontiguousarray(array)


@contextmanager
def _opened(data: bytes) -> Iterator[Image]:
    """Open an image of a permitted format; whatever goes wrong inside becomes an ImageError."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ImageError("is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("error", message="Truncated File Read")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                yield image
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ImageError(_too_many("more pixels than any sound image")) from error
        except UnidentifiedImageError as error:
            raise ImageError(f"is not an image of a known format ({', '.join(FORMATS)})") from error
        except ImageError:
            raise
        except Exception as error:  # decoders of foreign bytes raise almost anything
            raise ImageError(f"is damaged or cut off ({error})") from error


def _too_many(what: str) -> str:
    return f"has {what}, above the limit of {MAX_PIXELS:,}; scale it down first"


def _header(image: Image, data: bytes) -> Header:
    from PIL import TiffImagePlugin

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_many(f"{width} x {height} = {width * height:,} pixels"))
    if width == 1 and height == 1:
        raise ImageError("is 1x1: a single pixel is no picture; remove it")
    if getattr(image, "n_frames", 1) > 1:
        raise ImageError("is animated or has several pages; save one frame as PNG")
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        raise ImageError(
            f"holds pixels of mode {image.mode}; save it with 8 or 16 bits, or give the values as "
            ".npy with --levels"
        )
    turn = _orientation(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # whose size may be the upright one
        width, height = image.tag_v2[256], image.tag_v2[257]
    if turn >= 5:
        width, height = height, width
    return Header(height, width, _traits(image, data, turn))


def _orientation(image: Image) -> int:
    # Asking a PNG without an early eXIf chunk would decode all of it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _traits(image: Image, data: bytes, turn: int) -> Trait:
    found = Trait(0)
    if image.mode in _GREY_MODES:
        found |= Trait.GREY
    if image.has_transparency_data:
        found |= Trait.ALPHA
    if image.mode in ("P", "PA"):
        found |= Trait.PALETTE
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        found |= Trait.OTHER_COLOURS
    # Pillow hides the depth of a 16-bit RGB PNG; byte 24 of the file is the depth in IHDR.
    if image.mode.startswith("I") or (image.format == "PNG" and data[24] == 16):
        found |= Trait.DEEP
    if 2 <= turn <= 8:
        found |= Trait.TURNED
    return found


def _eight_bit(image: Image) -> Image:
    """Return the image with 8 bits a channel; Pillow's own conversion would saturate at 255."""
    from PIL import Image as images

    if not image.mode.startswith("I"):
        return image
    if image.has_transparency_data:
        raise ImageError("is 16-bit grey with a transparent value; save it with an alpha channel")
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ImageError("holds 32-bit pixels; save it with 8 or 16 bits")
    return images.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))


def _on_white(image: Image) -> Image:
    from PIL import Image as images

    if not image.has_transparency_data:
        return image
    grey = image.mode in _GREY_MODES
    full = image.convert("RGBA")
    paper = images.new("RGBA", full.size, (255, 255, 255, 255))
    flat = images.alpha_composite(paper, full).convert("RGB")
    return flat.convert("L") if grey else flat
