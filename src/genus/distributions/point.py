"""The law of what is certain."""

# Shapes: B batch, Z vector.
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genus.random import Noise


@dataclass(frozen=True, eq=False)
class Point:
    """All mass at one point of the reals; there is no density.

    Args:
        mean: ``(B, Z)``, the point.
    """

    mean: Tensor

    def draw(self, noise: Noise) -> Tensor:
        """Return the point, ``(B, Z)``; there is nothing random about it."""
        return self.mean
