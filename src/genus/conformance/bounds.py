"""Bounds on the likelihood lie below it, tighten as they should, and meet it in the limit.

The truth comes from quadrature: a model with one or two latent numbers is integrated over a grid.
"""

# Shapes: B batch, G grid points, Z latent size, R repetitions, S all examples of a space.
from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Decodes, Samples
from genus.conformance.checks import (
    Context,
    NotRun,
    Outcome,
    Result,
    at_least,
    at_most,
    check,
    small_space,
    states_of,
)
from genus.conformance.sampling import draws, matches
from genus.conformance.tools import all_examples, gap, middle
from genus.random import ExampleNoise
from genus.spec import Spec

NOT_A_BOUND = "the bound is not below the true log-likelihood; the figures flatter the model"
SIGMAS = 6.0
"""Estimates may be off by so many of their standard errors, whose laws have heavy tails."""


def small(spec: Spec) -> bool:
    """Say whether examples are small enough for quadrature over the latents."""
    return spec.dims <= 12


def repeats(context: Context) -> int:
    """Return how many times a stochastic bound is drawn for each example."""
    if context.spec.dims > 12:
        return 50
    return 150 if context.quick else 300


@dataclass(frozen=True)
class Estimate:
    """Means over repetitions with their standard errors, one for each example."""

    mean: Tensor
    error: Tensor


def estimate(rows: Tensor, examples: int) -> Estimate:
    """Return the mean of ``(R * B,)`` draws over the repetitions."""
    drawn_RB = rows.view(-1, examples)
    return Estimate(drawn_RB.mean(0), drawn_RB.std(0) / len(drawn_RB) ** 0.5)


def repeated(x: Tensor, y: Tensor | None, times: int) -> tuple[Tensor, Tensor | None]:
    """Return the examples and labels, all of them so many times in turn."""
    return torch.cat([x] * times), None if y is None else torch.cat([y] * times)


@torch.no_grad()
def elbo_of(model: Any, x: Tensor, y: Tensor | None, context: Context, salt: int = 0) -> Estimate:
    """Return the mean ELBO of each example over many draws."""
    xs, ys = repeated(x, y, repeats(context))
    return estimate(model.elbo(xs, ys, generator=context.generator(salt)).value, len(x))


@torch.no_grad()
def iwae_of(
    model: Any, x: Tensor, k: int, y: Tensor | None, context: Context, times: int
) -> Estimate:
    """Return the mean IWAE bound of each example over so many repetitions."""
    xs, ys = repeated(x, y, times)
    return estimate(model.iwae(xs, k, ys, generator=context.generator(70 + k)), len(x))


@check("bounds.repeatable", Bounded, meaning="the same seed gives another bound")
@torch.no_grad()
def repeatable(model: Any, context: Context) -> Iterator[Outcome]:
    """Compute both bounds twice from the same generator, the global one disturbed."""
    x, y = context.examples(3), context.conditions(3)
    elbo = [model.elbo(x, y, generator=context.generator()).value for _ in range(2)]
    yield at_most(gap(*elbo), 0.0, "ELBO")
    iwae = [model.iwae(x, 3, y, generator=context.generator()) for _ in range(2)]
    yield at_most(gap(*iwae), 0.0, "IWAE")


@check("bounds.divergence", Bounded, meaning="a divergence is negative, so its sign is wrong")
@torch.no_grad()
def divergence(model: Any, context: Context) -> Result:
    """Look at the mean divergence of each group over many draws."""
    x, y = context.examples(4), context.conditions(4)
    xs, ys = repeated(x, y, 50)
    kl = model.elbo(xs, ys, generator=context.generator()).kl.view(50, 4, -1)
    low = kl.mean(0) + SIGMAS * kl.std(0) / 50**0.5
    return at_least(low.min(), -1e-9, "smallest divergence, plus its error")


