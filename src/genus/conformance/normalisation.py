"""Probabilities sum to one: over whole spaces, for each class and at each entry."""

# Shapes: B batch, S all examples of a space, V levels or grid points.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Conditionals, Decodes, Density, Samples
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_most,
    check,
    discrete,
    enumerable,
)
from genus.conformance.tools import (
    chunk_rows,
    fingerprint,
    in_chunks,
    largest,
    log_prob_of_all,
    middle,
)
from genus.distributions.ordered import OrderedLaw
from genus.spec import Spec

INCOMPARABLE = "log_prob is not a log-probability; figures cannot be compared with other models"


def few_numbers(spec: Spec) -> bool:
    """Say whether examples are one or two real numbers, so that densities can be integrated."""
    return not spec.is_discrete and spec.dims <= 2


def enumerable_classes(spec: Spec) -> bool:
    """Say whether all examples of each class can be listed."""
    return enumerable(spec) and spec.classes is not None


@check("normalisation.total", Density, where=enumerable, meaning=INCOMPARABLE)
def total(model: Any, context: Context) -> Result:
    """Sum the probabilities of all examples; a class-conditional model's mixture."""
    sum_ = log_prob_of_all(model, context.spec).exp().sum()
    return at_most(abs(sum_ - 1), 1e-5, f"probabilities sum to {float(sum_):.6g}")


@check("normalisation.classes", Density, where=enumerable_classes, meaning=INCOMPARABLE)
def each_class(model: Any, context: Context) -> Result:
    """Sum the probabilities of all examples given each class."""
    sums = [
        float(log_prob_of_all(model, context.spec, label).exp().sum())
        for label in range(context.spec.classes or 0)
    ]
    worst = max(sums, key=lambda s: abs(s - 1))
    return at_most(abs(worst - 1), 1e-5, f"probabilities of a class sum to {worst:.6g}")


@check("normalisation.quadrature", Density, Samples, where=few_numbers, meaning=INCOMPARABLE)
def quadrature(model: Any, context: Context) -> Result:
    """Integrate the density over a grid that is wide and fine enough for the model's own draws."""
    points, cell, log_p_S = grid(model, context)
    laws = [log_p_S] + [
        _log_density(model, context.spec, points, label)
        for label in range(context.spec.classes or 0)
    ]
    integrals = [float(law_S.exp().sum() * cell) for law_S in laws]
    return [at_most(abs(i - 1), 1e-3, f"the density integrates to {i:.6g}") for i in integrals]


@torch.no_grad()
def _log_density(model: Any, spec: Spec, points: Tensor, label: int | None = None) -> Tensor:
    """Return ``(S,)``, the log-density at points, given a class or of the mixture of classes."""
    y = None if label is None else torch.full((len(points),), label)
    return in_chunks(model.log_prob, points, y, rows=chunk_rows(spec))


def grid(model: Any, context: Context) -> tuple[Tensor, float, Tensor]:
    """Return the points of a grid, a cell's volume and the log-densities, worked out once.

    The grid goes over 10 standard deviations of the model's own draws each way.
    """
    points, cell = context.once("grid", lambda: _points(model, context))
    log_p_S = context.once("density", lambda: _log_density(model, context.spec, points))
    return points, cell, log_p_S


def _points(model: Any, context: Context) -> tuple[Tensor, float]:
    draws = context.draw(model, 500).double().flatten(1)
    count = 20_001 if context.spec.dims == 1 else 301 if context.quick else 501
    axes = [
        torch.linspace(float(m - 10 * s), float(m + 10 * s), count, dtype=torch.float64)
        for m, s in zip(draws.mean(0), draws.std(0), strict=True)
    ]
    cell = 1.0
    for axis in axes:
        cell *= float(axis[1] - axis[0])
    return torch.cartesian_prod(*axes).view(-1, *context.spec.shape), cell


@check("normalisation.conditionals", Conditionals, where=discrete, meaning=INCOMPARABLE)
@torch.no_grad()
def conditionals(model: Any, context: Context) -> Result:
    """Sum each conditional law over all levels."""
    x = context.examples(2)
    law = model.conditionals(x, context.conditions(2))
    return _sums(law, x, context.spec)


@check("normalisation.decoder", Bounded, Decodes, where=discrete, meaning=INCOMPARABLE)
@torch.no_grad()
def decoder(model: Any, context: Context) -> Result:
    """Sum the law of each entry that the decoder gives over all levels."""
    x, y = context.examples(2), context.conditions(2)
    law = model.decode(latents(model, x, y), y)
    if isinstance(law, OrderedLaw):
        law = law.conditionals(x)
    return _sums(law, x, context.spec)


def latents(model: Any, x: Tensor, y: Tensor | None) -> Tensor:
    """Return the middle of the posterior of some examples.

    Raises:
        NotRun: the model does not encode into laws that have a centre or a mean.
    """
    encode = getattr(model, "encode", None)
    found = None if encode is None else middle(encode(x, y))
    if found is None:
        raise NotRun("the model gives no middle of its latents")
    return found


def _sums(law: Any, x: Tensor, spec: Spec) -> Outcome:
    levels: list[float] = list(range(spec.levels_or_raise))
    sums = fingerprint(law, x, levels).exp().sum(-1)
    return at_most(largest(sums - 1), 1e-9, "sum over levels of one entry's law, less one")


@check(
    "conditionals.product",
    Density,
    Conditionals,
    meaning="log_prob is not the sum of the conditionals that the sampler draws from",
)
@torch.no_grad()
def product(model: Any, context: Context) -> Result:
    """Compare log_prob with the sum of the conditionals' log-probabilities."""
    x, y = context.examples(5), context.conditions(5)
    parts = model.conditionals(x, y).log_prob(x).flatten(1).sum(1)
    return at_most(largest(parts - model.log_prob(x, y)), 1e-9)
