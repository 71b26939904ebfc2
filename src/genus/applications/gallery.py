"""What a model has learned, in those pictures that suit it, small enough for a page of many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genus.applications import filters, interpolation, latent_map, state_paths, traversal
from genus.applications.picture import SEEN, Picture
from genus.capabilities import Encodes, supports
from genus.errors import ConfigError

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.spec import Spec

ROOM = 2**20
"""Pixels of one picture; of large images it shows fewer."""


@dataclass(frozen=True)
class _Kind:
    """A kind of picture.

    Args:
        draw: of a model and its data; it takes a number of rows, a split and a seed.
        check_able: raises `ConfigError` for a model without what it shows.
        rows: how many it has at most, or how many examples.
        frames: images in a row; 0 of a picture that is not made of images.
    """

    draw: Callable[..., Picture]
    check_able: Callable[[Any], None]
    rows: int
    frames: int = 0


def _filters(model: Any, data: DataSet, *, n: int, split: str, seed: int) -> Picture:
    return filters.plot_filters(model, n=n)  # which need no data


def _check_encodes(model: Any) -> None:
    """Raise `ConfigError` for a model without latents; a map of features is not of the model."""
    if not supports(model, Encodes):
        raise ConfigError(f"{model.name} does not encode")


_KINDS = {
    "traversal": _Kind(traversal.plot_traversal, traversal.check_able, 6, 7),
    "interpolation": _Kind(interpolation.plot_interpolation, interpolation.check_able, 4, 11),
    "latent-map": _Kind(latent_map.plot_latent_map, _check_encodes, 1_000),
    "filters": _Kind(_filters, filters.check_able, 32, 1),
    "states": _Kind(state_paths.plot_states, state_paths.check_able, 2),
}


def kinds_of(model: Any) -> list[str]:
    """Return which pictures `draw` can make of a model, by the names that `genus plot` has.

    Reconstructions are not among them: a comparison shows the same examples for all models.

    Example:
        >>> from genus import Spec, create
        >>> digits = Spec(shape=(1, 8, 8), levels=17)
        >>> kinds_of(create("vae", digits))
        ['traversal', 'interpolation', 'latent-map', 'filters']
        >>> kinds_of(create("hmm", digits)), kinds_of(create("pixelcnn", digits))
        (['states'], [])
        >>> kinds_of(create("vae", Spec(shape=(4,), levels=None)))
        ['latent-map']
    """
    return [name for name, kind in _KINDS.items() if _suits(kind, model)]


def draw(kind: str, model: Any, data: DataSet, *, split: str = "test", seed: int = 0) -> Picture:
    """Return one picture of what a model has learned; of large images it shows fewer.

    Args:
        kind: one of `kinds_of`.
        model: a trained one.
        data: what it was trained on.
        split: of which examples are shown.
        seed: of their choice.

    Raises:
        GenusError: the picture cannot be made of these data, as `genus.applications` tells it.
    """
    chosen = _KINDS[kind]
    rows = chosen.rows
    if chosen.frames:
        rows = max(1, min(rows, ROOM // (chosen.frames * _pixels(model.spec))))
    return chosen.draw(model, data, n=rows, split=split, seed=seed)


def _suits(kind: _Kind, model: Any) -> bool:
    if kind.frames and not model.spec.is_image:
        return False
    try:
        kind.check_able(model)
    except ConfigError:
        return False
    return True


def _pixels(spec: Spec) -> int:
    """Return the pixels of an image as it is shown."""
    height, width = spec.shape[1:]
    return math.prod((height, width)) * max(1, SEEN // max(height, width)) ** 2
