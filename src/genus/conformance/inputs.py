"""Inputs that cannot be right are refused, and every row is treated on its own."""

# Shapes: B batch.
from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Density, Samples
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_most,
    check,
    problems,
)
from genus.conformance.subject import global_seed
from genus.conformance.tools import gap
from genus.conformance.verbs import ASKED, Verb, asked, tensor_verbs, verbs_of


@check(
    "inputs.refused",
    Samples,
    meaning="input that cannot be right gives a number, or an error that does not say why",
)
def refused(model: Any, context: Context) -> Result:
    """Give each verb a wrong shape, type and range, and expect a ValueError with a text."""
    wrong = []
    for verb_name, verb in verbs_of(model, context).items():
        for what, x in wrong_inputs(context).items():
            fault = _fault(verb, x, context.conditions(len(x)))
            if fault:
                wrong.append(f"{verb_name} with {what}: {fault}")
    return problems(wrong)


def wrong_inputs(context: Context) -> dict[str, Tensor]:
    """Return inputs that do not fit the Spec, by what is wrong."""
    x = context.examples(3)
    bad = {
        "a missing dimension": x.flatten(1)[:, 0],
        "another shape": torch.cat([x, x], -1),
    }
    levels = context.spec.levels
    if levels is None:
        return {
            **bad,
            "integers": torch.zeros(x.shape, dtype=torch.long),
            "NaN": torch.full_like(x, float("nan")),
        }
    # The first entry, which is known where examples are completed, so that no mask hides it.
    high, low = x.clone(), x.clone()
    high.flatten(1)[:, 0] = levels
    low.flatten(1)[:, 0] = -1
    return {**bad, "real numbers": x.double(), f"level {levels}": high, "level -1": low}


def _fault(verb: Verb, x: Tensor, y: Tensor | None) -> str:
    """Return what is wrong with the answer to a bad input, or nothing."""
    try:
        verb(x, y)
    except ValueError as error:
        return "" if len(str(error)) >= 15 else f"a ValueError that says only {str(error)!r}"
    except Exception as error:  # the wrong kind of error is what is looked for
        return f"{type(error).__name__}, not ValueError"
    return "accepted"


@check("inputs.sizes", Samples, meaning="an empty batch or a single example stops the program")
def sizes(model: Any, context: Context) -> Result:
    """Give each verb that returns a tensor batches of 0, 1 and 2 and look at the rows."""
    two, wrong = asked(model, context).answers, []
    for name, verb in tensor_verbs(model, context).items():
        found = {n: verb(context.examples(n), context.conditions(n)) for n in (0, 1)}
        for n, answer in {**found, ASKED: two[name]}.items():
            if len(answer) != n:
                wrong.append(f"{name} of {n} examples gives {len(answer)} rows")
    return problems(wrong)


@check(
    "inputs.dtypes",
    Samples,
    meaning="the same examples in another type give another result, or stop the program",
)
@torch.no_grad()
def dtypes(model: Any, context: Context) -> Iterator[Outcome]:
    """Give each verb levels in each integer type that holds them, or numbers of another length."""
    x, y = context.examples(ASKED), context.conditions(ASKED)
    verbs = tensor_verbs(model, context)
    if not verbs:
        raise NotRun("no verb takes examples")
    if context.spec.is_discrete:
        expected = asked(model, context).answers
        for dtype in _integers(context.spec.levels_or_raise):
            for name, verb in verbs.items():
                gone = _relative(verb(x.to(dtype), y), expected[name])
                yield at_most(gone, 1e-9, f"{name} in {dtype}")
        return
    short = tensor_verbs(copy.deepcopy(model).float(), context)
    single, double = x.float(), x.float().double()
    for name, verb in verbs.items():
        gone = _relative(verb(single, y), verb(double, y))
        yield at_most(gone, 1e-4, f"{name} in torch.float32")
        gone = _relative(short[name](double, y), short[name](single, y))
        yield at_most(gone, 1e-4, f"{name} in torch.float64")


def _relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, in units of the largest number where that is above one.

    Completions have the type of the examples, and large ones are rounded to it.
    """
    size = expected.double().nan_to_num(posinf=0, neginf=0).abs().max()
    return gap(found, expected) / max(1.0, float(size))


def _integers(levels: int) -> list[torch.dtype]:
    """Return the types but int64 that hold so many levels."""
    types = (torch.uint8, torch.int8, torch.int16, torch.int32)
    return [dtype for dtype in types if torch.iinfo(dtype).max >= levels - 1]


@check(
    "inputs.rows",
    Samples,
    meaning="the result for one example depends on which others are in its batch",
)
@torch.no_grad()
def rows(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare each row's result in a batch with its result alone, evaluating."""
    verbs = tensor_verbs(model, context)
    if not verbs:
        raise NotRun("no verb takes examples")
    together = asked(model, context).answers
    x, y = context.examples(ASKED), context.conditions(ASKED)
    first = None if y is None else y[:1]
    for name, verb in verbs.items():
        change = gap(together[name][:1], verb(x[:1], first))
        yield at_most(change, 1e-9, f"change of {name}")


@check(
    "inputs.rows-train",
    Density,
    meaning="in training, log_prob of one example depends on the others in its batch",
)
@torch.no_grad()
def rows_train(model: Any, context: Context) -> Result:
    """Change all rows but one in training mode, with the same dropout, and compare that one."""
    y = context.conditions(4)
    x, other = context.examples(4), context.examples(4, 1)
    other[0] = x[0]
    model.train()
    results = []
    for batch in (x, other):
        with global_seed(context.seed):
            results.append(model.log_prob(batch, y)[:1])
    return at_most(gap(*results), 1e-9)
