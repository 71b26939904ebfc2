"""The likelihood of a part of an example is that of the whole, summed over the rest."""

# Shapes: B batch, S all examples of a space.
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Classifies, Density, Marginalises
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_most,
    check,
    discrete,
    has_classes,
    is_large,
    small_space,
)
from genus.conformance.tools import all_examples, gap, largest, log_prob_of_all
from genus.spec import Spec

MASKS = 4


def real(spec: Spec) -> bool:
    """Say whether examples are at most 12 real numbers."""
    return not spec.is_discrete and spec.dims <= 12


def _masks(context: Context) -> Tensor:
    """Return random masks of known entries, and those that know one entry or all but one."""
    shape, generator = context.spec.shape, context.generator(70)
    masks = torch.rand(MASKS, context.spec.dims, generator=generator) < 0.5
    masks[0], masks[1] = False, True
    masks[0, -1], masks[1, 0] = True, False
    return masks.view(-1, *shape)


def _uneven(model: Any, context: Context) -> Any:
    """Return the model with classes that are not equally likely, as equal ones hide mistakes."""
    if context.spec.classes is not None and hasattr(model, "set_class_prior"):
        model.set_class_prior(torch.arange(1, context.spec.classes + 1) * 10)
    return model


@check(
    "marginals.sum",
    Marginalises,
    Density,
    where=small_space,
    meaning="the likelihood of the known entries is not the sum over the missing ones",
)
@torch.no_grad()
def sums(model: Any, context: Context) -> Result:
    """Sum the probabilities of all examples that agree with what is known."""
    model, everything = _uneven(model, context), all_examples(context.spec)
    masks, errors = _masks(context), []
    x = context.examples(MASKS, 71)
    for label in [None, *range(context.spec.classes or 0)]:
        log_p_S = log_prob_of_all(model, context.spec, label)
        y = None if label is None else torch.full((MASKS,), label)
        found_B = model.marginal_log_prob(x, masks, y)
        for row in range(MASKS):
            agrees_S = ((everything == x[row]) | ~masks[row]).flatten(1).all(1)
            errors.append(gap(found_B[row], log_p_S[agrees_S].logsumexp(0)))
    return at_most(max(errors), 1e-6, "nats, against the sum over the missing entries")


@check(
    "marginals.quadrature",
    Marginalises,
    Density,
    where=real,
    meaning="the likelihood of the known entries is not the integral over the missing ones",
)
@torch.no_grad()
def integral(model: Any, context: Context) -> Iterator[Outcome]:
    """Integrate one entry out on a grid, with every other entry known."""
    model, spec, count = _uneven(model, context), context.spec, 40_001
    axis = torch.linspace(-60, 60, count, dtype=torch.float64)
    for entry, label in enumerate([None, *range(spec.classes or 0)]):
        column = entry % spec.dims
        x = 0.5 * context.examples(1, 72 + entry).flatten(1)
        known = torch.ones(1, spec.dims, dtype=torch.bool)
        known[0, column] = False
        points = x.repeat(count, 1)
        points[:, column] = axis
        y = None if label is None else torch.full((count,), label)
        log_p = model.log_prob(points.view(count, *spec.shape), y)
        total = log_p.logsumexp(0) + math.log(120 / (count - 1))
        found = model.marginal_log_prob(
            x.view(1, *spec.shape), known.view(1, *spec.shape), None if y is None else y[:1]
        )
        yield at_most(gap(found[0], total), 1e-3, "nats, against the integral over one entry")


@check(
    "marginals.ends",
    Marginalises,
    Density,
    meaning="the likelihood of all entries, or of none, is not that of the example, or certain",
)
@torch.no_grad()
def ends(model: Any, context: Context) -> Iterator[Outcome]:
    """Ask with all entries known, which is log_prob, and with none, which is certain."""
    model, n = _uneven(model, context), 2 if is_large(context.spec) else 5
    x, everything = context.examples(n), torch.ones(n, *context.spec.shape, dtype=torch.bool)
    for y in [None] if context.spec.classes is None else [None, context.conditions(n)]:
        whole = model.log_prob(x, y)
        all_known = model.marginal_log_prob(x, everything, y)
        relative = (all_known - whole) / whole.abs().clamp(min=1)
        yield at_most(largest(relative), 1e-7, "all known, against log_prob, relative")
        none_known = model.marginal_log_prob(x, ~everything, y)
        yield at_most(largest(none_known), 1e-9, "none known, nats from certain")


@check(
    "marginals.unknown",
    Marginalises,
    meaning="what stands at unknown entries changes the likelihood of the known ones",
)
@torch.no_grad()
def unlooked(model: Any, context: Context) -> Result:
    """Put other values at unknown entries, NaN and levels that do not exist among them."""
    masks, x = _masks(context), context.examples(MASKS, 73)
    strange = -1 if discrete(context.spec) else math.nan
    before = model.marginal_log_prob(x, masks)
    after = model.marginal_log_prob(torch.where(masks, x, strange), masks)
    return at_most(gap(before, after), 0.0, "nats between two values of unknown entries")


@check(
    "marginals.posterior",
    Marginalises,
    Classifies,
    where=has_classes,
    meaning="the posterior of the class is not Bayes' rule, given the known entries alone",
)
@torch.no_grad()
def posterior(model: Any, context: Context) -> Result:
    """Weigh the likelihoods of the known entries given each class by the law of the classes."""
    model, masks, x = _uneven(model, context), _masks(context), context.examples(MASKS, 74)
    strange = torch.where(masks, x, -1 if discrete(context.spec) else math.nan)
    if getattr(model, "log_prior_Y", None) is None:
        raise NotRun("the model has no log_prior_Y")
    labels = [torch.full((MASKS,), label) for label in range(context.spec.classes or 0)]
    evidence_BY = torch.stack([model.marginal_log_prob(x, masks, y_B) for y_B in labels], 1)
    wanted_BY = (evidence_BY + model.log_prior_Y.double()).log_softmax(1)
    error = gap(model.class_log_prob(strange, masks), wanted_BY)
    return at_most(error, 1e-6, "nats, against Bayes' rule on the known entries")
