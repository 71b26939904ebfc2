"""Drawing completions with any model that can, and putting them into files and figures."""

# Shapes: I examples, n completions of each.
from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.capabilities import Completion
from genus.cli import files
from genus.cli.pictures import panels
from genus.training.atomic import write_bytes

if TYPE_CHECKING:
    from genus.cli.complete import DrawOptions, Plan
    from genus.spec import Spec

CHUNK = 16
"""Completions drawn at a time, between two moves of the progress bar."""
FIGURES = ("log_prob", "log_known", "log_conditional", "effective", "y")
"""What is told of each completion beside itself; see `genus.capabilities.Completion`."""


def draw(
    model: Any, plan: Plan, options: DrawOptions, advance: Callable[[int], None]
) -> Completion:
    """Complete each example several times.

    Args:
        model: any model that completes.
        plan: examples, what is missing, arguments of the verb.
        options: how many, seed and class.
        advance: told how many are done, after each chunk.

    Returns:
        The completion of ``n * I`` rows: all examples once, then all once more, and so on, so that
        the first ones do not depend on how many there are.
    """
    generator = torch.Generator().manual_seed(options.seed)
    x, known = plan.given.x.to(model.device), ~plan.missing.to(model.device)
    parts = []
    for rows in torch.split(torch.arange(options.n * len(x)) % len(x), CHUNK):
        y = None if options.class_ is None else torch.full((len(rows),), options.class_)
        mask = known.expand(len(rows), *known.shape)
        parts.append(model.complete(x[rows], mask, y=y, generator=generator, **plan.settings))
        advance(len(rows))
    return joined(parts)


def joined(parts: list[Completion]) -> Completion:
    """Return chunks with one mask as one completion; its words are those of the worst chunk."""

    def whole(name: str) -> Any:
        pieces = [getattr(part, name) for part in parts]
        return None if any(p is None for p in pieces) else torch.cat([p.cpu() for p in pieces])

    def worth(part: Completion) -> float:
        return math.inf if part.effective is None else float(part.effective.min())

    exact = all(part.exact for part in parts)
    tensors = {name: whole(name) for name in ("x", *FIGURES)}
    return Completion(exact=exact, method=min(parts, key=worth).method, **tensors)


def save(done: Completion, plan: Plan, spec: Spec, recipe: dict[str, Any]) -> str:
    """Write completions as ``.png`` or ``.npz`` and return the sha256 of the file."""
    count = len(plan.given.x)
    filled = done.x.view(-1, count, *spec.shape).transpose(0, 1)
    if plan.path.suffix.lower() == ".png":
        picture = panels(plan.given.x, plan.missing, filled, spec)
        return write_bytes(plan.path, files.png(picture, recipe))
    figures = {name: by_example(getattr(done, name), count) for name in FIGURES}
    arrays = {
        "x": files.numbers(filled, spec),
        "original": files.numbers(plan.given.x, spec),
        "missing": plan.missing.numpy(),
        **{name: value.numpy() for name, value in figures.items() if value is not None},
    }
    return write_bytes(plan.path, files.npz(arrays, recipe))


def by_example(values: Tensor | None, count: int) -> Tensor | None:
    """Return figures of all rows ``(n I,)`` as ``(I, n)``."""
    return None if values is None else values.view(-1, count).T


def facts(done: Completion, plan: Plan, n: int, spec: Spec) -> dict[str, Any]:
    """Return what is printed of completions, with lists by example and completion."""
    count = len(plan.given.x)
    figures = {name: by_example(getattr(done, name), count) for name in FIGURES}
    conditional = figures["log_conditional"]
    if conditional is None and done.exact:  # then the other one is the same
        conditional = figures["log_prob"]
    missing = int(plan.missing.sum())
    bits = None
    if conditional is not None and spec.is_discrete:
        bits = (-conditional.double() / (missing * math.log(2))).tolist()
    return {
        "out": str(plan.path),
        "images": list(plan.given.names),
        "n": n,
        "missing": missing,
        "entries": spec.dims,
        "exact": done.exact,
        "method": done.method,
        **{name: None if v is None else v.tolist() for name, v in figures.items()},
        "bits": bits,
    }
