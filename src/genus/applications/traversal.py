"""One latent at a time, with all others held."""

# Shapes: N examples, E latents, L latents that are shown, S steps.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.codes import (
    ACTIVE,
    MOST_ENCODED,
    Codes,
    centres,
    check_codes,
    noise_for,
    restored,
    some_rows,
)
from genus.applications.picture import Picture, check_images, seen, tiles
from genus.errors import ConfigError
from genus.evaluation.scoring import check_match

if TYPE_CHECKING:
    from genus.data import DataSet

REACH = 3.0
"""How many deviations a latent is moved to either side."""


def plot_traversal(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = 8,
    steps: int = 7,
    rows: Tensor | None = None,
    draw: bool = False,
    seed: int = 0,
) -> Picture:
    r"""Show what the most active latents do: each is moved, and the others stay.

    .. math:: z = c + t\, \sigma_l\, e_l, \qquad -3 \le t \le 3

    with the centre c of one example's posterior and the standard deviation :math:`\sigma_l` of the
    centres of latent l over the split. The latents whose centres vary most come first (activity as
    by Burda et al., 2016); a model without a prior has no other scale.

    Args:
        model: one that encodes and decodes, of images.
        data: examples for it, with labels where it is class-conditional.
        split: of the data; the deviations are of at most 2,000 of its examples.
        n: L, how many latents.
        steps: S, pictures of each.
        rows: ``(1,)`` the example to begin at; one at random where left out.
        draw: show draws of p(x | z), all from the same noise, not means.
        seed: of the choice and of the draws.

    Returns:
        The picture, with the facts ``row``, ``latents`` (their numbers), ``deviation`` (of each),
        ``active`` (how many vary by more than 0.01) and ``of`` (how many there are).

    Raises:
        ConfigError: the model cannot do it, or an argument is out of range.
        SpecError: the data are no images, or do not fit the model.

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("vae", data.spec.unconditional(), latents=4, hidden=16)
        >>> facts = plot_traversal(model, data, n=2, rows=torch.tensor([7])).facts
        >>> facts["row"], len(facts["latents"]), facts["of"]
        (7, 2, 4)
    """
    check_able(model)
    check_images("traversals", data.spec)
    check_match(model, data)
    if steps < 2:
        raise ConfigError(f"steps={steps} must be at least 2, the two ends")
    if rows is not None and len(rows) != 1:
        raise ConfigError(f"a traversal begins at one example, and {len(rows)} rows are given")
    part = data.split(split)
    spread = centres(model, part, some_rows(part, MOST_ENCODED, seed))
    begin = centres(model, part, spread.rows_N[:1] if rows is None else rows)
    chosen_L = spread.variance_E.argsort(descending=True, stable=True)[:n]
    t_S = torch.linspace(-REACH, REACH, steps)
    z_LSE = moved(begin.z_NE[0], spread.variance_E.sqrt().float(), chosen_L, t_S)
    x = _decoded(model, z_LSE, begin, draw, seed)
    deviation_L = spread.variance_E[chosen_L].sqrt()
    names = zip(chosen_L.tolist(), deviation_L.tolist(), strict=True)
    figure = tiles(
        seen(x.float(), data.spec),
        steps,
        title=f"{model.name}: the latents that vary most, around {split} example "
        f"{int(begin.rows_N)} of {data.name}",
        row_labels=[f"z[{latent}]  σ={deviation:.2g}" for latent, deviation in names],
        column_labels=[f"{t:+.2g}σ" if t else "0" for t in t_S.tolist()],
    )
    return Picture("traversal", figure, _facts(spread, begin, chosen_L, draw))


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model encodes and decodes."""
    check_codes(model, "traversal")


def moved(centre_E: Tensor, deviation_E: Tensor, chosen_L: Tensor, t_S: Tensor) -> Tensor:
    """Return latents ``(L, S, E)``: in each row one of them is moved by multiples of its deviation.

    Example:
        >>> moved(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([1]), torch.tensor([-1.0]))
        tensor([[[ 0., -2.]]])
    """
    z_LSE = centre_E.expand(len(chosen_L), len(t_S), -1).clone()
    for place, latent in enumerate(chosen_L.tolist()):
        z_LSE[place, :, latent] += t_S.to(centre_E) * deviation_E[latent]
    return z_LSE


def _decoded(model: Any, z_LSE: Tensor, begin: Codes, draw: bool, seed: int) -> Tensor:
    """Return what all latents are decoded to, ``(L * S, *shape)``, in the example's class."""
    z_NE = z_LSE.flatten(0, 1)
    noise = noise_for(1, seed, draw)
    y_N = None
    if model.spec.classes is not None:
        assert begin.y_N is not None
        y_N = begin.y_N.expand(len(z_NE))
    return restored(model, z_NE, y_N, None if noise is None else noise.take([0] * len(z_NE)))


def _facts(spread: Codes, begin: Codes, chosen_L: Tensor, draw: bool) -> dict[str, Any]:
    variance_E = spread.variance_E
    return {
        "row": int(begin.rows_N),
        "latents": chosen_L.tolist(),
        "deviation": variance_E[chosen_L].sqrt().tolist(),
        "active": int((variance_E > ACTIVE).sum()),
        "of": len(variance_E),
        "examples": len(spread.z_NE),
        "draw": draw,
    }
