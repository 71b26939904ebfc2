r"""How near images that were made from an image come to the one that it was made from.

What only a conditional model can be asked. Of each held-out example x with its condition y = A(x)
there is one sample, and what is done without a model stands beside it.

.. math:: \mathrm{PSNR} = 10 \log_{10} \frac{(K - 1)^2}{\frac{1}{D} \sum_d (x_d - \hat x_d)^2},
    \qquad L_1 = \frac{1}{D} \sum_d \frac{|x_d - \hat x_d|}{K - 1}

The mean of all images that fit a condition has the best PSNR, and it is blurred: a model that draws
one of them pays for its detail. So this is no ranking by itself.
"""

# Shapes: B batch, C H W an image, D its entries.
from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.data.degradations import Degradation
from genus.spec import Batch, Spec


@dataclass(frozen=True)
class Mean:
    """A mean over examples.

    Args:
        value: the mean.
        standard_error: of it, over examples.
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, value_B: Tensor) -> Mean:
        """Return the mean of figures of examples."""
        spread = float(value_B.double().std()) if len(value_B) > 1 else math.nan
        return cls(float(value_B.double().mean()), spread / len(value_B) ** 0.5)


@dataclass(frozen=True)
class Nearness:
    """How near images come to the originals.

    Args:
        psnr: peak signal-to-noise ratio in decibels; more is nearer. An image that is equal to its
            original counts as one with a single entry that is one level off.
        l1: mean distance of an entry, of a range of 1; less is nearer.
        consistency: mean distance of an entry of A(image) from the condition, of a range of 1; None
            where nobody knows A.
    """

    psnr: Mean
    l1: Mean
    consistency: Mean | None


@dataclass(frozen=True)
class PairBlock:
    """A model and what is done without one, on the same examples.

    Args:
        n: how many examples.
        degradation: A, as it is written; None where nobody knows it.
        model: of one sample for each condition.
        baseline: of the condition brought to the size and the colours of an image; None where the
            colours cannot be guessed.
    """

    n: int
    degradation: str | None
    model: Nearness
    baseline: Nearness | None

    def to_json(self) -> dict[str, Any]:
        """Return the block as a dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PairBlock:
        """Build a block from `to_json`'s dictionary."""
        rows = [_nearness(content[name]) for name in ("model", "baseline")]
        assert rows[0] is not None
        return cls(content["n"], content["degradation"], rows[0], rows[1])


def _nearness(content: dict[str, Any] | None) -> Nearness | None:
    if content is None:
        return None
    means = {
        name: None if value is None else Mean(value["value"], _number(value["standard_error"]))
        for name, value in content.items()
    }
    return Nearness(**means)  # type: ignore[arg-type]


def _number(stored: float | None) -> float:
    return math.nan if stored is None else stored


def pair_block(x: Tensor, pairs: Batch, spec: Spec, degradation: Degradation | None) -> PairBlock:
    """Compare images with the originals of the conditions that they were made from.

    Args:
        x: ``(B, C, H, W)`` levels, one for each pair.
        pairs: originals, and what was given of them.
        spec: of the originals, with a condition.
        degradation: what made the conditions, if anybody knows.

    Example:
        >>> from genus.data.degradations import Hide
        >>> spec = Spec((1, 2, 2), levels=5, condition=(1, 2, 2))
        >>> original = torch.tensor([[[[4, 0], [1, 3]]]])
        >>> pairs = Batch(original, Hide("lower")(original, spec))
        >>> found = pair_block(original, pairs, spec, Hide("lower"))
        >>> found.model.l1.value, found.baseline.l1.value, found.model.consistency.value
        (0.0, 0.125, 0.0)
    """
    assert pairs.y is not None
    guess = baseline(pairs.y, spec)
    return PairBlock(
        len(x),
        None if degradation is None else str(degradation),
        _near(x, pairs, spec, degradation),
        None if guess is None else _near(guess, pairs, spec, degradation),
    )


def baseline(y: Tensor, spec: Spec) -> Tensor | None:
    """Return what is made of conditions without a model, ``(B, C, H, W)``, or None.

    They are enlarged by bilinear interpolation where they have another size, and of a grey one all
    colours are its grey.
    """
    channels, *size = spec.shape
    if y.shape[1] not in (1, channels):
        return None
    grown = y.double()
    if list(y.shape[2:]) != size:
        grown = F.interpolate(grown, size, mode="bilinear", align_corners=False)
    return grown.round().long().expand(-1, channels, -1, -1)


def _near(x: Tensor, pairs: Batch, spec: Spec, degradation: Degradation | None) -> Nearness:
    span = spec.levels_or_raise - 1
    off_BD = (x - pairs.x).double().flatten(1)
    error_B = off_BD.square().mean(1).clamp(min=1 / spec.dims)
    consistency = None
    if degradation is not None and pairs.y is not None:
        again = degradation(x, spec.unconditional())
        consistency = Mean.of((again - pairs.y).double().abs().flatten(1).mean(1) / span)
    return Nearness(
        Mean.of(10 * torch.log10(span**2 / error_B)),
        Mean.of(off_BD.abs().mean(1) / span),
        consistency,
    )
