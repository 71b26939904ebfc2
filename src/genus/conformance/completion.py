"""Completion keeps what is known and, where it says so, draws the rest from the exact law."""

# Shapes: B batch, D dims, S all examples of a space.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Completes, Completion, Conditionals, Density
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
from genus.conformance.sampling import P_VALUE, draws
from genus.conformance.tools import all_examples, chi_square_p, gap, index_of, log_prob_of_all


def _mask(context: Context, n: int, salt: int = 0) -> Tensor:
    """Return a random mask of known entries."""
    generator = context.generator(40 + salt)
    return torch.rand(n, *context.spec.shape, generator=generator) < 0.5


def _to_complete(context: Context) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a few examples, a random mask of each and what they are conditional on."""
    n = 2 if is_large(context.spec) else 3
    return context.examples(n), _mask(context, n), context.conditions(n)


def _completed(model: Any, context: Context) -> Completion:
    """Return those examples completed by the model as it is handed to each check, drawn once."""
    x, mask, y = _to_complete(context)
    done: Completion = context.once(
        "completed", lambda: model.complete(x, mask, y=y, generator=context.generator())
    )
    return done


@check("completion.known", Completes, meaning="completing an example changes what was known")
def known(model: Any, context: Context) -> Result:
    """Complete examples with random, empty and full masks and compare the known entries."""
    x, mask, y = _to_complete(context)
    nothing, wrong = torch.zeros_like(mask), []
    done = {"random": (mask, _completed(model, context))}
    for name, other in {"empty": nothing, "full": ~nothing}.items():
        done[name] = other, model.complete(x, other, y=y, generator=context.generator())
    for name, (held, found) in done.items():
        context.spec.check(found.x)
        if not torch.equal(found.x[held], x[held].to(found.x)):
            wrong.append(f"known entries changed with the {name} mask")
    return problems(wrong)


@check("completion.generator", Completes, meaning="a completion cannot be repeated, alone or not")
def repeatable(model: Any, context: Context) -> Iterator[Outcome]:
    """Complete twice from the same generator, together with others and alone."""
    x, mask, y = _to_complete(context)
    first = _completed(model, context).x
    again = model.complete(x, mask, y=y, generator=context.generator()).x
    alone = model.complete(
        x[:1], mask[:1], y=None if y is None else y[:1], generator=context.generator()
    ).x
    limit = 0.0 if context.spec.is_discrete else 1e-9
    yield at_most(gap(first, again), limit, "same generator, same completion")
    yield at_most(gap(first[:1], alone), limit, "completed with others and alone")


@check(
    "completion.exact",
    Completes,
    Density,
    where=small_space,
    meaning="completions called exact do not follow the model's conditional law",
)
def exact(model: Any, context: Context) -> Result:
    """Count completions of one example and compare with Bayes' rule over all examples."""
    spec, n, outcomes = context.spec, draws(context) // 2, []
    for trial, mask in enumerate(_masks_to_try(model, context)):
        x = context.examples(1, 50 + trial).expand(n, *spec.shape)
        for y in context.class_labels(n) + ([None] if spec.classes else []):
            generator, label = context.generator(60 + trial), None if y is None else int(y[0])
            one = None if y is None else y[:1]
            # Those that claim nothing may be slow, and are not drawn by the thousand.
            if model.complete(x[:1], mask, y=one, generator=generator).exact:
                done = model.complete(x, mask.expand_as(x), y=y, generator=generator)
                outcomes.append(_against_bayes(model, context, done.x, x[:1], mask, label))
    if not outcomes:
        raise NotRun("no completion was called exact")
    return outcomes


def _masks_to_try(model: Any, context: Context) -> list[Tensor]:
    """Return a random mask, and for a model with an order one where the first half is known."""
    masks = [_mask(context, 1)]
    if hasattr(model, "order"):
        first = torch.zeros(context.spec.dims, dtype=torch.bool)
        first[model.order()[: context.spec.dims // 2]] = True
        masks.append(first.view(1, *context.spec.shape))
    return masks


def _against_bayes(
    model: Any, context: Context, drawn: Tensor, x: Tensor, mask: Tensor, label: int | None
) -> Any:
    """Return the p-value that completions follow p(missing | known), by enumeration."""
    agrees_S = ((all_examples(context.spec) == x) | ~mask).flatten(1).all(1)
    log_p_S = log_prob_of_all(model, context.spec, label)
    posterior_S = log_p_S.masked_fill(~agrees_S, -torch.inf).softmax(0)
    counts_S = torch.bincount(index_of(drawn, context.spec), minlength=len(log_p_S))
    p_value = chi_square_p(counts_S[agrees_S], posterior_S[agrees_S])
    return at_least(p_value, P_VALUE, f"p-value of {len(drawn)} completions called exact")


@check(
    "completion.log-prob",
    Completes,
    Conditionals,
    Density,
    meaning="the log-probability that comes with a completion is wrong",
)
@torch.no_grad()
def log_prob(model: Any, context: Context) -> Result:
    """Compare it with the conditionals of the entries that were drawn."""
    (_, mask, y), done = _to_complete(context), _completed(model, context)
    if done.log_prob is None:
        raise NotRun("completions come without a log-probability")
    entries = model.conditionals(done.x, y).log_prob(done.x)
    expected = torch.where(mask, torch.zeros_like(entries), entries).flatten(1).sum(1)
    return at_most(gap(done.log_prob, expected), 1e-9)
