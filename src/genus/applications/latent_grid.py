"""What two latents are decoded to, from quantile to quantile of the prior."""

# Shapes: N examples, G points along a side, E = 2 latents.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.codes import is_standard_normal, restored
from genus.applications.picture import bare, plain_text
from genus.capabilities import Decodes, supports
from genus.evaluation.likelihood import scoring_mode
from genus.training.pictures import sheet, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from genus.data import DataSet

POINTS = 11
"""G, points along each side."""
TAIL = 0.025
"""Share of the law that is left out on each side."""
DRAWS = 10_000
"""Draws from which the quantiles of a prior are told that has no formula for them."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Decoded points of the plane of two latents.

    Args:
        at_2G: the values of the first and of the second latent.
        x: ``(G * G, *shape)``, row by row from the highest second latent down.
        of: whose quantiles the values are, "the prior" or "the centres".
        label: the class that was decoded, of class-conditional models.
    """

    at_2G: Tensor
    x: Tensor
    of: str
    label: int | None


def decoded_grid(model: Any, z_N2: Tensor, *, points: int = POINTS, seed: int = 0) -> Grid:
    """Return what the plane of two latents is decoded to.

    Args:
        model: one that decodes two latents; the first class, of a class-conditional one.
        z_N2: latents of examples, for a model without a prior.
        points: G.
        seed: of draws of a prior whose quantiles have no formula.

    Example:
        >>> from genus import Spec, create
        >>> model = create("vae", Spec(shape=(1, 8, 8), levels=2), latents=2, hidden=16)
        >>> grid = decoded_grid(model, torch.zeros(3, 2), points=5)
        >>> grid.x.shape, grid.of, [round(value, 2) for value in grid.at_2G[0].tolist()]
        (torch.Size([25, 1, 8, 8]), 'the prior', [-1.96, -0.64, 0.0, 0.64, 1.96])
    """
    share_G = torch.linspace(TAIL, 1 - TAIL, points, dtype=torch.float64)
    at_2G, of = _quantiles(model, z_N2, share_G, seed)
    across, up = torch.meshgrid(at_2G[0], at_2G[1].flip(0), indexing="xy")
    z_NE = torch.stack([across.flatten(), up.flatten()], 1).float()
    label = None if model.spec.classes is None else 0
    y_N = None if label is None else torch.full((len(z_NE),), label)
    return Grid(at_2G, restored(model, z_NE, y_N), of, label)


def _quantiles(model: Any, z_N2: Tensor, share_G: Tensor, seed: int) -> tuple[Tensor, str]:
    """Return the quantiles of each of the two latents, ``(2, G)``, and whose they are."""
    if not supports(model, Decodes):  # it has no prior
        return torch.quantile(z_N2.double(), share_G, dim=0).T, "the centres"
    with scoring_mode(model) as ready:
        prior = ready.prior()
        if is_standard_normal(prior):
            return torch.special.ndtri(share_G).expand(2, -1), "the prior"
        noise = ready.noise(DRAWS, torch.Generator().manual_seed(seed))
        drawn_N2 = prior.draw(noise).double().cpu()
    return torch.quantile(drawn_N2, share_G, dim=0).T, "the prior"


def draw_grid(axis: Axes, grid: Grid, data: DataSet) -> None:
    """Draw the grid on an axis, with the values of the latents beside it."""
    pixels = visible(grid.x.float(), data.spec)
    side = grid.at_2G.shape[1]
    axis.imshow(sheet(pixels, side), interpolation="nearest")
    height, width = pixels.shape[2] + 2, pixels.shape[3] + 2
    every = [round(i * (side - 1) / 4) for i in range(5)]
    across, up = grid.at_2G[0].tolist(), grid.at_2G[1].flip(0).tolist()
    axis.set_xticks([width * (i + 0.5) - 0.5 for i in every], [f"{across[i]:.2f}" for i in every])
    axis.set_yticks([height * (i + 0.5) - 0.5 for i in every], [f"{up[i]:.2f}" for i in every])
    bare(axis)
    axis.set_xlabel("latent 1", fontsize=9)
    axis.set_ylabel("latent 2", fontsize=9)
    title = f"decoded, at quantiles of {grid.of}"
    if grid.label is not None:
        name = data.labels[grid.label] if data.labels else str(grid.label)
        title += f", as class {name}"
    axis.set_title(plain_text(title), fontsize=9, loc="left")
