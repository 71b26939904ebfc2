"""Samples follow the density, and are a function of the generator and of nothing else."""

# Shapes: n samples, S all examples of a space.
from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genus.capabilities import Conditionals, Density, Samples
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_least,
    at_most,
    check,
    is_large,
    problems,
    small_space,
)
from genus.conformance.normalisation import few_numbers, grid
from genus.conformance.subject import changed, state_of
from genus.conformance.tools import (
    chi_square_p,
    fingerprint,
    gap,
    index_of,
    log_prob_of_all,
    probe_values,
)
from genus.spec import Spec

P_VALUE = 1e-4
OTHER_LAW = "samples do not follow the model's own probabilities"


def draws(context: Context) -> int:
    """Return how many samples to count."""
    return 1000 if context.quick else 4000


def matches(x: Tensor, log_prob_S: Tensor, spec: Spec, what: str) -> Outcome:
    """Return the p-value that samples have these log-probabilities."""
    probability_S = log_prob_S.exp()
    counts_S = torch.bincount(index_of(x, spec), minlength=len(log_prob_S))
    p_value = chi_square_p(counts_S, probability_S)
    return at_least(p_value, P_VALUE, f"p-value of {len(x)} {what}")


@check("sampling.density", Samples, Density, where=small_space, meaning=OTHER_LAW)
def density(model: Any, context: Context) -> Iterator[Outcome]:
    """Count samples of every example and compare with the probabilities, by chi-square."""
    spec, n = context.spec, draws(context)
    x = model.sample(n, generator=context.generator(1))
    yield matches(x, log_prob_of_all(model, spec), spec, "draws")
    for label in range(spec.classes or 0):
        x = model.sample(n, y=torch.full((n,), label), generator=context.generator(2 + label))
        yield matches(x, log_prob_of_all(model, spec, label), spec, f"draws of class {label}")


