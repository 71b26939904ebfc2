"""What hidden units look for: their weights, as small images."""

# Shapes: H hidden units, C H W an image.
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from genus.applications.picture import SEEN, Picture, check_images, tiles
from genus.capabilities import supports
from genus.errors import ConfigError, TrainingError
from genus.evaluation.likelihood import scoring_mode
from genus.registry import able

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_COLUMNS = 16
"""Filters side by side."""
CLIPPED = 0.002
"""Share of the weights that may lie beyond the ends of the colours."""


class Filters(Protocol):
    """Has hidden units, each with one weight for every entry."""

    def filters(self) -> Tensor:
        """Return ``(H, *shape)``: the weight of every entry in the input of each unit."""
        ...


def plot_filters(model: Any, *, n: int = 64) -> Picture:
    """Show the weights of the hidden units whose weights are largest.

    All have one scale, on which grey is zero, blue below and red above; where the images have
    colours, each colour is its own weights, about grey.

    Args:
        model: one that says its `Filters`, of images.
        n: how many units.

    Returns:
        The picture, with the facts ``units`` (the numbers of those shown), ``norms`` (the length of
        each one's weights), ``of`` (how many units there are) and ``scale`` (the weight of the
        strongest colours).

    Raises:
        ConfigError: the model has no such units.
        SpecError: the data are no images.
        TrainingError: a weight is NaN or infinite.
    """
    check_able(model)
    check_images("filters", model.spec)
    with scoring_mode(model) as ready:
        weight_HCHW = ready.filters().detach().float().cpu()
    if not bool(weight_HCHW.isfinite().all()):
        raise TrainingError(
            "the weights are not finite; the model has diverged: train again with a smaller "
            "learning rate"
        )
    norm_H = weight_HCHW.flatten(1).norm(dim=1)
    chosen = norm_H.argsort(descending=True, stable=True)[:n]
    shown = weight_HCHW[chosen]
    scale = float(torch.quantile(_sampled(shown.abs().flatten()), 1 - CLIPPED))
    columns = min(len(chosen), MOST_COLUMNS)
    figure = tiles(
        _enlarged(coloured(shown, scale)),
        columns,
        title=f"{model.name}: weights of {len(chosen)} of {len(norm_H)} hidden units, largest "
        f"first\ngrey is 0, the ends of the colours are ±{scale:.2g}",
    )
    facts = {
        "units": chosen.tolist(),
        "norms": norm_H[chosen].tolist(),
        "of": len(norm_H),
        "scale": scale,
    }
    return Picture("filters", figure, facts)


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model has filters."""
    if not supports(model, Filters):
        raise ConfigError(
            f"{model.name} has no hidden units with one weight for every entry, which filters "
            f"are; train a model that has: {able(Filters)}"
        )


def _sampled(values: Tensor, most: int = 2**22) -> Tensor:
    """Return every so many-th value, as many as a quantile takes."""
    return values[:: -(-len(values) // most)]


def coloured(weight_HCHW: Tensor, scale: float) -> Tensor:
    """Return weights as ``(H, 3, height, width)`` bytes: blue below zero, red above.

    Images of three colours keep them, about grey; of 2 or more than 3 channels the first is shown.

    Args:
        weight_HCHW: weights.
        scale: the weight of the strongest colours.

    Example:
        >>> coloured(torch.zeros(1, 1, 1, 1), 1.0).flatten().tolist()
        [221, 220, 219]
    """
    from matplotlib import colormaps

    share = (weight_HCHW / max(scale, 1e-12)).clamp(-1, 1) / 2 + 0.5
    if weight_HCHW.shape[1] == 3:
        return (share * 255).round().to(torch.uint8)
    painted: NDArray[np.uint8] = colormaps["coolwarm"](share[:, 0].numpy(), bytes=True)
    return torch.from_numpy(painted[..., :3].copy()).permute(0, 3, 1, 2)


def _enlarged(pixels: Tensor) -> Tensor:
    factor = max(1, SEEN // max(pixels.shape[2:]))
    return pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
