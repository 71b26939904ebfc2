"""Pictures of examples with something missing."""

# Shapes: I images, n completions of each, C colours, H height, W width.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from genus.spec import Spec

MISSING = (66, 112, 178)
"""The colour of what is missing or not drawn yet: a blue that no grey image has."""


def painted(pixels_N3HW: Tensor, missing_NHW: Tensor) -> Tensor:
    """Return pictures with what is missing in blue.

    Args:
        pixels_N3HW: bytes, perhaps enlarged by a whole factor.
        missing_NHW: boolean, not enlarged.
    """
    import torch

    factor = pixels_N3HW.shape[2] // missing_NHW.shape[1]
    wide = missing_NHW.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    blue = torch.tensor(MISSING, dtype=torch.uint8).view(1, 3, 1, 1)
    return torch.where(wide.unsqueeze(1), blue, pixels_N3HW)


def panels(original: Tensor, missing: Tensor, filled: Tensor, spec: Spec) -> NDArray[np.uint8]:
    """Return a picture with a row for each image: the original, what is known, the completions.

    Args:
        original: ``(I, C, H, W)``.
        missing: ``(C, H, W)`` boolean; a pixel is blue where any of its colours is missing.
        filled: ``(I, n, C, H, W)``.
        spec: what an image is.
    """
    import torch

    from genus.training.pictures import sheet, visible

    ways = filled.shape[1]
    first = visible(original, spec)
    drawn = visible(filled.flatten(0, 1), spec).view(-1, ways, *first.shape[1:])
    masked = painted(first, missing.any(0).expand(len(first), -1, -1))
    rows = torch.cat([first.unsqueeze(1), masked.unsqueeze(1), drawn], 1)
    return sheet(rows.flatten(0, 1), ways + 2)
