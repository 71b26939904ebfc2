"""Class-conditional models: the mixture, Bayes' rule, and labels that matter."""

# Shapes: B batch, Y classes.
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import (
    Bounded,
    Classifies,
    Conditionals,
    Criticises,
    Density,
    Samples,
    Trains,
    supports,
)
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_least,
    at_most,
    check,
    has_classes,
    problems,
)
from genus.conformance.subject import randomise
from genus.conformance.tools import fingerprint, gap, largest, probe_values
from genus.spec import Spec

NOTICED = 1e-6
"""A change that is less is none."""
LARGER_WEIGHTS = 1.5
"""How far weights are moved where a label moved nothing, in the unit of usual ones."""


def no_classes(spec: Spec) -> bool:
    """Say whether the data have no labels."""
    return spec.classes is None


def joint(model: Any, x: Tensor, spec: Spec) -> Tensor:
    """Return ``(B, Y)``, log p(x | y) + log p(y).

    Raises:
        NotRun: the model does not say what its prior over classes is.
    """
    prior_Y = getattr(model, "log_prior_Y", None)
    if prior_Y is None:
        raise NotRun("the model has no log_prior_Y")
    classes = range(spec.classes or 0)
    columns = [model.log_prob(x, torch.full((len(x),), label)) for label in classes]
    total: Tensor = torch.stack(columns, 1) + prior_Y
    return total


@check(
    "classes.mixture",
    Density,
    where=has_classes,
    meaning="log_prob without a label is not the mixture over classes by their prior",
)
@torch.no_grad()
def mixture(model: Any, context: Context) -> Result:
    """Compare log_prob(x) with the sum over classes of p(y) p(x | y)."""
    x = context.examples(6)
    expected = joint(model, x, context.spec).logsumexp(1)
    return at_most(gap(model.log_prob(x), expected), 1e-6)


@check(
    "classes.bayes",
    Density,
    Classifies,
    where=has_classes,
    meaning="class_log_prob is not the posterior of the class that log_prob implies",
)
@torch.no_grad()
def bayes(model: Any, context: Context) -> Result:
    """Compare class_log_prob(x) with Bayes' rule."""
    x = context.examples(6)
    expected = joint(model, x, context.spec).log_softmax(1)
    return at_most(gap(model.class_log_prob(x), expected), 1e-6)


@check(
    "classes.posterior",
    Classifies,
    where=has_classes,
    meaning="the probabilities of the classes of one example do not sum to one",
)
@torch.no_grad()
def posterior(model: Any, context: Context) -> Result:
    """Sum the posterior over classes."""
    sums = model.class_log_prob(context.examples(6)).exp().sum(1)
    return at_most(largest(sums - 1), 1e-6)


@check(
    "classes.prior",
    Samples,
    where=has_classes,
    meaning="the prior over classes is not a probability",
)
def prior(model: Any, context: Context) -> Result:
    """Sum the prior over classes."""
    if getattr(model, "log_prior_Y", None) is None:
        raise NotRun("the model has no log_prior_Y")
    return at_most(abs(float(model.log_prior_Y.double().exp().sum()) - 1), 1e-5)


def responses(model: Any, context: Context) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what depends on a condition, by verb, as functions of 32 labels or images."""
    x = context.examples(32)
    # Many draws, because a condition may move but a few entries of small models.
    verbs: dict[str, Callable[[Tensor], Tensor]] = {
        "sample": lambda y: model.sample(256, y=torch.cat([y] * 8), generator=context.generator())
    }
    if supports(model, Criticises):
        verbs["score"] = lambda y: model.score(x, y)
    if supports(model, Density):
        verbs["log_prob"] = lambda y: model.log_prob(x, y)
    if supports(model, Bounded):
        verbs["elbo"] = lambda y: model.elbo(x, y, generator=context.generator()).value
    if supports(model, Conditionals):
        values = probe_values(context.spec)
        verbs["conditionals"] = lambda y: fingerprint(model.conditionals(x, y), x, values)
    return verbs


@check(
    "classes.used",
    Samples,
    where=has_classes,
    meaning="the model takes a label and ignores it; without use for labels it must refuse them",
)
@torch.no_grad()
def used(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare what the model does with two different labels, all else equal."""
    assert context.spec.classes is not None
    if context.spec.classes < 2:
        raise NotRun("only one class")
    found = _moved_by_label(model, context, context.spec.classes - 1)
    if min(found.values()) < NOTICED and supports(model, Trains):
        # Of a few bits the label of a small network may move none; with larger weights it does.
        randomise(model, context.generator(98), LARGER_WEIGHTS)
        again = _moved_by_label(model, context, context.spec.classes - 1)
        found = {verb: max(change, again[verb]) for verb, change in found.items()}
    for verb, change in found.items():
        yield at_least(change, NOTICED, f"change of {verb} with the label")


def _moved_by_label(model: Any, context: Context, other: int) -> dict[str, float]:
    """Return by verb how far another label than the first moves what the model says."""
    first, last = torch.zeros(32, dtype=torch.long), torch.full((32,), other)
    return {
        verb: gap(respond(first), respond(last))
        for verb, respond in responses(model, context).items()
    }


def refusals(calls: dict[str, Callable[[], object]]) -> list[str]:
    """Return the calls that were not answered by a ValueError."""
    wrong = []
    for name, call in calls.items():
        try:
            call()
        except ValueError:
            continue
        except Exception as error:  # the wrong kind of error is what is looked for
            wrong.append(f"{name} raises {type(error).__name__}, not ValueError")
            continue
        wrong.append(f"{name} is accepted")
    return wrong


def calls_with(
    model: Any, context: Context, y: Tensor, name: str
) -> dict[str, Callable[[], object]]:
    """Return one call for each verb that takes labels or images to go by."""
    x = context.examples(3)
    calls: dict[str, Callable[[], object]] = {
        f"sample with {name}": lambda: model.sample(3, y=y, generator=context.generator())
    }
    if supports(model, Density):
        calls[f"log_prob with {name}"] = lambda: model.log_prob(x, y)
    if supports(model, Bounded):
        calls[f"elbo with {name}"] = lambda: model.elbo(x, y)
        calls[f"iwae with {name}"] = lambda: model.iwae(x, 2, y)
    if supports(model, Criticises):
        calls[f"score with {name}"] = lambda: model.score(x, y)
    if supports(model, Conditionals):
        calls[f"conditionals with {name}"] = lambda: model.conditionals(x, y)
    return calls


@check(
    "classes.refused",
    Samples,
    where=no_classes,
    meaning="a model without classes takes labels silently, so a user believes they count",
)
def refused(model: Any, context: Context) -> Result:
    """Give labels to an unconditional model and expect a ValueError."""
    return problems(
        refusals(calls_with(model, context, torch.zeros(3, dtype=torch.long), "labels"))
    )


@check(
    "classes.range",
    Samples,
    where=has_classes,
    meaning="a wrong label is not noticed, or ends in an error that does not say what is wrong",
)
def label_range(model: Any, context: Context) -> Result:
    """Give labels out of range, of the wrong count and of the wrong type."""
    assert context.spec.classes is not None
    bad = {
        f"label {context.spec.classes}": torch.tensor([0, 0, context.spec.classes]),
        "label -1": torch.tensor([0, -1, 0]),
        "2 labels for 3": torch.tensor([0, 0]),
        "labels that are real numbers": torch.zeros(3),
    }
    calls: dict[str, Callable[[], object]] = {}
    for name, y in bad.items():
        calls |= calls_with(model, context, y, name)
    return problems(refusals(calls))
