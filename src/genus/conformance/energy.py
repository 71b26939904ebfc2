"""Energies are log-probabilities but for one constant, and that constant is bracketed.

The truth comes from enumeration: on a small space all free energies are summed.
"""

# Shapes: B batch, S all examples of a space, R repetitions.
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genus.capabilities import Classifies, Energy, EnergyBounded, LogPartition, Samples, supports
from genus.conformance.bounds import SIGMAS
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_least,
    at_most,
    check,
    enumerable,
    has_classes,
    problems,
    small_space,
)
from genus.conformance.inputs import wrong_inputs
from genus.conformance.sampling import draws, matches
from genus.conformance.subject import changed, randomise, state_of
from genus.conformance.tools import all_examples, chunk_rows, gap, in_chunks

CONSTANT = "free energies and log Z are not those of one law; likelihoods made of them are wrong"


SIZE = 1.5
"""How far weights are moved, in the unit of usual ones: where units hardly depend on each other,
a wrong chain draws from nearly the right law."""


def coupled(model: Any, context: Context) -> Any:
    """Return the model, a copy already, with units that depend on each other."""
    if isinstance(model, nn.Module):
        randomise(model, context.generator(99), SIZE)
    return model


@torch.no_grad()
def log_weights(model: Any, context: Context, label: int | None = None) -> Tensor:
    """Return minus the free energy ``(S,)`` of every example, with a label if one is given."""
    x = all_examples(context.spec)
    y = None if label is None else torch.full((len(x),), label)
    return -in_chunks(model.free_energy, x, y, rows=chunk_rows(context.spec))


def _laws(model: Any, context: Context) -> Iterator[tuple[str, int | None, Tensor]]:
    """Yield p(x), and p(x | y) of each class, as log-probabilities of all examples."""
    for label in (None, *range(context.spec.classes or 0)):
        name = "draws" if label is None else f"draws of class {label}"
        yield name, label, log_weights(model, context, label).log_softmax(0)


def _labels(label: int | None, n: int) -> Tensor | None:
    return None if label is None else torch.full((n,), label)


@check(
    "energy.inputs",
    Energy,
    meaning="input that cannot be right has an energy, or rows depend on each other",
)
@torch.no_grad()
def inputs(model: Any, context: Context) -> Result:
    """Give wrong inputs, batches of 0 and 1, and compare a row with itself alone."""
    wrong = []
    for what, x in wrong_inputs(context).items():
        for name in ("free_energy", "gibbs"):
            try:
                getattr(model, name)(x)
            except ValueError:
                continue
            wrong.append(f"{name} takes {what}")
    x, y = context.examples(4), context.conditions(4)
    for labels in (None, y):
        energy = model.free_energy(x, labels)
        alone = model.free_energy(x[:1], None if labels is None else labels[:1])
        if gap(energy[:1], alone) > 1e-9 or energy.shape != (4,):
            wrong.append("the energy of a row depends on the batch")
    if len(model.free_energy(x[:0])) or len(model.gibbs(x[:0], generator=context.generator())):
        wrong.append("no examples give some rows")
    return problems(wrong)


@check(
    "energy.labels",
    Energy,
    where=has_classes,
    meaning="the energy without a label is not that of the sum over labels",
)
@torch.no_grad()
def labels(model: Any, context: Context) -> Iterator[Outcome]:
    """Sum over labels, and compare the posterior of the class with the energies."""
    x = context.examples(6)
    columns = [
        -model.free_energy(x, _labels(label, 6)) for label in range(context.spec.classes or 0)
    ]
    joint_BY = torch.stack(columns, 1)
    yield at_most(gap(joint_BY.logsumexp(1), -model.free_energy(x)), 1e-9, "sum over labels")
    if supports(model, Classifies):
        posterior = model.class_log_prob(x)
        yield at_most(gap(posterior, joint_BY.log_softmax(1)), 1e-9, "posterior of the class")


@check(
    "energy.gibbs",
    Energy,
    where=small_space,
    meaning="a Gibbs sweep does not leave the model's own law as it is",
)
@torch.no_grad()
def gibbs(model: Any, context: Context) -> Iterator[Outcome]:
    """Draw examples from the enumerated law, sweep once, and count them again."""
    n, x_S = draws(context), all_examples(context.spec)
    model = coupled(model, context)
    for name, label, log_p_S in _laws(model, context):
        salt = 100 if label is None else 101 + label
        generator = context.generator(salt)
        start = torch.multinomial(log_p_S.exp(), n, replacement=True, generator=generator)
        y = _labels(label, n)
        x = model.gibbs(x_S[start], y, generator=generator)
        yield matches(x, log_p_S, context.spec, f"{name} after a sweep")
        moved = (x != x_S[start]).flatten(1).any(1).double().mean()
        yield at_least(moved, 0.01, "share of examples that a sweep changes")


