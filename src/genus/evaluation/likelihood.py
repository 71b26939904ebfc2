"""Log-likelihood of held-out data: exact, a bound, an estimate, or not to be had.

Bits per dimension exist here and nowhere else: models speak in nats per example.
"""

# Shapes: B batch, N examples.
from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from genus.capabilities import (
    Bounded,
    Density,
    Energy,
    EnergyBounded,
    LogPartition,
    supports,
)
from genus.errors import ConfigError, SpecError, TrainingError
from genus.evaluation.rows import blocks
from genus.likelihood import Kind, LogLikelihood
from genus.registry import check_missing
from genus.spec import Batch, Spec

if TYPE_CHECKING:
    from genus.data import Split

WORK = 2**25
"""Numbers that one batch may hold in its output, a bound on memory (128 MiB in float32)."""


def bits_per_dim(nats: float, spec: Spec, known: float | None = None) -> float:
    r"""Return bits per dimension, :math:`-\text{nats} / (D \ln 2)`; lower is better.

    Args:
        nats: mean log-likelihood of an example, in nats.
        spec: what an example is; D counts every entry, colour channels included.
        known: where entries are missing, how many of an example are known in the mean. They take
            the place of D, so that all bits are shared out among all known entries.

    Raises:
        SpecError: the data are continuous. A density has no bits: rescaling the data would
            change the figure.

    Example:
        >>> round(bits_per_dim(-64 * math.log(2), Spec(shape=(1, 8, 8), levels=2)), 6)
        1.0
    """
    if not spec.is_discrete:
        raise SpecError(
            "bits per dimension are for discrete data; report a density in nats per example"
        )
    return -nats / ((spec.dims if known is None else known) * math.log(2))


def score(
    model: Any,
    split: Split,
    k: int = 64,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> LogLikelihood:
    r"""Return the log-likelihood of every example of a split, as good as the model can tell it.

    A model with a `Density` is scored exactly, one that is `Bounded` by the importance-weighted
    bound with ``k`` samples. One with an `Energy` lacks log Z, which is estimated once; what comes
    of it has an interval. Any other is "n/a". Labels are not shown: a class-conditional model
    is scored by :math:`\log \sum_y p(y) p(x \mid y)`, so that it compares with the others. Where
    entries are missing, the likelihood is that of the known ones, from `Marginalises`. The
    arithmetic is float32, or float64 for a float64 model, whatever precision it was trained in.

    Args:
        model: any model.
        split: held-out examples.
        k: samples per example of the bound.
        batch_size: examples scored at once; chosen by size when left out. It
            changes the memory used, not the result.
        seed: for the noise of the bound.
        progress: called with the number of examples scored after each batch.

    Raises:
        ConfigError: ``k`` or ``batch_size`` is below 1, or the split is empty.
        SpecError: entries are missing, and the model has no likelihood of the others.
        TrainingError: the model returns NaN.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("independent", data.spec.unconditional())
        >>> score(model, data.test).kind
        'exact'
    """
    _check_arguments(split, k, batch_size)
    if getattr(split, "known", None) is not None:
        check_missing(model, "some entries of the split are missing", fit=False)
        verb, samples = _marginal, None
    elif supports(model, Density):
        verb, samples = _exact, None
    elif supports(model, Bounded):
        verb, samples = _bound, k
    elif supports(model, Energy):
        verb, samples = _energy, None
    elif supports(model, EnergyBounded):
        verb, samples = _energy_bound, k
    else:
        return LogLikelihood.not_available()
    size = batch_size or rows_at_once(model.spec, samples or 1)
    generator = torch.Generator().manual_seed(seed)
    parts: list[Tensor] = []
    with scoring_mode(model) as ready:
        for batch in blocks(split, size):
            parts.append(verb(ready, batch, k, generator).double().cpu())
            if progress is not None:
                progress(sum(map(len, parts)))
        nats = torch.cat(parts).numpy()
        constant = log_partition(ready, seed) if verb in (_energy, _energy_bound) else None
    if constant is not None:
        nats = nats - constant.estimate
    _check_values(nats)
    return _likelihood(nats, samples, constant)


def log_partition(model: Any, seed: int) -> LogPartition:
    """Return log Z of an energy model, summed, or from 100 runs of 2,000 steps each way."""
    generator = torch.Generator().manual_seed(seed)
    found: LogPartition = model.log_partition(chains=100, steps=2000, generator=generator)
    return found


def _likelihood(
    nats: np.ndarray, samples: int | None, constant: LogPartition | None
) -> LogLikelihood:
    """Return nats with their kind, and the interval that a constant not known exactly leaves."""
    kind: Kind = "exact" if samples is None else "lower bound"
    if constant is None or constant.exact:
        return LogLikelihood(nats, kind, samples)
    mean = float(nats.mean()) + constant.estimate
    interval = (mean - constant.upper, mean - constant.lower)
    return LogLikelihood(nats, "estimate" if samples is None else kind, samples, interval)


@contextlib.contextmanager
def scoring_mode(model: Any) -> Iterator[Any]:
    """Give the model in evaluation mode, float32 or better, without autocast or gradients.

    A model with half-precision weights is copied; the caller's model keeps its mode and weights.
    """
    if not isinstance(model, nn.Module):
        with torch.no_grad():
            yield model
        return
    tensors = (*model.parameters(), *model.buffers())
    if any(t.dtype in (torch.bfloat16, torch.float16) for t in tensors):
        model = copy.deepcopy(model).float()
    modes = [(module, module.training) for module in model.modules()]
    device = tensors[0].device.type if tensors else "cpu"
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device, enabled=False):
            yield model
    finally:
        for module, training in modes:
            module.training = training


