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
    Spec(shape=(3, 4, 3), levels=256),
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

QUICK = (ENUMERABLE[0], ENUMERABLE[3], ENUMERABLE[6], LARGER[2], LARGER[3], CONTINUOUS[2])


def default_specs(*, quick: bool = False) -> tuple[Spec, ...]:
    """Return the Specs on which a class is verified.

    Args:
        quick: only a few of them.

    Example:
        >>> {spec.levels for spec in default_specs()} == {2, 3, 17, 256, None}
        True
    """
    return QUICK if quick else ENUMERABLE + LARGER + CONTINUOUS


def describe(spec: Spec) -> str:
    """Return a Spec in a few words.

    Example:
        >>> describe(Spec(shape=(3, 2, 1), levels=2, classes=3))
        '(3, 2, 1), 2 levels, 3 classes'
    """
    values = "real" if spec.levels is None else f"{spec.levels} levels"
    classes = "" if spec.classes is None else f", {spec.classes} classes"
    return f"{spec.shape}, {values}{classes}"