@check("sampling.density-real", Samples, Density, where=few_numbers, meaning=OTHER_LAW)
@torch.no_grad()
def density_real(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare the draws' log-densities with those that the density itself implies.

    The law of log p(x) for x from p is known from the grid: its quantiles cut the draws into
    twenty parts that must hold as many draws each. So do cuts along each coordinate.
    """
    points, cell, log_p_S = grid(model, context)
    x = model.sample(draws(context), generator=context.generator(1)).double()
    yield _cut(log_p_S, model.log_prob(x), log_p_S.exp() * cell, "log-densities")
    columns = zip(points.flatten(1).T, x.flatten(1).T, strict=True)
    for number, (axis_S, values) in enumerate(columns):
        yield _cut(axis_S, values, log_p_S.exp() * cell, f"values of entry {number}")


def _cut(value_S: Tensor, drawn: Tensor, mass_S: Tensor, what: str) -> Outcome:
    """Return the p-value of draws counted between quantiles of a statistic on a grid."""
    sorted_S, order_S = value_S.sort()
    cdf_S = mass_S[order_S].cumsum(0)
    at = torch.searchsorted(cdf_S, torch.linspace(0.05, 0.95, 19).double() * cdf_S[-1])
    edges = torch.unique(sorted_S[at.clamp(max=len(sorted_S) - 1)])
    upper = cdf_S[torch.searchsorted(sorted_S, edges, right=True) - 1]
    masses = torch.diff(upper, prepend=upper.new_zeros(1), append=cdf_S[-1:])
    cells = torch.bincount(torch.searchsorted(edges, drawn), minlength=len(edges) + 1)
    return at_least(chi_square_p(cells, masses), P_VALUE, f"p-value of {len(drawn)} {what}")


@check(
    "sampling.count",
    Samples,
    meaning="a sample changes with the number drawn beside it, so it cannot be reproduced alone",
)
def count(model: Any, context: Context) -> Result:
    """Draw 1, 3 and 64 samples from the same generator and compare the first ones."""
    many = _drawn(model, context)
    worst = max(gap(_labelled(model, context, n), many[:n]) for n in (1, 3) if n < len(many))
    return at_most(worst, _closeness(context.spec), "largest change of a sample")


def _drawn(model: Any, context: Context) -> Tensor:
    """Return a few samples of the model as it is handed to each check, drawn once."""
    n = 2 if is_large(context.spec) else 64
    return context.once("drawn", lambda: _labelled(model, context, n))


def _labelled(model: Any, context: Context, n: int, salt: int = 3) -> Tensor:
    """Return ``n`` samples without labels followed, if there are classes, by labelled ones."""
    x, y = context.draw(model, n, salt), context.conditions(n)
    if y is None or context.spec.classes is None:
        return x
    return torch.stack([x, model.sample(n, y=y, generator=context.generator(salt))], 1)


def _closeness(spec: Spec) -> float:
    return 0.0 if spec.is_discrete else 1e-9


@check("sampling.generator", Samples, meaning="runs cannot be repeated, or repeat too much")
def generator(model: Any, context: Context) -> Iterator[Outcome]:
    """Draw twice from the same generator and once from another, the global one disturbed."""
    first = _drawn(model, context)
    torch.rand(17), np.random.rand(17), random.random()
    again = _labelled(model, context, len(first))
    yield at_most(gap(first, again), 0.0, "same generator, same samples")
    other = gap(first, _labelled(model, context, len(first), salt=4))
    yield at_least(other, 1e-6, "another generator, other samples")


@check(
    "sampling.pure",
    Samples,
    meaning="drawing samples changes the model or the global random state, and so what follows",
)
def pure(model: Any, context: Context) -> Result:
    """Compare weights, buffers, mode and global generators before and after sampling."""
    before, mode = state_of(model), getattr(model, "training", None)
    states = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    context.draw(model, 2)
    wrong = [f"changed {name}" for name in changed(before, state_of(model))]
    if getattr(model, "training", None) != mode:
        wrong.append("changed from evaluation to training mode")
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    if not torch.equal(states[0], after[0]):
        wrong.append("moved torch's global generator although one was given")
    if states[1] != after[1] or states[2] != after[2]:
        wrong.append("moved the global generator of NumPy or Python")
    return problems(wrong)


@check("sampling.fits", Samples, meaning="samples are not examples of the data's kind")
def fits(model: Any, context: Context) -> Result:
    """Check shape, type and range of samples, none at all and tempered ones among them."""
    wrong = []
    asked = [(0, 1.0), (3, 0.5), (3, 1.0), (3, 2.0)]
    for n, temperature in asked[: 2 if is_large(context.spec) else 4]:
        x = context.draw(model, n, temperature=temperature)
        context.spec.check(x)
        if len(x) != n:
            wrong.append(f"asked for {n}, got {len(x)}")
        if context.spec.is_discrete and x.dtype != torch.long:
            wrong.append(f"levels are {x.dtype}, not torch.int64")
        if x.requires_grad:
            wrong.append("samples carry a gradient")
    return problems(dict.fromkeys(wrong))


@check(
    "sampling.temperature",
    Samples,
    meaning="temperature=1.0 is not the model's own law, or a bad one is accepted",
)
def temperature(model: Any, context: Context) -> Result:
    """Compare temperature 1 with none, and expect a ValueError from one of zero or below."""
    plain, same = context.draw(model, 3), context.draw(model, 3, temperature=1.0)
    wrong = [] if torch.equal(plain, same) else ["temperature=1.0 differs from the default"]
    for value in (0.0, -1.0):
        try:
            context.draw(model, 1, temperature=value)
        except ValueError:
            continue
        wrong.append(f"temperature={value} is accepted")
    return problems(wrong)


@check(
    "sampling.stream",
    Conditionals,
    meaning="the fast sampler draws from other laws than those that are scored",
)
@torch.no_grad()
def stream(model: Any, context: Context) -> Result:
    """Compare the streamed law with the full one at every position, feeding random examples."""
    spec, n = context.spec, 3
    if spec.dims > 4000:
        raise NotRun("more than 4000 entries")
    x, y = context.examples(n, 30), context.conditions(n)
    values = probe_values(spec)
    full = fingerprint(model.conditionals(x, y), x, values).flatten(1, -2)
    streamed, worst, where = model.stream(n, y), 0.0, ""
    for position, index in enumerate(model.order().tolist()):
        entry = x.flatten(1)[:, index]
        difference = gap(fingerprint(streamed.next(), entry, values), full[:, index])
        if difference > worst:
            worst, where = difference, f"largest at position {position}"
        streamed.push(entry)
    return at_most(worst, 1e-9, where)
