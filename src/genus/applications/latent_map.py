"""Where examples lie among the latents, on a plane."""

# Shapes: N examples, E latents, G points along a side of a grid, K classes.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.codes import Codes, centres, some_rows
from genus.applications.extract import extract_features
from genus.applications.latent_grid import Grid, decoded_grid, draw_grid
from genus.applications.picture import Picture, plain_text
from genus.capabilities import Encodes, Features, supports
from genus.errors import ConfigError, DataError
from genus.evaluation.reconstruction import Coder
from genus.evaluation.scoring import check_match
from genus.registry import able

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genus.data import DataSet

EXAMPLES = 2_000
"""Examples of a map, unless more are asked for."""
MOST_NAMED = 20
"""Classes with a colour of their own and a name in the legend."""
LONGEST_NAME = 24
"""Characters of a class's name in the legend."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Two axes through the latents.

    Args:
        at_N2: where the examples lie.
        share: of the variance of all latents, along each axis.
        projected: whether the axes are principal components, and not the latents themselves.
    """

    at_N2: Tensor
    share: tuple[float, float]
    projected: bool


def plot_latent_map(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = EXAMPLES,
    rows: Tensor | None = None,
    seed: int = 0,
) -> Picture:
    """Show where the examples of a split lie among the latents, coloured by class.

    Two latents are shown as they are, and for images there stands beside the map what they are
    decoded to, from quantile to quantile of the prior. More are projected on the two principal
    components of the posteriors' centres. Models that do not encode are shown by their features.

    Args:
        model: one that encodes, or has features; of any data.
        data: examples for it, with labels where it is class-conditional.
        split: of the data.
        n: how many examples at most, chosen at random.
        rows: ``(N,)`` which ones, instead.
        seed: of the choice.

    Returns:
        The picture, with the facts ``examples``, ``latents`` (how many), ``of`` ("latents" or
        "features"), ``axes`` and ``explained_variance`` (the share of each axis).

    Raises:
        ConfigError: the model cannot do it, or has one latent only.
        SpecError: the data do not fit the model.
        DataError: there are fewer than two examples.

    Example:
        >>> import genus
        >>> data = genus.load_data("wine")
        >>> model = genus.create("vae", data.spec.unconditional(), latents=5, hidden=16)
        >>> facts = plot_latent_map(model, data).facts
        >>> facts["axes"], facts["latents"], facts["examples"]
        ('principal components', 5, 36)
    """
    check_able(model)
    check_match(model, data)
    part = data.split(split)
    rows = some_rows(part, n, seed) if rows is None else rows
    what = "latents" if supports(model, Encodes) else "features"
    codes = centres(model, part, rows) if what == "latents" else _features(model, part, rows)
    plane = plane_of(codes.z_NE)
    grid = None
    if supports(model, Coder) and data.spec.is_image and not plane.projected:
        grid = decoded_grid(model, codes.z_NE, seed=seed)
    figure = _figure(data, codes, plane, f"{what} of {model.name}: {data.name}, {split}", grid)
    facts = {
        "examples": len(codes.z_NE),
        "latents": codes.z_NE.shape[1],
        "of": what,
        "axes": "principal components" if plane.projected else "latents",
        "explained_variance": list(plane.share),
    }
    return Picture("latent-map", figure, facts)


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model encodes, or has features."""
    if not (supports(model, Encodes) or supports(model, Features)):
        raise ConfigError(
            f"{model.name} neither encodes nor has features, of which a map is made; train a "
            f"model that does: {able(Encodes, Features)}"
        )


def _features(model: Any, part: Any, rows: Tensor) -> Codes:
    table = extract_features(model, part, rows=rows)
    labels = None if table.y is None else torch.from_numpy(table.y)
    return Codes(torch.from_numpy(table.x), labels, rows)


def plane_of(z_NE: Tensor) -> Plane:
    """Return two latents as they are, and more on their two principal components.

    The components are those of the covariance; their signs are such that the weight that is
    largest is above zero.

    Raises:
        ConfigError: there is one latent only.
        DataError: there are fewer than two examples.

    Example:
        >>> plane = plane_of(torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 1.0]]))
        >>> plane.projected, plane.at_N2.shape
        (True, torch.Size([3, 2]))
    """
    if z_NE.shape[1] < 2:
        raise ConfigError("a map takes two latents or more, and the model has one")
    if len(z_NE) < 2:
        raise DataError("a map takes two examples or more; choose another split")
    centred_NE = z_NE.double() - z_NE.double().mean(0)
    total = float(centred_NE.square().sum())
    at_N2, projected = z_NE.double(), z_NE.shape[1] > 2
    if projected:
        _, _, axes_AE = torch.linalg.svd(centred_NE, full_matrices=False)
        axes_2E = axes_AE[:2]
        sign_21 = axes_2E.gather(1, axes_2E.abs().argmax(1, keepdim=True)).sign()
        at_N2 = centred_NE @ (axes_2E * sign_21).T
    first, second = (at_N2 - at_N2.mean(0)).square().sum(0).tolist()
    share = (first / total, second / total) if total > 0 else (0.0, 0.0)
    return Plane(at_N2, share, projected)


def _figure(data: DataSet, codes: Codes, plane: Plane, title: str, grid: Grid | None) -> Figure:
    """Return the map, and the decoded grid beside it."""
    from matplotlib.figure import Figure

    panels = 1 if grid is None else 2
    figure = Figure(figsize=(5.6 * panels, 4.8), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    name = "component" if plane.projected else "latent"
    first, second = (f"{name} {i + 1} ({share:.1%} of the variance)" for i, share in
                     enumerate(plane.share))  # fmt: skip
    axes[0].set_xlabel(first, fontsize=9)
    axes[0].set_ylabel(second, fontsize=9)
    of = f"two principal components of {codes.z_NE.shape[1]} " if plane.projected else ""
    axes[0].set_title(plain_text(of + title), fontsize=9, loc="left")
    axes[0].tick_params(labelsize=8)
    _scatter(axes[0], plane.at_N2, codes.y_N, data)
    if grid is not None:
        draw_grid(axes[1], grid, data)
    return figure


def _scatter(axis: Axes, at_N2: Tensor, y_N: Tensor | None, data: DataSet) -> None:
    """Draw the examples, and a legend of their classes."""
    x, y = at_N2.T.numpy()
    style: dict[str, Any] = {"s": 9, "linewidths": 0, "alpha": 0.75}
    count = data.spec.classes or 0
    if y_N is None:
        axis.scatter(x, y, **style)
    elif count > MOST_NAMED:
        points = axis.scatter(x, y, c=y_N.numpy(), cmap="viridis", vmin=0, vmax=count - 1, **style)
        axis.figure.colorbar(points, ax=axis, label="class", shrink=0.8)
    else:
        colours = _colours(count)
        axis.scatter(x, y, c=[colours[label] for label in y_N.tolist()], **style)
        _legend(axis, [label for label in range(count) if bool((y_N == label).any())], data)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return list(colormaps["tab10" if count <= 10 else "tab20"].colors)  # type: ignore[attr-defined]


def _legend(axis: Axes, present: list[int], data: DataSet) -> None:
    """Name the classes that are on the map, outside of it."""
    from matplotlib.lines import Line2D

    colours, names = _colours(data.spec.classes or 0), data.labels
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=5, color=colours[label])
        for label in present
    ]
    # A leading underscore would hide an entry of the legend.
    titles = [plain_text((names[k] if names else str(k))[:LONGEST_NAME]) for k in present]
    titles = [f" {title}" if title.startswith("_") else title for title in titles]
    axis.legend(handles, titles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
                fontsize=8, title="class", title_fontsize=8, handletextpad=0.1)  # fmt: skip
