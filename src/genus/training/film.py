"""The sample grids of a run as an animation: what the model drew from the same noise, by step."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.errors import ConfigError
from genus.training.run_folder import RunFolder
from genus.training.weights import DISTANCE, SCORE

if TYPE_CHECKING:
    from PIL import Image

MOST_FRAMES = 100
"""Frames of a film where nothing is said."""
MILLISECONDS, HOLD = 10_000, 2_000
"""How long the whole film takes at most, and how long the last grid stays."""
SLOWEST, FASTEST = 500, 50
"""The longest and the shortest pause between two frames, in milliseconds."""
_MARGIN, _WIDE, _LARGEST = 4, 160, 3


@dataclass(frozen=True)
class Film:
    """An animation of a run.

    Args:
        captions: what is written under each frame, by step.
        frames: the pictures with their captions, of one size.
    """

    captions: Mapping[int, str]
    frames: Sequence[Image.Image]

    @property
    def pause(self) -> int:
        """Milliseconds between two frames; a GIF counts in tens."""
        each = MILLISECONDS // len(self.frames)
        return max(FASTEST, min(SLOWEST, each)) // 10 * 10

    def gif(self, recipe: Mapping[str, Any]) -> bytes:
        """Return the film as a GIF that goes on and on, with a recipe as the file's comment."""
        from PIL import Image

        plain = Image.Dither.NONE
        first, *others = [frame.quantize(256, dither=plain) for frame in self.frames]
        buffer = io.BytesIO()
        first.save(
            buffer,
            "GIF",
            save_all=True,
            append_images=others,
            duration=[self.pause] * len(others) + [HOLD],
            loop=0,
            comment=json.dumps(recipe).encode(),
        )
        return buffer.getvalue()


def film(run: Path | str, most: int = MOST_FRAMES) -> Film:
    """Return the film of a run, finished or not, of any model that draws images.

    Args:
        run: its folder.
        most: frames at most; of more grids, as many are taken evenly, the first and the last among
            them.

    Raises:
        CheckpointError: there is no run.
        ConfigError: the run has fewer than two grids.
    """
    folder = RunFolder(run)
    spec = folder.read_config().spec
    steps = [_step_of(path) for path in sorted(folder.samples.glob("step-*.png"))]
    if len(steps) < 2:
        why = "grids are drawn for images only"
        if spec.is_image:
            why = "train with --samples above 0, and --evaluate-every so that there are several"
        raise ConfigError(
            f"{folder.path} has {len(steps)} sample grid{'' if len(steps) == 1 else 's'}, and an "
            f"animation needs two; {why}"
        )
    chosen = _evenly(steps, most)
    scores = {line["step"]: line for line in folder.read_metrics() if line["kind"] == "valid"}
    captions = {step: _caption(step, scores.get(step, {})) for step in chosen}
    pictures = [_opened(folder.sample(step)) for step in chosen]
    return Film(captions, _framed(pictures, list(captions.values())))


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _evenly(steps: Sequence[int], most: int) -> list[int]:
    """Return ``most`` of the steps at most, evenly, both ends among them.

    Example:
        >>> _evenly([10, 20, 30, 40, 50], 3)
        [10, 30, 50]
    """
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _caption(step: int, scores: Mapping[str, Any]) -> str:
    told = [f"step {step:,}"]
    if SCORE in scores:
        told.append(f"{float(scores[SCORE]):.4g} nats/dim")
    if DISTANCE in scores:
        told.append(f"distance {float(scores[DISTANCE]):.4g}")
    return "   ".join(told)


def _opened(path: Path) -> Image.Image:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB")


def _framed(pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Image.Image]:
    """Return grids with their captions under them, all of one size."""
    from PIL import Image

    factor = max(1, min(_LARGEST, pictures[0].width // _WIDE))
    words = [_written(caption, factor) for caption in captions]
    width = max(part.width for part in (*pictures, *words))
    height = max(picture.height for picture in pictures)
    frames = []
    for picture, line in zip(pictures, words, strict=True):
        frame = Image.new("RGB", (width, height + line.height), "white")
        frame.paste(picture, (0, 0))
        frame.paste(line, (0, height))
        frames.append(frame)
    return frames


def _written(caption: str, factor: int) -> Image.Image:
    """Return a line of text, in the font of dots that Pillow always has, enlarged by a factor."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default_imagefont()
    left, _, right, _ = font.getbbox(caption)
    # Letters with and without a part below the line must not change the size of a frame.
    height = int(font.getbbox("Ag")[3])
    size = (int(right - left) + 2 * _MARGIN, height + 2 * _MARGIN)
    line = Image.new("RGB", size, "white")
    ImageDraw.Draw(line).text((_MARGIN, _MARGIN), caption, fill="black", font=font)
    enlarged: Image.Image = line.resize(
        (line.width * factor, line.height * factor), Image.Resampling.NEAREST
    )
    return enlarged
