"""Ask a model everything that takes examples, in one way for all checks.

What a model answers to a few fixed examples is compared with what a copy of it, a reloaded one or
the same one in another type answers. A completion may take a second, so the examples are two, and
the answers of the model as it is handed to each check are worked out once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    supports,
)
from genus.conformance.checks import Context, is_large
from genus.conformance.subject import changed, global_seed, state_of
from genus.conformance.tools import middle

ASKED = 2
"""Examples that are asked about; `Context.conditions` makes them of different classes."""
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
    """Complete every other entry of the upper third; the checks of completion have all masks.

    One who draws entry after entry is through with what is missing after a third of the way.
    """
    known = torch.ones(x.shape, dtype=torch.bool)
    axis = min(2, x.dim() - 1)  # rows of an image, entries of a vector
    upper = known.narrow(axis, 0, -(-x.shape[axis] // 3))
    upper.copy_((torch.arange(upper.numel()) % 2 == 0).view_as(upper))
    filled: Tensor = model.complete(x, known, y=y, generator=generator).x
    return filled


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


def answers(model: Any, context: Context, real: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return what the model says to a few fixed questions, by verb; real data in a given type."""
    x, y = context.examples(ASKED), context.conditions(ASKED)
    x = x if context.spec.is_discrete else x.to(real)
    with torch.no_grad():
        found = {name: verb(x, y) for name, verb in tensor_verbs(model, context).items()}
    found["sample"] = context.draw(model, 2)
    return found


@dataclass(frozen=True)
class Asked:
    """What a model said, and what became of it.

    Args:
        answers: by verb, see `answers`.
        effects: what asking changed in the model, in words.
    """

    answers: dict[str, Tensor]
    effects: list[str]


def asked(model: Any, context: Context) -> Asked:
    """Return what the model says as it is handed to each check; call it before all else."""
    return context.once("asked", lambda: _ask(model, context))


def _ask(model: Any, context: Context) -> Asked:
    before, mode = state_of(model), getattr(model, "training", None)
    # A model that draws from the global generators answers later questions otherwise.
    with global_seed(context.seed + 1):
        said = answers(model, context)
    effects = [f"changed {name}" for name in changed(before, state_of(model))]
    if getattr(model, "training", None) != mode:
        effects.append("changed from evaluation to training mode")
    return Asked(said, effects)
