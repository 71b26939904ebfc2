"""Examples above what is left of them when only their latents are known."""

# Shapes: N examples.
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.codes import check_rows, noise_for, some_rows
from genus.applications.picture import Picture, check_images, seen, tiles
from genus.errors import ConfigError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.reconstruction import (
    Coder,
    Reconstructs,
    can_reconstruct,
    in_turn,
    reconstruct,
)
from genus.evaluation.rows import read
from genus.evaluation.scoring import check_match
from genus.registry import able

if TYPE_CHECKING:
    from genus.data import DataSet

MOST_COLUMNS = 16
"""Reconstructions side by side."""


def plot_reconstructions(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = 16,
    rows: Tensor | None = None,
    draw: bool = False,
    seed: int = 0,
) -> Picture:
    r"""Show examples, and under each the mean of what its latents say of it.

    .. math:: x \quad\text{above}\quad E[x' \mid z], \qquad z = \text{the centre of } q(z \mid x)

    Args:
        model: one that encodes and decodes, or reconstructs in a way of its own.
        data: images for it, with labels where it is class-conditional.
        split: of the data.
        n: how many, chosen at random.
        rows: ``(N,)`` which ones, instead.
        draw: show a draw of p(x | z), not its mean.
        seed: of the choice and of the draws.

    Returns:
        The picture, with the facts ``rows`` and, of models whose laws say it, ``log_prob``, the
        mean log p(x | z) of these examples in nats, and its ``standard_error``.

    Raises:
        ConfigError: the model cannot do it.
        SpecError: the data are no images, or do not fit the model.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("vae", data.spec.unconditional(), latents=2, hidden=16)
        >>> sorted(plot_reconstructions(model, data, n=4).facts)
        ['draw', 'log_prob', 'rows', 'standard_error']
    """
    check_able(model)
    check_images("reconstructions", data.spec)
    check_match(model, data)
    part = data.split(split)
    rows = some_rows(part, n, seed) if rows is None else rows
    check_rows(part, rows)
    batch = read(part, rows)
    noise = noise_for(len(rows), seed, draw)
    with scoring_mode(model) as ready:
        law = reconstruct(ready, batch)
        facts = {"rows": rows.tolist(), "draw": draw, **_fit(law, place(ready, batch.x))}
        if noise is None:
            again = law.mean
        else:
            again = law.icdf(place(ready, noise.uniform(*data.spec.shape)))
    pixels = seen(torch.cat([batch.x.float(), again.float().cpu()]), data.spec)
    columns = min(len(rows), MOST_COLUMNS)
    pairs = pixels.view(2, -1, *pixels.shape[1:])
    white = pairs.new_full((2, -len(rows) % columns, *pixels.shape[1:]), 255)
    figure = tiles(
        in_turn(torch.cat([pairs, white], 1), columns),
        columns,
        title=f"{model.name} on {data.name} ({split}): examples, and what their latents say",
        row_labels=("example", "drawn" if draw else "mean") * math.ceil(len(rows) / columns),
    )
    return Picture("reconstructions", figure, facts)


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model can restore examples."""
    if not can_reconstruct(model):
        raise ConfigError(
            f"{model.name} does not both encode and decode, which reconstructions take; train a "
            f"model that does: {able(Coder, Reconstructs)}"
        )


def _fit(law: Any, x: Tensor) -> dict[str, float]:
    """Return the mean log-probability of examples, if their laws have one."""
    if not hasattr(law, "log_prob"):
        return {}
    nats_N = law.log_prob(x).double().flatten(1).sum(1)
    error = float(nats_N.std() / math.sqrt(len(nats_N))) if len(nats_N) > 1 else math.nan
    return {"log_prob": float(nats_N.mean()), "standard_error": error}
