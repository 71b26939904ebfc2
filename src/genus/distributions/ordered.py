r"""A law over whole examples whose entries follow one after the other, each given those before it.

.. math:: p(x) = \prod_t p(x_{o_t} \mid x_{o_1}, \dots, x_{o_{t-1}})

It stands where laws of independent entries do: as what a decoder gives, for one.
"""

# Shapes: N rows, D entries; * the shape of an example.
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genus.capabilities import Distribution, Stream
from genus.distributions.likelihoods import Law

CPU = torch.device("cpu")
DRAWS = 8
"""Draws of which `OrderedLaw.mean` is the average."""


@dataclass(frozen=True, eq=False)
class OrderedLaw:
    """The law of N examples by its conditionals, all at once or one at a time.

    Args:
        conditionals: from examples ``(N, *)`` to the law of each entry given those before it.
        stream: begins a walk over the same conditionals, position by position.
        order: the flat index of the entry at each position.
        shape: ``(N, *)``, of all rows together.
        device: where its rows are.
        temperature: divides the logits of every conditional.
    """

    conditionals: Callable[[Tensor], Law]
    stream: Callable[[], Stream]
    order: Sequence[int]
    shape: tuple[int, ...]
    device: torch.device = CPU
    temperature: float = 1.0

    def log_prob(self, x: Tensor) -> Tensor:
        """Return ``(N, *)``, of each entry given those before it; their sum is that of x."""
        return self.conditionals(x).tempered(self.temperature).log_prob(x)

    def tempered(self, temperature: float) -> OrderedLaw:
        """Return the law with the logits of every conditional divided by ``temperature``."""
        return replace(self, temperature=self.temperature * temperature)

    def icdf(self, u: Tensor) -> Tensor:
        """Return the examples ``(N, *)`` that uniform noise ``(N, *)`` stands for."""
        nothing = torch.zeros_like(u, dtype=torch.bool)
        return self.fill(nothing.long(), nothing, u)

    @torch.no_grad()
    def fill(self, x: Tensor, known: Tensor, u: Tensor) -> Tensor:
        """Return x with what is not known drawn in order, each entry given all before it.

        Args:
            x: ``(N, *)``.
            known: ``(N, *)`` boolean.
            u: uniform noise ``(N, *)``, by entry.
        """
        places_D = torch.tensor(self.order, device=u.device)
        by_position_ND = u.flatten(1).index_select(1, places_D).double()
        known_ND = known.expand_as(x).flatten(1)
        filled_ND = x.flatten(1).clone()
        for _ in filling(
            self.stream(), self.order, filled_ND, known_ND, by_position_ND, self.temperature
        ):
            pass
        return filled_ND.view_as(x)

    @property
    def mean(self) -> Tensor:
        """Mean of every entry ``(N, *)``: an estimate, of `DRAWS` draws from fixed noise.

        All rows have the same noise, so that rows of one law have one mean, whatever is beside
        them. It has no slope with respect to what the law was made of.
        """
        generator = torch.Generator().manual_seed(0)
        u_D = torch.rand(DRAWS, *self.shape[1:], generator=generator, dtype=torch.float64)
        total = torch.zeros(self.shape, device=self.device)
        for u in u_D.to(self.device):
            total += self.icdf(u.expand(self.shape))
        return total / DRAWS


def filling(
    stream: Stream,
    order: Sequence[int],
    filled_ND: Tensor,
    known_ND: Tensor,
    u_ND: Tensor,
    temperature: float = 1.0,
) -> Iterator[tuple[Distribution, Tensor, Tensor]]:
    """Draw missing entries in order, in place; behind the last of them nothing is asked.

    Args:
        stream: the conditionals of N examples, at their first position.
        order: the flat index of the entry at each position.
        filled_ND: what is known, and anything in place of the rest.
        known_ND: boolean.
        u_ND: uniform noise, by position in the order.
        temperature: divides the logits of every conditional.

    Yields:
        at each position where an entry is missing its law, the values ``(N,)`` and where they have
        been drawn ``(N,)``.
    """
    missing_ND = ~known_ND
    drawn = missing_ND.any(0).tolist()
    behind = max((position for position, index in enumerate(order) if drawn[index]), default=-1)
    for position, index in enumerate(order[: behind + 1]):
        law = stream.next()
        if drawn[index]:
            law, missing_N = law.tempered(temperature), missing_ND[:, index]
            drawn_N = law.icdf(u_ND[:, position]).to(filled_ND)
            filled_ND[:, index] = torch.where(missing_N, drawn_N, filled_ND[:, index])
            yield law, filled_ND[:, index], missing_N
        stream.push(filled_ND[:, index].clone())


ExampleLaw = Law | OrderedLaw
"""What a decoder gives: a law of each entry by itself, or of one after the other."""
