"""What a place of an image may see: the context of a conditional, measured by differentiation.

The law of an entry depends on another entry if its parameters have a gradient there. That is
measured on the network itself, so the picture shows what a model sees and not what its authors
meant it to see.
"""

# Shapes: n draws, C colours, H height, W width, P parameters of a sub-pixel.
from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genus.conformance.subject import in_float64, settle
from genus.errors import ConfigError, SpecError, raise_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Weights = Literal["own", "random"]

PLACE, LATER, BLIND = (0.93, 0.60, 0.12), (0.93, 0.93, 0.93), (0.80, 0.25, 0.25)
WEAK, STRONG = np.array([0.80, 0.88, 0.96]), np.array([0.03, 0.19, 0.42])
"""Colours of what is seen, from the weakest influence to the strongest."""
DECADES = 6.0
"""Influences weaker than the strongest by so many powers of ten have the colour of the weakest."""
CAPTION = "orange: the pixel · blue: seen (dark: strongly) · red: earlier, not seen · grey: later"


def visible_context(
    model: Any,
    row: int,
    column: int,
    colour: int = 0,
    *,
    weights: Weights = "own",
    draws: int = 16,
    seed: int = 0,
) -> Tensor:
    r"""Return how strongly the law at a place depends on every entry, ``(C, H, W)``.

    .. math:: \frac1n \sum_{i=1}^{n} \Big| \frac{\partial}{\partial u}\,
        v_i \cdot \theta_{\text{place}}(u_i) \Big|

    with parameters :math:`\theta` of the law, images :math:`u_i` and directions :math:`v_i` at
    random, in float64. It is zero exactly where there is no dependence.

    Args:
        model: one with conditionals over images, whose network is `parameters_of`.
        row: of the place, from 0 at the top.
        column: of the place, from 0 at the left.
        colour: of the place; in the order of the model, earlier colours of a pixel are seen.
        weights: "own", or "random" ones for what the structure allows whatever was learned.
        draws: n; units that are silent at one image speak at another.
        seed: of images, directions and random weights.

    Raises:
        SpecError: the data are no images, or the model has no network to differentiate.
        ConfigError: there is no such place.

    Example:
        >>> from genus import Spec, create
        >>> model = create("pixelcnn", Spec(shape=(1, 5, 5), levels=2), features=4, layers=1)
        >>> visible_context(model, 2, 2, weights="random")[0, 3:].abs().max()
        tensor(0., dtype=torch.float64)
    """
    _check_place(model, row, column, colour)
    spec, generator = model.spec, torch.Generator().manual_seed(seed)
    twin = settle(model, spec, seed) if weights == "random" else in_float64(model)
    shape = (draws, *spec.shape)
    u_nCHW = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    u_nCHW.requires_grad_()
    y = None if spec.classes is None else torch.arange(draws) % spec.classes
    law_nP = twin.parameters_of(u_nCHW, y)[:, colour, row, column]
    direction_nP = torch.randn(law_nP.shape, generator=generator, dtype=torch.float64)
    (gradient_nCHW,) = torch.autograd.grad(
        (law_nP * direction_nP).sum(), u_nCHW, materialize_grads=True
    )
    return gradient_nCHW.abs().mean(0)


def earlier_entries(model: Any, row: int, column: int, colour: int = 0) -> Tensor:
    """Return which entries come before a place in the model's order, ``(C, H, W)`` boolean.

    These are what a conditional there may see; a model that sees less has blind spots.
    """
    _check_place(model, row, column, colour)
    position_D = torch.empty(model.spec.dims, dtype=torch.long)
    position_D[model.order().cpu()] = torch.arange(model.spec.dims)
    position_CHW = position_D.view(model.spec.shape)
    return position_CHW < position_CHW[colour, row, column]


def _check_place(model: Any, row: int, column: int, colour: int) -> None:
    spec = model.spec
    if not (spec.is_image and hasattr(model, "parameters_of") and hasattr(model, "order")):
        raise SpecError(
            f"{model.name} on {spec} has no context to measure: that takes images and a network "
            "of conditionals, parameters_of"
        )
    sizes = zip(("colour", "row", "column"), (colour, row, column), spec.shape, strict=True)
    raise_all(
        ConfigError,
        "there is no such place:",
        [
            f"{name}={value} must be from 0 to {size - 1}"
            for name, value, size in sizes
            if not 0 <= value < size
        ],
    )


def context_figure(
    models: Mapping[str, Any],
    row: int,
    column: int,
    colour: int = 0,
    *,
    weights: Weights = "own",
    columns: int = 4,
) -> bytes:
    """Return a PNG with one panel for each model: what a place sees, and what it cannot.

    Args:
        models: by the titles of their panels.
        row: of the place.
        column: of the place.
        colour: of the place; a pixel is shown as seen if any of its colours is.
        weights: "own", or "random" ones for what the structure allows.
        columns: panels in a row.

    Raises:
        SpecError: a model has no context to measure.
        ConfigError: there is no such place.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(models))
    rows = math.ceil(len(models) / columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (title, model) in zip(axes, models.items(), strict=False):
        seen_HW = visible_context(model, row, column, colour, weights=weights).amax(0)
        earlier_HW = earlier_entries(model, row, column, colour).any(0)
        _panel(axis, title, painted(seen_HW, earlier_HW, row, column))
    for axis in axes[len(models) :]:
        axis.set_axis_off()
    figure.supxlabel(CAPTION, fontsize=8)
    buffer = io.BytesIO()
    # Without the versions of the libraries in it, the same picture is the same file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def painted(
    seen_HW: Tensor, earlier_HW: Tensor, row: int, column: int
) -> NDArray[np.floating[Any]]:
    """Return the picture ``(H, W, 3)`` of a context, in the colours of the caption.

    Args:
        seen_HW: strength of the dependence.
        earlier_HW: what comes before the place.
        row: of the place.
        column: of the place.
    """
    strength = seen_HW.numpy()
    picture = np.empty((*strength.shape, 3))
    picture[:], picture[earlier_HW.numpy()] = LATER, BLIND
    seen = strength > 0
    share = 1 + np.log10(strength[seen] / strength.max(initial=1e-300)) / DECADES
    picture[seen] = WEAK + share.clip(0, 1)[:, None] * (STRONG - WEAK)
    picture[row, column] = PLACE
    return picture


def _panel(axis: Axes, title: str, picture: NDArray[np.floating[Any]]) -> None:
    height, width, _ = picture.shape
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.set_xticks(np.arange(width + 1) - 0.5, [])
    axis.set_yticks(np.arange(height + 1) - 0.5, [])
    axis.grid(color="white", linewidth=0.6)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
