"""Examples above the nearest that a generator can make, and what is left between the two."""

# Shapes: N examples.
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.codes import check_rows, some_rows
from genus.applications.latent_search import (
    Found,
    SearchOptions,
    check_searchable,
    search_latents,
)
from genus.applications.picture import Picture, check_images, seen, tiles
from genus.evaluation.nets import Scaler
from genus.evaluation.reconstruction import labels_for
from genus.evaluation.rows import choose, read
from genus.evaluation.scoring import check_match

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.spec import Spec

UNIT_ROWS = 5_000
"""Training examples from which the units of real columns are taken."""

check_able = check_searchable


def plot_projection(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = 12,
    rows: Tensor | None = None,
    seed: int = 0,
    search: SearchOptions | None = None,
) -> Picture:
    """Show examples, the nearest that the model makes of any latents, and their difference.

    Where the nearest of test examples is much further off than that of training examples, the model
    has learned its training data by heart.

    Args:
        model: one that decodes, of images.
        data: images for it, with labels where it is class-conditional.
        split: of the data.
        n: how many, chosen at random.
        rows: ``(N,)`` which ones, instead.
        seed: of the choice and of the search.
        search: options of the search; its seed is ``seed`` where they are left out.

    Returns:
        The picture, with the facts ``rows``, ``residual`` (of each), ``mean_residual`` and its
        ``standard_error``, and ``nearest_draw``, the mean before the search.

    Raises:
        ConfigError: the model does not decode latents.
        SpecError: the data are no images, or do not fit the model.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("gan", data.spec.unconditional(), channels=4, hidden=16)
        >>> sorted(plot_projection(model, data, n=2, search=SearchOptions(steps=5)).facts)
        ['mean_residual', 'nearest_draw', 'residual', 'rows', 'standard_error']
    """
    check_able(model)
    check_images("projections", data.spec)
    check_match(model, data)
    part = data.split(split)
    rows = some_rows(part, n, seed) if rows is None else rows
    check_rows(part, rows)
    batch = read(part, rows)
    train = read(data.train, choose(len(data.train), UNIT_ROWS, seed)).x
    found = search_latents(
        model,
        batch.x,
        y=labels_for(model, batch),
        scaler=Scaler.of(data.spec, train),
        options=search or SearchOptions(seed=seed),
    )
    shown = _shown(batch.x.float(), found.mean.float(), data.spec)
    figure = tiles(
        shown,
        len(rows),
        title=f"{model.name} on {data.name} ({split}): examples, and the nearest it can make",
        row_labels=("example", "nearest", "difference"),
        column_labels=[f"{value:.0%}" for value in found.residual_N.tolist()],
    )
    return Picture("projection", figure, {"rows": rows.tolist(), **_facts(found)})


def _shown(x: Tensor, mean: Tensor, spec: Spec) -> Tensor:
    """Return three rows of pictures; no difference is the middle of the range."""
    if spec.levels is None:
        return seen(torch.cat([x, mean, x - mean]), spec)
    top = spec.levels - 1
    mean = mean.clamp(0, top)
    return seen(torch.cat([x, mean, (x - mean + top) / 2]), spec)


def _facts(found: Found) -> dict[str, Any]:
    left, n = found.residual_N.double(), len(found.residual_N)
    return {
        "residual": left.tolist(),
        "mean_residual": float(left.mean()),
        "standard_error": float(left.std() / math.sqrt(n)) if n > 1 else math.nan,
        "nearest_draw": float(found.begun_N.double().mean()),
    }
