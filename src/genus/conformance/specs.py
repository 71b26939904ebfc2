"""The data on which a class is verified: small enough to enumerate, odd enough to find mistakes."""

from __future__ import annotations

from genus.spec import Spec

ENUMERABLE = (
    Spec(shape=(1, 2, 3), levels=2),
    Spec(shape=(1, 3, 2), levels=2, classes=2),
    Spec(shape=(3, 1, 2), levels=3),
    Spec(shape=(3, 2, 1), levels=2, classes=3),
    Spec(shape=(1, 2, 1), levels=17),
    Spec(shape=(1, 1, 2), levels=256),
    Spec(shape=(4,), levels=3),
    Spec(shape=(5,), levels=2, classes=2),
)
"""Spaces whose examples can all be listed, so that probabilities can be summed."""

LARGER = (
    Spec(shape=(1, 6, 5), levels=2),
    Spec(shape=(3, 3, 2), levels=256),
    Spec(shape=(3, 5, 3), levels=17, classes=3),
    Spec(shape=(1, 8, 8), levels=17, classes=2),
)
"""Images on which a network has room to look in the wrong place."""

CONTINUOUS = (
    Spec(shape=(1,)),
    Spec(shape=(2,)),
    Spec(shape=(2,), classes=3),
    Spec(shape=(5,), classes=2),
)
"""Real vectors; densities over one or two numbers can be integrated."""

CONDITIONED = (
    Spec(shape=(1, 8, 8), levels=17, condition=(1, 4, 4)),
    Spec(shape=(3, 4, 3), levels=256, condition=(1, 4, 3)),
    Spec(shape=(1, 4, 6), levels=2, condition=(1, 2, 3)),
    Spec(shape=(1, 9, 5), levels=3, condition=(1, 9, 5)),
    Spec(shape=(2, 6, 6), levels=17, condition=(3, 4, 5)),
)
"""Images that come with an image to go by: smaller, grey, of the same size, of quite another."""

QUICK = (ENUMERABLE[0], ENUMERABLE[3], ENUMERABLE[6], LARGER[2], LARGER[3], CONTINUOUS[2])


def default_specs(*, quick: bool = False, condition: bool = False) -> tuple[Spec, ...]:
    """Return the Specs on which a class is verified.

    Args:
        quick: only a few of them.
        condition: for a class that goes by images, to which few others are given.

    Example:
        >>> {spec.levels for spec in default_specs()} == {2, 3, 17, 256, None}
        True
    """
    if condition:
        return (*CONDITIONED[: 2 if quick else None], ENUMERABLE[0], LARGER[3])
    return QUICK if quick else ENUMERABLE + LARGER + CONTINUOUS


def describe(spec: Spec) -> str:
    """Return a Spec in a few words.

    Example:
        >>> describe(Spec(shape=(3, 2, 1), levels=2, classes=3))
        '(3, 2, 1), 2 levels, 3 classes'
    """
    values = "real" if spec.levels is None else f"{spec.levels} levels"
    classes = "" if spec.classes is None else f", {spec.classes} classes"
    given = "" if spec.condition is None else f", given {spec.condition}"
    return f"{spec.shape}, {values}{classes}{given}"
