"""What training relies on: losses that mean what they say, and players who keep to themselves."""

# Shapes: B batch.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Density, Objective, Trains
from genus.conformance.bounds import SIGMAS, repeated, repeats
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
from genus.random import BatchNoise, Noise
from genus.spec import Batch

EXAMPLES = 6


class RepeatedNoise:
    """Noise for a batch that holds the same examples twice: both copies get the same.

    Args:
        n: rows of the doubled batch.
        generator: source of the noise of one copy.
    """

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n = n
        self._half = noise_for(n // 2, generator)

    def uniform(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` uniform on [0, 1), the second half equal to the first."""
        return self._half.uniform(*shape).repeat(2, *[1] * len(shape))

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` standard normal, the second half equal to the first."""
        return self._half.normal(*shape).repeat(2, *[1] * len(shape))


def noise_for(n: int, generator: torch.Generator) -> BatchNoise:
    """Return noise in float64."""
    return BatchNoise(n, generator, dtype=torch.float64)


def loss_of(objective: Objective, batch: Batch, noise: Noise, context: Context) -> Tensor:
    """Return the loss, with everything global at a seed."""
    with global_seed(context.seed):
        loss = objective.loss(batch, noise)["loss"]
    if loss.dim() != 0:
        raise ValueError(f"the loss of {objective.name} has shape {tuple(loss.shape)}, not ()")
    return loss


def gradients(model: Any, objective: Objective, context: Context) -> dict[str, Tensor | None]:
    """Return the gradient of every parameter of the model after one loss of one player."""
    model.zero_grad(set_to_none=True)
    batch = context.batch(EXAMPLES)
    loss_of(objective, batch, noise_for(EXAMPLES, context.generator()), context).backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@check(
    "training.players",
    Trains,
    meaning="a weight is trained by two players or by none",
)
def players(model: Any, context: Context) -> Result:
    """Check that the players' parameters are disjoint and are all that can be trained."""
    owners: dict[int, list[str]] = {}
    for objective in model.objectives():
        for parameter in objective.parameters:
            owners.setdefault(id(parameter), []).append(objective.name)
    wrong = [] if model.objectives() else ["there is no player"]
    for name, parameter in model.named_parameters():
        owned = owners.pop(id(parameter), [])
        if not owned and parameter.requires_grad:
            wrong.append(f"{name} belongs to no player")
        if len(owned) > 1:
            wrong.append(f"{name} belongs to {' and '.join(owned)}")
    wrong += [f"{names[0]} has a parameter that is not the model's" for names in owners.values()]
    return problems(wrong)


@check(
    "training.own-gradients",
    Trains,
    meaning="one player's loss pushes another player's weights",
)
def own_gradients(model: Any, context: Context) -> Iterator[Outcome]:
    """Run each player's loss and its gradient, and look at everybody else's weights."""
    objectives = model.objectives()
    if len(objectives) < 2:
        raise NotRun("there is only one player")
    for objective in objectives:
        own = {id(parameter) for parameter in objective.parameters}
        foreign = {n for n, p in model.named_parameters() if id(p) not in own}
        found = gradients(model.train(), objective, context)
        sizes = {
            n: float(g.abs().max()) for n, g in found.items() if n in foreign and g is not None
        }
        worst = max(sizes, key=lambda n: sizes[n], default="")
        note = f"{objective.name} moves {worst}" if sizes and sizes[worst] else objective.name
        yield at_most(max(sizes.values(), default=0.0), 0.0, note)


@check(
    "training.gradients",
    Trains,
    meaning="a weight never learns, or breaks the others with a gradient that is not finite",
)
def finite_gradients(model: Any, context: Context) -> Result:
    """Look for a finite gradient in every parameter, from the player who owns it."""
    wrong = []
    for objective in model.objectives():
        own = {id(parameter) for parameter in objective.parameters}
        found = gradients(model.train(), objective, context)
        for name, parameter in model.named_parameters():
            gradient = found[name]
            if id(parameter) not in own or not parameter.requires_grad:
                continue
            if gradient is None:
                wrong.append(f"{name} gets no gradient")
            elif not bool(torch.isfinite(gradient).all()):
                wrong.append(f"the gradient of {name} is not finite")
    return problems(wrong)


@check(
    "training.duplicated",
    Trains,
    meaning="the loss depends on the size of the batch, and so does the best learning rate",
)
def duplicated(model: Any, context: Context) -> Iterator[Outcome]:
    """Give every example, and its noise, twice; a mean over the batch stays the same."""
    batch = context.batch(EXAMPLES)
    x, y = repeated(batch.x, batch.y, 2)
    for objective in model.eval().objectives():
        once = loss_of(objective, batch, noise_for(EXAMPLES, context.generator()), context)
        noise = RepeatedNoise(2 * EXAMPLES, context.generator())
        twice = loss_of(objective, Batch(x, y), noise, context)
        scale = max(1.0, float(once.detach().abs()))
        yield at_most((twice - once).detach().abs() / scale, 1e-6, objective.name)


@check(
    "training.likelihood",
    Trains,
    Density,
    meaning="what is trained is not the likelihood that is reported",
)
@torch.no_grad()
def likelihood(model: Any, context: Context) -> Result:
    """Compare the loss with minus the mean log_prob per dimension."""
    objective, batch = _only_player(model), context.batch(EXAMPLES)
    loss = loss_of(objective, batch, noise_for(EXAMPLES, context.generator()), context)
    expected = -model.log_prob(batch.x, batch.y).mean() / context.spec.dims
    return at_most(abs(loss - expected), 1e-9, "loss less -log_prob / dims")


def _only_player(model: Any) -> Objective:
    objectives = model.objectives()
    if len(objectives) != 1:
        raise NotRun("there are several players")
    only: Objective = objectives[0]
    return only


def _in_parts(objective: Any, x: Tensor, y: Tensor | None, context: Context) -> Tensor:
    """Return the loss of each of ten parts of a batch, in nats per example."""
    rows, generator = len(x) // 10, context.generator(1)
    parts = [slice(start, start + rows) for start in range(0, len(x), rows)]
    batches = (Batch(x[part], None if y is None else y[part]) for part in parts)
    losses = [loss_of(objective, b, noise_for(rows, generator), context) for b in batches]
    return torch.stack(losses).double() * context.spec.dims


@check(
    "training.bound",
    Trains,
    Bounded,
    meaning="what is trained is not the bound that is reported",
)
@torch.no_grad()
def bound(model: Any, context: Context) -> Result:
    """Compare the loss with minus the mean bound per dimension, over many draws.

    A model may say by ``trained_bound`` how many samples the bound has that it descends, or None
    where it weighs the parts of the bound in training.
    """
    objective, batch = _only_player(model), context.batch(4)
    samples = getattr(model, "trained_bound", 1)
    if samples is None:
        raise NotRun("the model says that it weighs the parts of the bound in training")
    times = repeats(context)
    x, y = repeated(batch.x, batch.y, times)
    if samples == 1:
        value = model.elbo(x, y, generator=context.generator(2)).value
    else:
        value = model.iwae(x, samples, y, generator=context.generator(2))
    elbo, loss_P = value.view(times, 4), _in_parts(objective, x, y, context)
    # All means run over the same examples, so that only the noise makes them differ. The loss may
    # draw what the bound has a formula for, so its spread is its own.
    error = float((elbo.var(0).mean() / elbo.numel() + loss_P.var() / len(loss_P)).sqrt())
    nats = abs(float(loss_P.mean()) + float(elbo.mean()))
    excess = 0.0 if nats <= 1e-9 else nats / max(error, 1e-300)
    return at_most(excess, SIGMAS, f"differs by {nats:.3g} nats, in standard errors")


@check(
    "training.derivative",
    Trains,
    Density,
    meaning="the gradient is not that of the loss, for instance it reaches masked weights",
)
def derivative(model: Any, context: Context) -> Result:
    """Compare the gradient along random directions with a difference quotient of the loss."""
    objective = _only_player(model)
    own = [p for p in objective.parameters if p.requires_grad]
    if not own:
        raise NotRun("no parameters")
    found = gradients(model.eval(), objective, context)
    gradient = {id(p): found[n] for n, p in model.named_parameters()}
    generator, errors = context.generator(3), []
    for _ in range(3):
        direction = [_like(p, generator) for p in own]
        slope = sum(
            float((g * d).sum())
            for p, d in zip(own, direction, strict=True)
            if (g := gradient[id(p)]) is not None
        )
        errors.append(_quotient_error(objective, own, direction, slope, context))
    return at_most(sorted(errors)[1], 1e-3, "relative error of the slope, median of three")


def _like(parameter: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(parameter.shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def _quotient_error(
    objective: Objective,
    own: Sequence[Tensor],
    direction: list[Tensor],
    slope: float,
    context: Context,
) -> float:
    """Return how far the slope is from a central difference, relative to the larger of both."""
    step, losses = 1e-6, []
    start = [p.detach().clone() for p in own]
    for sign in (1, -1):
        for p, s, d in zip(own, start, direction, strict=True):
            p.copy_(s + sign * step * d)
        noise = noise_for(EXAMPLES, context.generator())
        losses.append(float(loss_of(objective, context.batch(EXAMPLES), noise, context)))
    for p, s in zip(own, start, strict=True):
        p.copy_(s)
    quotient = (losses[0] - losses[1]) / (2 * step)
    return abs(quotient - slope) / max(abs(quotient), abs(slope), 1e-6)
