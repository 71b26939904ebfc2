"""Inputs that cannot be right are refused, and every row is treated on its own."""

# Shapes: B batch.
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import (
    Bounded,
    Classifies,
    Completes,
    Conditionals,
    Criticises,
    Density,
    Encodes,
    Features,
    Samples,
    supports,
)
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_most,
    check,
    is_large,
    problems,
)
from genus.conformance.subject import global_seed
from genus.conformance.tools import gap, middle

Verb = Callable[[Tensor, Tensor | None], Any]


def verbs_of(model: Any, context: Context) -> dict[str, Verb]:
    """Return the verbs that take examples, by name, as functions of x and y."""

    def generator() -> torch.Generator:
        return context.generator()

    table: dict[str, tuple[type, Verb]] = {
        "log_prob": (Density, lambda x, y: model.log_prob(x, y)),
        "conditionals": (Conditionals, lambda x, y: model.conditionals(x, y)),
        "elbo": (Bounded, lambda x, y: model.elbo(x, y, generator=generator())),
        "iwae": (Bounded, lambda x, y: model.iwae(x, 2, y, generator=generator())),
        "encode": (Encodes, lambda x, y: model.encode(x, y)),
        "class_log_prob": (Classifies, lambda x, y: model.class_log_prob(x)),
        "features": (Features, lambda x, y: model.features(x)),
        "score": (Criticises, lambda x, y: model.score(x, y)),
        "complete": (Completes, lambda x, y: _complete(model, x, y, generator())),
    }
    spec = context.spec
    return {
        name: verb
        for name, (capability, verb) in table.items()
        if supports(model, capability) and not (name == "class_log_prob" and spec.classes is None)
    }


def _complete(model: Any, x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
    known = torch.zeros(x.shape, dtype=torch.bool)
    known.view(-1)[::2] = True
    filled: Tensor = model.complete(x, known, y=y, generator=generator).x
    return filled


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
    # The last entry, so that no mask of known entries and no order hides it.
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
    wrong = []
    for name, verb in tensor_verbs(model, context).items():
        for n in (0, 1, 2):
            y = context.conditions(n)
            rows = len(verb(context.examples(n), y))
            if rows != n:
                wrong.append(f"{name} of {n} examples gives {rows} rows")
    return problems(wrong)


def tensor_verbs(model: Any, context: Context) -> dict[str, Callable[..., Tensor]]:
    """Return the verbs whose answer is, or holds, one tensor with a row for each example.

    Completion of large examples is left to the checks of completion, because it is slow.
    """
    verbs: dict[str, Callable[..., Tensor]] = dict(verbs_of(model, context))
    if is_large(context.spec):
        verbs.pop("complete", None)
    parts: dict[str, Callable[[Any], Any]] = {
        "elbo": lambda found: found.value,
        "encode": middle,
        "conditionals": lambda found: found.mean,
    }
    for name, part in parts.items():
        if name in verbs:
            verbs[name] = _part(verbs[name], part)
    return verbs


def _part(verb: Verb, part: Callable[[Any], Any]) -> Callable[..., Tensor]:
    def run(x: Tensor, y: Tensor | None) -> Tensor:
        found: Tensor = part(verb(x, y))
        return found

    return run


@check(
    "inputs.dtypes",
    Samples,
    meaning="the same examples in another type give another result, or stop the program",
)
@torch.no_grad()
def dtypes(model: Any, context: Context) -> Iterator[Outcome]:
    """Give each verb levels in each integer type that holds them, or numbers of another length."""
    x, y = context.examples(3), context.conditions(3)
    if context.spec.is_discrete:
        models = dict.fromkeys(_integers(context.spec.levels_or_raise), model)
    else:
        x = x.float().double()
        models = {torch.float32: model, torch.float64: copy.deepcopy(model).float()}
    verbs = {dtype: tensor_verbs(subject, context) for dtype, subject in models.items()}
    if not verbs[next(iter(verbs))]:
        raise NotRun("no verb takes examples")
    for dtype, by_name in verbs.items():
        own = x.float() if dtype == torch.float64 else x  # what the model is in
        for name, verb in by_name.items():
            expected = verb(own, y)
            # Completions have the type of the examples, and large ones are rounded to it.
            size = expected.double().nan_to_num(posinf=0, neginf=0).abs().max()
            gone = gap(verb(x.to(dtype), y), expected) / max(1.0, float(size))
            yield at_most(gone, 1e-9 if context.spec.is_discrete else 1e-4, f"{name} in {dtype}")


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
    x, y = context.examples(4), context.conditions(4)
    first = None if y is None else y[:1]
    for name, verb in verbs.items():
        yield at_most(gap(verb(x, y)[:1], verb(x[:1], first)), 1e-9, f"change of {name}")


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
