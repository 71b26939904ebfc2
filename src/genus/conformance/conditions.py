"""Models that are given an image to go by: it counts, it is checked, and each has its own."""

# Shapes: B batch.
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Samples
from genus.conformance.checks import (
    Context,
    Outcome,
    Result,
    at_least,
    at_most,
    check,
    has_condition,
    is_large,
    problems,
)
from genus.conformance.classes import calls_with, refusals, responses
from genus.conformance.tools import gap


@check(
    "conditions.used",
    Samples,
    where=has_condition,
    meaning="the model is given an image to go by and ignores it",
)
@torch.no_grad()
def used(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare what each verb does with two different sets of images, all else equal."""
    first, last = _images(context, 32), _images(context, 32, 1)
    for verb, respond in responses(model, context).items():
        yield at_least(gap(respond(first), respond(last)), 1e-6, f"change of {verb} with the image")


@check(
    "conditions.own",
    Samples,
    where=has_condition,
    meaning="a sample depends on the images that are given to the samples beside it",
)
def own(model: Any, context: Context) -> Result:
    """Draw twice with the same noise, and other images for the second half of the samples."""
    n = 2 if is_large(context.spec) else 32
    first, other = _images(context, 2 * n), _images(context, 2 * n, 1)
    mixed = torch.cat([first[:n], other[n:]])
    kept = [model.sample(2 * n, y=y, generator=context.generator(7))[:n] for y in (first, mixed)]
    return at_most(gap(*kept), 0.0 if context.spec.is_discrete else 1e-9)


@check(
    "conditions.refused",
    Samples,
    where=has_condition,
    meaning="an image that cannot be right is not noticed, or ends in an error that says little",
)
def refused(model: Any, context: Context) -> Result:
    """Give images of the wrong size, number, type and range, labels, and to a sampler none."""
    levels = context.spec.levels
    y = _images(context, 3)
    bad = {
        "2 images for 3": y[:2],
        "images of another size": torch.cat([y, y], -1),
        "labels": torch.zeros(3, dtype=torch.long),
        "images of another type": y.double() if levels else y.long(),
    }
    if levels is not None:
        high, low = y.clone(), y.clone()
        high[-1, -1, -1, -1], low[-1, -1, -1, -1] = levels, -1
        bad |= {f"images of level {levels}": high, "images of level -1": low}
    calls: dict[str, Callable[[], object]] = {
        "sample without images": lambda: model.sample(3, generator=context.generator())
    }
    for name, images in bad.items():
        calls |= calls_with(model, context, images, name)
    return problems(refusals(calls))


def _images(context: Context, n: int, salt: int = 0) -> Tensor:
    found = context.images(n, salt)
    assert found is not None
    return found
