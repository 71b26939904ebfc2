"""Decoders whose entries follow one another: the same proofs as for the conditionals of a model."""

# Shapes: B batch, Z latents, D entries.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genus.capabilities import Bounded, Decodes, Stream
from genus.conformance.causality import LEAK, leak
from genus.conformance.checks import Context, NotRun, Result, check, discrete
from genus.conformance.normalisation import latents
from genus.conformance.sampling import stream
from genus.distributions.ordered import OrderedLaw


class GivenLatents:
    """A decoder as a model: the conditionals of examples that all have the same latents.

    Args:
        model: decodes into an `OrderedLaw`.
        z_1Z: the latents.
        y_1: a label, or None.

    Raises:
        NotRun: it decodes into laws of entries by themselves.
    """

    def __init__(self, model: nn.Module, z_1Z: Tensor, y_1: Tensor | None) -> None:
        self.model, self.z_1Z, self.y_1 = model, z_1Z, y_1
        if not isinstance(self._law(1), OrderedLaw):
            raise NotRun("entries are independent given the latents")

    def _law(self, n: int) -> Any:
        y = None if self.y_1 is None else self.y_1.expand(n)
        return self.model.decode(self.z_1Z.expand(n, -1), y)  # type: ignore[operator]

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Return the law of each entry given those before it."""
        return self._law(len(x)).conditionals(x)

    def order(self) -> Tensor:
        """Return ``(D,)``, the index of the entry at each position."""
        return torch.as_tensor(self._law(1).order)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the same laws one position at a time."""
        walk: Stream = self._law(n).stream()
        return walk


def _given(model: nn.Module, context: Context) -> GivenLatents:
    """Return the decoder given the latents of an example.

    Raises:
        NotRun: there is none whose entries follow one another.
    """
    x, y = context.examples(1), context.conditions(1)
    return GivenLatents(model, latents(model.eval(), x, y), y)


@check("decoder.causality", Bounded, Decodes, where=discrete, meaning=LEAK)
@torch.no_grad()
def causality(model: Any, context: Context) -> Result:
    """Change one entry at a time, under the same latents."""
    return leak(_given(model, context), context)


@check(
    "decoder.stream",
    Bounded,
    Decodes,
    where=discrete,
    meaning="samples are drawn from other laws than those that bounds are made of",
)
@torch.no_grad()
def streamed(model: Any, context: Context) -> Result:
    """Compare the streamed law with the full one at every position, under the same latents."""
    return stream(_given(model, context), context)