@check(
    "energy.samples",
    Energy,
    Samples,
    where=small_space,
    meaning="samples do not follow the probabilities that the energies imply",
)
def samples(model: Any, context: Context) -> Iterator[Outcome]:
    """Count samples of every example and compare with the enumerated law."""
    n, model = draws(context), coupled(model, context)
    for name, label, log_p_S in _laws(model, context):
        generator = context.generator(110 if label is None else 111 + label)
        x = model.sample(n, y=_labels(label, n), generator=generator)
        yield matches(x, log_p_S, context.spec, name)


@check("energy.log-partition", Energy, where=enumerable, meaning=CONSTANT)
def partition(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare log Z, summed and estimated, with the sum over all examples."""
    model = coupled(model, context)
    truth = float(log_weights(model, context).logsumexp(0))
    found = model.log_partition(generator=context.generator())
    if found.exact:
        yield at_most(abs(found.estimate - truth), 1e-8, "the sum, less that of all examples")
    yield from _brackets(model, context, truth)


@check("energy.bound-partition", EnergyBounded, where=small_space, meaning=CONSTANT)
def bound_partition(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare the estimate of log Z with the sum, where the model has one."""
    model = coupled(model, context)
    found = model.log_partition(generator=context.generator())
    if not found.exact:
        raise NotRun("log Z is not a sum")
    yield from _brackets(model, context, found.estimate)


def _brackets(model: Any, context: Context, truth: float) -> Iterator[Outcome]:
    """Estimate log Z by few and by many steps; the truth is inside, or nearly so."""
    for steps in (3, 60):
        found = _estimated(model, context, steps)
        outside = max(found.lower - truth, truth - found.upper, 0.0)
        room = 0.5 * (found.upper - found.lower) + 1e-9
        yield at_most(outside, room, f"log Z outside of its interval of {steps} steps")
        inside = found.lower <= found.estimate <= found.upper
        yield at_least(float(inside), 1.0, "the estimate lies in the interval")
        again = _estimated(model, context, steps)
        yield at_most(abs(again.estimate - found.estimate), 0.0, "same generator, same estimate")


def _estimated(model: Any, context: Context, steps: int) -> LogPartition:
    before = state_of(model)
    try:
        found: LogPartition = model.log_partition(
            chains=400, steps=steps, generator=context.generator(120), exact=False
        )
    except ValueError as error:
        raise NotRun(f"log Z is not estimated: {error}") from error
    assert not changed(before, state_of(model)), "log_partition changes the model"
    return found


@torch.no_grad()
def mean_weights(model: Any, context: Context, k: int, times: int, label: int | None) -> Tensor:
    """Return unbiased estimates ``(R, S)`` of the probability of every example."""
    x = all_examples(context.spec)
    y = _labels(label, len(x))
    log_z = model.log_partition(generator=context.generator()).estimate
    generator = context.generator(130)
    rows = [-model.free_energy_bound(x, k, y, generator=generator) - log_z for _ in range(times)]
    return torch.stack(rows).exp()


@check(
    "energy.bound",
    EnergyBounded,
    where=small_space,
    meaning="the bound on the energy is not the log of an unbiased estimate, so it bounds nothing",
)
def bound(model: Any, context: Context) -> Iterator[Outcome]:
    """Sum the estimated probabilities of all examples: the mean is one for any number of samples.

    With more samples the bound falls, and over all labels the probabilities sum to one as well.
    """
    times, means = 30, {}
    for k in (1, 8):
        p_RS = mean_weights(model, context, k, times, None)
        means[k] = p_RS.log().mean(0)
        yield _is_one(p_RS.sum(1), f"probabilities summed, k={k}, less one")
    yield at_most((means[1] - means[8]).mean(), 1e-3, "mean rise of the bound from k=1 to k=8")
    if context.spec.classes is not None:
        each = [
            mean_weights(model, context, 4, times, label) for label in range(context.spec.classes)
        ]
        yield _is_one(torch.stack(each).sum((0, 2)), "summed over labels too, less one")


def _is_one(sums_R: Tensor, what: str) -> Outcome:
    error = float(sums_R.std()) / math.sqrt(len(sums_R))
    return at_most(abs(float(sums_R.mean()) - 1), SIGMAS * error + 1e-8, what)


@check(
    "energy.bound-samples",
    EnergyBounded,
    Samples,
    where=small_space,
    meaning="samples do not follow the probabilities that the bound is a bound of",
)
def bound_samples(model: Any, context: Context) -> Iterator[Outcome]:
    """Count samples of every example and compare with the estimated probabilities."""
    n, model = draws(context), coupled(model, context)
    for label in (None, *range(context.spec.classes or 0)):
        p_S = mean_weights(model, context, 3000, 1, label)[0]
        x = model.sample(n, y=_labels(label, n), generator=context.generator(140))
        what = "draws" if label is None else f"draws of class {label}"
        yield matches(x, (p_S / p_S.sum()).log(), context.spec, what)