@check("bounds.iwae-one", Bounded, meaning="the bound with one sample is not the ELBO")
def iwae_one(model: Any, context: Context) -> Result:
    """Compare IWAE with k=1 and the ELBO, both averaged over draws."""
    x, y = context.examples(4), context.conditions(4)
    one = iwae_of(model, x, 1, y, context, repeats(context))
    elbo = elbo_of(model, x, y, context)
    error = (one.error.square() + elbo.error.square()).sqrt()
    return _within(one.mean - elbo.mean, error, "IWAE(1) less ELBO")


@check("bounds.iwae-grows", Bounded, meaning="more samples do not tighten the bound")
def iwae_grows(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare IWAE at k = 1 and 8; in expectation it never falls."""
    x, y = context.examples(4), context.conditions(4)
    found = [iwae_of(model, x, k, y, context, repeats(context)) for k in (1, 8)]
    for fewer, more in itertools.pairwise(found):
        error = (fewer.error.square() + more.error.square()).sqrt()
        drop = (fewer.mean - more.mean - SIGMAS * error).max()
        yield at_most(drop, 1e-6, "fall from k = 1 to k = 8, less its error")


@check("bounds.parts", Bounded, Decodes, meaning="a part of the ELBO is not what it is called")
@torch.no_grad()
def parts(model: Any, context: Context) -> Iterator[Outcome]:
    """Draw latents from the encoder's law and average log p(x|z) and log q(z|x) - log p(z)."""
    x, y = context.examples(3), context.conditions(3)
    xs, ys = repeated(x, y, repeats(context))
    posterior, prior = _laws(model, xs, ys)
    z = posterior.draw(ExampleNoise(len(xs), context.generator(80), dtype=torch.float64))
    elbo = model.elbo(xs, ys, generator=context.generator(81))
    pairs = {
        "reconstruction": (model.decode(z, ys).log_prob(xs).flatten(1).sum(1), elbo.reconstruction),
        "divergence": (posterior.log_prob(z) - prior.log_prob(z), elbo.kl.sum(1)),
    }
    for name, (ours, theirs) in pairs.items():
        a, b = estimate(ours, len(x)), estimate(theirs, len(x))
        error = (a.error.square() + b.error.square()).sqrt()
        yield _within(a.mean - b.mean, error, f"{name} redrawn, less the ELBO's")


@check("bounds.iwae-redrawn", Bounded, Decodes, meaning="IWAE is not the log of a mean of weights")
@torch.no_grad()
def iwae_redrawn(model: Any, context: Context) -> Result:
    """Draw 3 latents from the encoder's law and average the weights p(x, z) / q(z | x)."""
    k, times, x, y = 3, repeats(context), context.examples(3), context.conditions(3)
    xs, ys = repeated(x, y, times * k)
    posterior, prior = _laws(model, xs, ys)
    z = posterior.draw(ExampleNoise(len(xs), context.generator(82), dtype=torch.float64))
    likelihood = model.decode(z, ys).log_prob(xs).flatten(1).sum(1)
    log_weight = likelihood + prior.log_prob(z) - posterior.log_prob(z)
    bounds = log_weight.view(times, k, 3).logsumexp(1) - math.log(k)
    ours, theirs = estimate(bounds.flatten(), 3), iwae_of(model, x, k, y, context, times)
    error = (ours.error.square() + theirs.error.square()).sqrt()
    return _within(ours.mean - theirs.mean, error, f"IWAE({k}) redrawn, less the model's")


def _laws(model: Any, x: Tensor, y: Tensor | None) -> tuple[Any, Any]:
    """Return the posterior and the prior, if they can be drawn from and scored."""
    posterior = model.encode(x, y) if hasattr(model, "encode") else None
    prior = model.prior()
    if not (hasattr(posterior, "draw") and hasattr(posterior, "log_prob")):
        raise NotRun("the model's posterior has no draw and log_prob")
    if not hasattr(prior, "log_prob"):
        raise NotRun("the model's prior has no log_prob")
    return posterior, prior


def _within(difference: Tensor, error: Tensor, what: str) -> Outcome:
    """Return an outcome that passes if all differences are within their errors of zero."""
    excess = difference.abs() - 1e-9
    figure = torch.where(excess <= 0, torch.zeros_like(excess), excess / error.clamp(min=1e-300))
    return at_most(figure.max(), SIGMAS, f"{what}, in standard errors")


def with_small_latents(model: Any, context: Context) -> list[tuple[Any, Tensor, Tensor]]:
    """Return models of the class with 1 and 2 latents, a grid ``(G, Z)`` and log p(z) times cell.

    Raises:
        NotRun: there is no such model.
    """
    found = context.once("small latents", lambda: _with_small_latents(model, context))
    if not found:
        raise NotRun("needs 1 or 2 latents, and the class has no option called latents")
    return found


def _with_small_latents(model: Any, context: Context) -> list[tuple[Any, Tensor, Tensor]]:
    models = [] if context.variant is None else [context.variant(latents=z) for z in (1, 2)]
    candidates = [m for m in models if m is not None] or [model]
    sizes = [latent_size(candidate, context) for candidate in candidates]
    return [
        (candidate, *latent_grid(candidate, size))
        for candidate, size in zip(candidates, sizes, strict=True)
        if size in (1, 2)
    ]


@torch.no_grad()
def latent_size(model: Any, context: Context) -> int | None:
    """Return the number of latents, from the middle of the encoder's law."""
    if not hasattr(model, "encode"):
        return None
    found = middle(model.encode(context.examples(1), context.conditions(1)))
    return found.shape[-1] if found is not None and found.dim() == 2 else None


@torch.no_grad()
def latent_grid(model: Any, size: int) -> tuple[Tensor, Tensor]:
    """Return points over the prior ``(G, Z)`` and the log of their share of its mass ``(G,)``."""
    axis = torch.linspace(-8, 8, 1601 if size == 1 else 129, dtype=torch.float64)
    z_GZ = torch.cartesian_prod(*[axis] * size).view(-1, size)
    cell = (axis[1] - axis[0]).log() * size
    return z_GZ, model.prior().log_prob(z_GZ) + cell


@torch.no_grad()
def log_marginal(
    model: Any, x: Tensor, label: int | None, z_GZ: Tensor, log_mass_G: Tensor
) -> Tensor:
    """Return log p(x) of each example ``(B,)`` by quadrature over the latents."""
    y = None if label is None else torch.full((len(z_GZ),), label)
    law = model.decode(z_GZ, y)
    columns = []
    for row in x:
        given = law.log_prob(row.expand(len(z_GZ), *row.shape)).flatten(1).sum(1)
        columns.append(torch.logsumexp(given + log_mass_G, 0))
    return torch.stack(columns)


def small_with_classes(spec: Spec) -> bool:
    """Say whether examples are small and have labels."""
    return small(spec) and spec.classes is not None


def few_states(spec: Spec) -> bool:
    """Say whether every example can be integrated over the latents."""
    return small_space(spec) and (states_of(spec) or 0) <= 100


@check("bounds.elbo", Bounded, Decodes, where=small, meaning=NOT_A_BOUND)
def elbo_below(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare the mean ELBO with the true log-likelihood."""
    for other, x, y, truth in _truths(model, context):
        found = elbo_of(other, x, y, context)
        yield _not_above(found, truth, "ELBO")


@check(
    "bounds.iwae",
    Bounded,
    Decodes,
    where=small,
    meaning="with many samples the bound does not come to the true log-likelihood",
)
def iwae_meets(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare IWAE at a large k with the true log-likelihood, from both sides."""
    k, times = _many(context)
    for other, x, y, truth in _truths(model, context):
        found = iwae_of(other, x, k, y, context, times)
        yield _not_above(found, truth, f"IWAE({k})")
        yield _not_below(found, truth, f"IWAE({k})")


def _not_above(found: Estimate, truth: Tensor, what: str) -> Outcome:
    """Return an outcome that passes if no bound is above the truth by more than its error."""
    excess = (found.mean - truth - SIGMAS * found.error).max()
    return at_most(excess, 1e-6, f"{what} less log p(x), less its error")


def _not_below(found: Estimate, truth: Tensor, what: str) -> Outcome:
    """Return an outcome that passes if half of the bounds have come to the truth."""
    lack = (truth - found.mean - SIGMAS * found.error).median()
    return at_most(lack, 0.1, f"log p(x) less {what}, less its error, median")


def _many(context: Context) -> tuple[int, int]:
    """Return a large k and repetitions: with a handful their error is too small now and then."""
    return (250, 16) if context.quick else (500, 20)


def _truths(model: Any, context: Context) -> Iterator[tuple[Any, Tensor, Tensor | None, Tensor]]:
    """Yield models with few latents, examples, their labels and true log-likelihoods."""
    x, label = context.examples(4), (context.spec.classes or 0) - 1
    y = None if context.spec.classes is None else torch.full((4,), label)
    for other, log_p_BY in context.once("truths", lambda: _log_marginals(model, context, x)):
        yield other, x, y, log_p_BY[:, label]


def _log_marginals(model: Any, context: Context, x: Tensor) -> list[tuple[Any, Tensor]]:
    """Return models with few latents and log p(x | y) ``(B, Y)``, of one column without classes."""
    classes = context.spec.classes
    labels = [None] if classes is None else list(range(classes))
    return [
        (other, torch.stack([log_marginal(other, x, y, z_GZ, log_mass_G) for y in labels], 1))
        for other, z_GZ, log_mass_G in with_small_latents(model, context)
    ]


@check(
    "bounds.mixture",
    Bounded,
    Decodes,
    where=small_with_classes,
    meaning="the bound without a label is not one of the mixture over classes by their prior",
)
def mixture(model: Any, context: Context) -> Iterator[Outcome]:
    """Compare both bounds without labels with the true log-likelihood of the mixture."""
    x, (k, times) = context.examples(4), _many(context)
    for other, log_p_BY in context.once("truths", lambda: _log_marginals(model, context, x)):
        if getattr(other, "log_prior_Y", None) is None:
            raise NotRun("the model has no log_prior_Y")
        truth = (log_p_BY + other.log_prior_Y).logsumexp(1)
        elbo, iwae = elbo_of(other, x, None, context), iwae_of(other, x, k, None, context, times)
        yield _not_above(elbo, truth, "ELBO")
        yield _not_above(iwae, truth, f"IWAE({k})")
        yield _not_below(iwae, truth, f"IWAE({k})")


@check(
    "bounds.prior",
    Bounded,
    Decodes,
    where=small,
    meaning="the prior over latents is not a density, so no bound is one",
)
def prior(model: Any, context: Context) -> Iterator[Outcome]:
    """Integrate the prior over its grid."""
    for _, _, log_mass_G in with_small_latents(model, context):
        yield at_most(abs(log_mass_G.exp().sum() - 1), 1e-4, "integral of the prior, less one")


@check(
    "bounds.samples",
    Bounded,
    Decodes,
    Samples,
    where=few_states,
    meaning="samples do not follow the probabilities that the bounds are bounds of",
)
def samples(model: Any, context: Context) -> Iterator[Outcome]:
    """Count samples of every example and compare with probabilities by quadrature.

    In a hurry by that over one latent alone: every example is decoded from the whole grid.
    """
    spec, n = context.spec, draws(context)
    label = None if spec.classes is None else spec.classes - 1
    y = None if label is None else torch.full((n,), label)
    small = with_small_latents(model, context)
    for other, z_GZ, log_mass_G in small[:1] if context.quick else small:
        log_p_S = log_marginal(other, all_examples(spec), label, z_GZ, log_mass_G)
        yield at_most(abs(log_p_S.exp().sum() - 1), 1e-5, "sum of all p(x), less one")
        x = other.sample(n, y=y, generator=context.generator(90))
        yield matches(x, log_p_S, spec, "draws")
