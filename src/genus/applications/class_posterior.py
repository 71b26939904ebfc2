r"""The posterior over classes: a model's own, or by Bayes' rule from its bounds.

.. math:: p(y \mid x) \approx \frac{p(y)\, e^{L_k(x \mid y)}}{\sum_{y'} p(y')\, e^{L_k(x \mid y')}}

with :math:`L_k` the importance-weighted bound. It nears the model's posterior as k grows, but is
no bound on it: each class falls short by a gap of its own.

References:
    | Are Generative Classifiers More Robust to Adversarial Attacks? (Li et al., 2019)
    | https://arxiv.org/abs/1802.06552
"""

# Shapes: B batch, N examples, Y classes.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Classifies, supports
from genus.errors import ConfigError, DataError, SpecError
from genus.evaluation.likelihood import place, rows_at_once, scoring_mode
from genus.evaluation.rows import BLOCK, blocks
from genus.registry import able
from genus.spec import Batch

if TYPE_CHECKING:
    from genus.data import Split

SAMPLES = 16
"""Samples of a bound when nothing is said: it is computed once for each class."""


def check_able(model: Any) -> None:
    """Raise unless the model is one of classes, with a posterior over them or a bound for each.

    Raises:
        ConfigError: its class has no such verb.
        SpecError: it was made without classes.
    """
    if not (supports(model, Classifies) or supports(model, Bounded)):
        raise ConfigError(
            f"{model.name} has no posterior over classes; train a model that has: "
            f"{able(Classifies)}; or one with a bound for each class: {able(Bounded)}"
        )
    if model.spec.classes is None:
        raise SpecError(
            f"this {model.name} knows no classes: it was made without them; train it again on "
            "data with labels, with --conditional (in Python: on data.spec as it is)"
        )


def posterior(
    model: Any, split: Split, batch_size: int = BLOCK, *, k: int = SAMPLES, seed: int = 0
) -> Tensor:
    """Return log p(y | x) of every example, ``(N, Y)`` in float64.

    Args:
        model: see `check_able`.
        split: the examples.
        batch_size: how many at a time.
        k: samples of each bound, where the model `Classifies` by its bounds alone.
        seed: for the noise of the bounds, which is the same for every class.

    Raises:
        ConfigError: k or the batch size is below 1.
        DataError: an example is impossible under every class, so that it has no posterior.
    """
    if supports(model, Classifies):
        log_posterior_NY = of_each(model, "class_log_prob", split, batch_size)
    else:
        log_posterior_NY = _by_bounds(model, split, batch_size, k, seed)
    wrong = log_posterior_NY.isnan().any(1).nonzero().flatten().tolist()
    if wrong:
        raise DataError(
            f"{len(wrong):,} of {len(log_posterior_NY):,} examples (row {wrong[0]} is the first) "
            f"have no posterior: {model.name} gives them probability zero under every class, or "
            "has diverged; train it with smoothing, or with a smaller learning rate"
        )
    return log_posterior_NY


def of_each(model: Any, verb: str, split: Split, batch_size: int) -> Tensor:
    """Return what a verb says of every example, in float64.

    Raises:
        ConfigError: the batch size is below 1.
    """
    _check_positive("batch_size", batch_size)
    with scoring_mode(model) as ready:
        parts = [_of_batch(ready, verb, batch) for batch in blocks(split, batch_size)]
    return torch.cat(parts)


def _of_batch(model: Any, verb: str, batch: Batch) -> Tensor:
    """Return what a verb says of a batch, from the known entries where some are missing."""
    x = place(model, batch.x)
    if batch.known is None:
        found: Tensor = getattr(model, verb)(x)
    else:
        verb = "marginal_log_prob" if verb == "log_prob" else verb
        found = getattr(model, verb)(x, batch.known.to(x.device))
    return found.double().cpu()


def _by_bounds(model: Any, split: Split, batch_size: int, k: int, seed: int) -> Tensor:
    _check_positive("batch_size", batch_size)
    _check_positive("k", k)
    size = min(batch_size, rows_at_once(model.spec, k))
    generator = torch.Generator().manual_seed(seed)
    with scoring_mode(model) as ready:
        parts = [_joint(ready, batch.x, k, generator) for batch in blocks(split, size)]
    return torch.cat(parts).log_softmax(1)


def _joint(model: Any, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return ``(B, Y)``, a bound on log p(x, y) for every class, all from the same noise."""
    x, state, bounds = place(model, x), generator.get_state(), []
    for c in range(model.spec.classes):
        generator.set_state(state)
        y_B = torch.full((len(x),), c, device=x.device)
        bounds.append(model.iwae(x, k, y_B, generator=generator).double().cpu())
    joint_BY: Tensor = torch.stack(bounds, 1) + model.log_prior_Y.double().cpu()
    return joint_BY


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name}={value} must be at least 1")