def _check_arguments(split: Split, k: int, batch_size: int | None) -> None:
    if k < 1:
        raise ConfigError(f"k={k} must be at least 1: it counts samples of the bound")
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size={batch_size} must be at least 1")
    if not len(split):
        raise ConfigError("the split has no examples to score; choose another split")


def _check_values(nats: np.ndarray) -> None:
    wrong = int(np.isnan(nats).sum())
    if wrong:
        raise TrainingError(
            f"the model's log-likelihood is NaN for {wrong} of {nats.size} examples; "
            "it has diverged: train again with a smaller learning rate"
        )


def rows_at_once(spec: Spec, samples: int) -> int:
    """Return how many examples are scored at a time, a bound on memory.

    Args:
        spec: what they are.
        samples: of the bound on each.
    """
    work = spec.dims * (spec.levels or 1) * samples
    return max(8, min(256, WORK // work))


def place(model: Any, x: Tensor) -> Tensor:
    """Return x where the model is, and real numbers in the model's floating type."""
    floats = (
        [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
        if (isinstance(model, nn.Module))
        else []
    )
    if not floats:
        return x
    return x.to(floats[0]) if x.is_floating_point() else x.to(floats[0].device)


def _exact(model: Any, batch: Batch, k: int, generator: torch.Generator) -> Tensor:
    values: Tensor = model.log_prob(place(model, batch.x))
    return values


def _marginal(model: Any, batch: Batch, k: int, generator: torch.Generator) -> Tensor:
    assert batch.known is not None
    x = place(model, batch.x)
    values: Tensor = model.marginal_log_prob(x, batch.known.to(x.device))
    return values


def _bound(model: Any, batch: Batch, k: int, generator: torch.Generator) -> Tensor:
    values: Tensor = model.iwae(place(model, batch.x), k, generator=generator)
    return values


def _energy(model: Any, batch: Batch, k: int, generator: torch.Generator) -> Tensor:
    values: Tensor = model.free_energy(place(model, batch.x))
    return -values


def _energy_bound(model: Any, batch: Batch, k: int, generator: torch.Generator) -> Tensor:
    values: Tensor = model.free_energy_bound(place(model, batch.x), k, generator=generator)
    return -values
