"""Samples drawn from a model: how many, at what price, rounded as the data are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.errors import SpecError
from genus.evaluation.features import MOST_SAMPLES
from genus.evaluation.likelihood import scoring_mode
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

FEWEST_SAMPLES = 50
"""Below this the figures say next to nothing, however slow a model draws."""
CHUNK = 250
"""Samples drawn at a time, a bound on memory."""
_PROBES = (4, 32)


def default_count(data: DataSet, split: str) -> int:
    """Return how many samples are drawn by default: as many as are held out, at most 2,000."""
    return min(len(data.split(split)), MOST_SAMPLES)


def quantise(x: Tensor, spec: Spec) -> Tensor:
    """Return samples as the data are: rounded to the nearest level and kept in range.

    Raises:
        SpecError: they have the wrong shape or hold NaN.
    """
    if spec.is_discrete and x.is_floating_point():
        if not bool(torch.isfinite(x).all()):
            raise SpecError("the samples hold NaN or infinity; the model has diverged")
        x = x.round().clamp(0, spec.levels_or_raise - 1).long()
    return spec.check(x.detach().cpu())


def draw(
    model: Any,
    n: int,
    *,
    y: Tensor | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> tuple[Tensor, float]:
    """Draw samples, at temperature 1 unless a sweep over temperatures is declared.

    Args:
        model: any model.
        n: how many.
        y: ``(n,)`` labels, of a class-conditional model; left out, it draws them itself. Images
            of a model that goes by some.
        seed: of the generator.
        temperature: of the samples; of a model with latents, the factor on them.
        chunk: how many at a time, a bound on memory.

    Returns:
        The samples ``(n, *shape)`` on the CPU and the seconds taken for each.
    """
    generator = torch.Generator().manual_seed(seed)
    started, parts = time.perf_counter(), []
    with scoring_mode(model) as ready:
        for start in range(0, n, chunk):
            size = min(chunk, n - start)
            part = ready.sample(size, generator=generator, **_asked(y, start, size, temperature))
            parts.append(quantise(part, model.spec))
    return torch.cat(parts), (time.perf_counter() - started) / max(n, 1)


def _asked(y: Tensor | None, start: int, size: int, temperature: float) -> dict[str, Any]:
    """Return what is asked of a sampler besides the usual: not every one takes it."""
    asked: dict[str, Any] = {} if y is None else {"y": y[start : start + size]}
    return asked if temperature == 1 else {**asked, "temperature": temperature}


def goes_by_images(model: Any) -> bool:
    """Say whether a model makes examples from images, which must be given."""
    return getattr(model.spec, "condition", None) is not None


def sampling_cost(model: Any, y: Tensor | None = None) -> float:
    """Return about how many seconds a sample will take when drawn in full batches.

    A call costs something whatever it draws, and the first one pays for warming up; so that one is
    not counted, and two sizes tell the price of a call from that of a sample.

    Args:
        model: any model.
        y: images that samples are made from, at least as many as are drawn here; or None.
    """

    def seconds(n: int) -> float:
        return draw(model, n, y=None if y is None else y[:n])[1] * n

    seconds(2)
    small, large = _PROBES
    first, second = map(seconds, _PROBES)
    each = max(0.0, (second - first) / (large - small))
    call = max(0.0, second - large * each)
    return each + call / CHUNK


def affordable(n: int, cost: float, budget: float) -> int:
    """Return how many of ``n`` samples fit a budget in seconds, but never fewer than 50 of them."""
    fitting = n if cost <= 0 else int(budget / cost)
    return min(n, max(FEWEST_SAMPLES, fitting))


def chosen_count(
    model: Any, data: DataSet, split: str, samples: int | None, budget: float
) -> tuple[int, str | None]:
    """Return how many samples to draw, and a note where the budget allows fewer than usual."""
    if samples is not None:
        return samples, None
    usual, y = default_count(data, split), None
    if goes_by_images(model):
        held_out = data.split(split)
        y = held_out.batch(torch.arange(max(_PROBES)) % len(held_out)).y
    n = affordable(usual, sampling_cost(model, y), budget)
    if n == usual:
        return n, None
    return n, f"{n} samples instead of {usual}: drawing them all would take over {budget:g} s"
