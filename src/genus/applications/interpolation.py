"""What lies between the latents of two examples."""

# Shapes: P pairs, S steps, E latents, N examples.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from genus.applications.codes import (
    centres,
    is_standard_normal,
    noise_for,
    restored,
    some_rows,
)
from genus.applications.picture import Picture, check_images, seen, tiles
from genus.capabilities import Decodes, supports
from genus.errors import ConfigError, DataError
from genus.evaluation.likelihood import scoring_mode
from genus.evaluation.reconstruction import Coder
from genus.evaluation.rows import read
from genus.evaluation.scoring import check_match
from genus.registry import able

if TYPE_CHECKING:
    from genus.data import DataSet

Route = Literal["auto", "straight", "sphere"]
"""Ways between two latents."""
MANY_LATENTS = 10
"""From so many latents on, a standard normal's mass lies near a sphere, and a way follows it."""
PARALLEL = 1e-3
"""Sines of angles below this leave the arc undefined, and the way is straight."""


@dataclass(frozen=True, eq=False)
class Ends:
    """Where ways begin and end.

    Args:
        first_PE: latents where they begin.
        last_PE: latents where they end.
        y_P: the class of each way, for class-conditional models, or None.
        rows_P2: which examples these are the latents of; None for draws of the prior.
    """

    first_PE: Tensor
    last_PE: Tensor
    y_P: Tensor | None
    rows_P2: Tensor | None


def plot_interpolation(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = 6,
    steps: int = 9,
    rows: Tensor | None = None,
    route: Route = "auto",
    draw: bool = False,
    seed: int = 0,
) -> Picture:
    """Show what lies between the latents of two examples, or of two draws of the prior.

    A model that decodes and does not encode is shown between draws of its prior.

    Args:
        model: one that decodes, of images.
        data: examples for it; a class-conditional model goes between examples of one class.
        split: of the data.
        n: P, how many pairs, chosen at random.
        steps: S, pictures of each way, its ends among them.
        rows: ``(2 P,)`` which ones, instead: first and second, third and fourth, and so on.
        route: "straight", "sphere" (see `between`), or "auto", which takes the sphere for a
            standard normal prior of 10 latents or more.
        draw: show draws of p(x | z), from the same noise along a way, not means.
        seed: of the choice and of the draws.

    Returns:
        The picture, with the facts ``route``, ``latents``, ``ends`` (rows, or "prior") and
        ``distance`` (of the ends of each way).

    Raises:
        ConfigError: the model cannot do it, or an argument is out of range.
        SpecError: the data are no images, or do not fit the model.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("vae", data.spec.unconditional(), latents=12, hidden=16)
        >>> plot_interpolation(model, data, rows=torch.tensor([0, 5])).facts["route"]
        'sphere'
    """
    check_able(model)
    check_images("interpolations", data.spec)
    check_match(model, data)
    if steps < 2:
        raise ConfigError(f"steps={steps} must be at least 2, the two ends")
    ends = _ends(model, data, split, n, rows, seed)
    route = chosen_route(model, ends.first_PE.shape[1], route)
    t_S = torch.linspace(0, 1, steps)
    frames_PS = _frames(model, between(ends.first_PE, ends.last_PE, t_S, route), ends, draw, seed)
    names, labels = _classes(ends, data), [f"{t:.2g}" for t in t_S.tolist()]
    if ends.rows_P2 is not None:
        shown_P2 = read(data.split(split), ends.rows_P2.flatten()).x.float()
        shown_P2 = shown_P2.view(-1, 2, *data.spec.shape)
        frames_PS = torch.cat([shown_P2[:, :1], frames_PS, shown_P2[:, 1:]], 1)
        names = [f"{first} to {last}" for first, last in ends.rows_P2.tolist()]
        labels = ["example", *labels, "example"]
    how = {"sphere": "an arc", "straight": "a straight line"}[route]
    where = "draws of the prior" if ends.rows_P2 is None else f"{data.name}, {split}"
    figure = tiles(
        seen(frames_PS.flatten(0, 1), data.spec),
        frames_PS.shape[1],
        title=f"{model.name} ({where}): {how} between two latents",
        row_labels=names,
        column_labels=labels,
    )
    return Picture("interpolation", figure, {**_facts(ends, route), "draw": draw})


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model decodes latents that can be had."""
    if not (supports(model, Coder) or supports(model, Decodes)):
        raise ConfigError(
            f"{model.name} does not decode latents, which interpolation takes; train a model that "
            f"does: {able(Coder, Decodes)}"
        )


def _classes(ends: Ends, data: DataSet) -> list[str]:
    """Return the class of each way, where there are classes."""
    labels = [] if ends.y_P is None else ends.y_P.tolist()
    return [f"class {data.labels[label] if data.labels else label}" for label in labels]


def _facts(ends: Ends, route: str) -> dict[str, Any]:
    return {
        "route": route,
        "latents": ends.first_PE.shape[1],
        "ends": "prior" if ends.rows_P2 is None else ends.rows_P2.tolist(),
        "distance": (ends.first_PE - ends.last_PE).norm(dim=1).tolist(),
    }


def _frames(model: Any, z_PSE: Tensor, ends: Ends, draw: bool, seed: int) -> Tensor:
    """Return what the latents of all ways are decoded to, ``(P, S, *shape)``."""
    pairs, steps, _ = z_PSE.shape
    way_N = [pair for pair in range(pairs) for _ in range(steps)]
    noise = noise_for(pairs, seed, draw)
    y_N = None if ends.y_P is None else ends.y_P[way_N]
    own = None if noise is None else noise.take(way_N)
    x = restored(model, z_PSE.flatten(0, 1), y_N, own).float()
    return x.view(pairs, steps, *x.shape[1:])


def between(first_PE: Tensor, last_PE: Tensor, t_S: Tensor, route: Route) -> Tensor:
    r"""Return latents on the way from the first to the last, ``(P, S, E)``.

    .. math:: z(t) = (1 - t)\, a + t\, b \qquad\text{(straight)}, \qquad
        z(t) = \frac{\sin((1 - t) \theta)\, a + \sin(t \theta)\, b}{\sin \theta}
        \qquad\text{(sphere)}

    with the angle :math:`\theta` of a and b. Draws of a standard normal in many dimensions have
    nearly the same length, and half way on a straight line the length is less by a factor of
    :math:`\sqrt 2`, as no draw has it; the arc keeps it. Where a and b are parallel, or one of
    them is zero, there is no arc, and the way is straight.

    Args:
        first_PE: a.
        last_PE: b.
        t_S: from 0 to 1.
        route: "straight" or "sphere".

    References:
        | Sampling Generative Networks (White, 2016), https://arxiv.org/abs/1609.04468

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> between(a, b, torch.tensor([0.5]), "straight").norm().item()
        0.7071067690849304
        >>> round(between(a, b, torch.tensor([0.5]), "sphere").norm().item(), 6)
        1.0
    """
    a_P1E, b_P1E, t_1S1 = first_PE[:, None], last_PE[:, None], t_S[None, :, None].to(first_PE)
    straight_PSE = (1 - t_1S1) * a_P1E + t_1S1 * b_P1E
    if route == "straight":
        return straight_PSE
    cosine = torch.nn.functional.cosine_similarity(a_P1E, b_P1E, dim=2)[..., None]
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    none = (sine < PARALLEL) | (a_P1E.norm(dim=2) == 0)[..., None]
    none = none | (b_P1E.norm(dim=2) == 0)[..., None]
    arc_PSE = ((1 - t_1S1) * angle).sin() * a_P1E + (t_1S1 * angle).sin() * b_P1E
    return torch.where(none, straight_PSE, arc_PSE / sine.clamp(min=PARALLEL))


def chosen_route(model: Any, latents: int, route: Route) -> Route:
    """Return the way that "auto" stands for, and any other as it is."""
    if route != "auto":
        return route
    if not supports(model, Decodes) or latents < MANY_LATENTS:
        return "straight"
    with scoring_mode(model) as ready:
        return "sphere" if is_standard_normal(ready.prior()) else "straight"


def _ends(
    model: Any, data: DataSet, split: str, pairs: int, rows: Tensor | None, seed: int
) -> Ends:
    """Return the latents of examples, or draws of the prior where there is no encoder."""
    if not supports(model, Coder):
        if rows is not None:
            raise ConfigError(
                f"{model.name} does not encode, so it goes between draws of its prior; leave the "
                "rows (--index) out, and choose others by the seed"
            )
        return _prior_ends(model, pairs, seed)
    rows_P2 = _pairs(model, data, split, pairs, seed) if rows is None else _paired(rows)
    codes = centres(model, data.split(split), rows_P2.flatten())
    z_P2E, y_P = codes.z_NE.view(-1, 2, codes.z_NE.shape[1]), None
    if model.spec.classes is not None:
        assert codes.y_N is not None
        y_P = _common_class(codes.y_N.view(-1, 2), rows_P2)
    return Ends(z_P2E[:, 0], z_P2E[:, 1], y_P, rows_P2)


def _prior_ends(model: Any, pairs: int, seed: int) -> Ends:
    """Return draws of the prior; classes in turn, for a class-conditional model."""
    with scoring_mode(model) as ready:
        noise = ready.noise(2 * pairs, torch.Generator().manual_seed(seed))
        z_NE = ready.prior().draw(noise).cpu()
    classes = model.spec.classes
    y_P = None if classes is None else torch.arange(pairs) % classes
    return Ends(z_NE[0::2], z_NE[1::2], y_P, None)


def _paired(rows: Tensor) -> Tensor:
    if len(rows) % 2 or not len(rows):
        raise ConfigError(f"{len(rows)} rows make no pairs; give an even number of them")
    return rows.view(-1, 2)


def _pairs(model: Any, data: DataSet, split: str, pairs: int, seed: int) -> Tensor:
    """Return rows at random, two by two, of one class for a class-conditional model."""
    part = data.split(split)
    rows_N = some_rows(part, len(part), seed)
    if model.spec.classes is None:
        return _enough(rows_N[: len(rows_N) // 2 * 2].view(-1, 2)[:pairs], data, split)
    y_N = read(part, rows_N).y
    if y_N is None:
        raise DataError(f"{data.name} has no labels, which a class-conditional model wants")
    by_class = [rows_N[y_N == label] for label in sorted(set(y_N.tolist()))]
    found = [rows[: len(rows) // 2 * 2].view(-1, 2) for rows in by_class]
    turns = max((len(rows) for rows in found), default=0)
    in_turn = [rows[turn] for turn in range(turns) for rows in found if turn < len(rows)]
    return _enough(torch.stack(in_turn[:pairs]) if in_turn else rows_N[:0], data, split)


def _enough(rows_P2: Tensor, data: DataSet, split: str) -> Tensor:
    if not len(rows_P2):
        raise DataError(f"the {split} split of {data.name} has no two examples to go between")
    return rows_P2


def _common_class(y_P2: Tensor, rows_P2: Tensor) -> Tensor:
    """Return the class of each pair."""
    wrong = (y_P2[:, 0] != y_P2[:, 1]).nonzero().flatten().tolist()
    if wrong:
        (first, last), (a, b) = rows_P2[wrong[0]].tolist(), y_P2[wrong[0]].tolist()
        raise ConfigError(
            f"rows {first} and {last} are of classes {a} and {b}; a class-conditional model "
            "decodes given one class: pair rows of the same class"
        )
    return y_P2[:, 0]
