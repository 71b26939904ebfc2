r"""Sequential Monte Carlo: many completions drawn side by side, weighed by what is known.

Missing entries are drawn from the model's conditionals, which are blind to what comes later. When
a known entry comes, each particle is weighed by the probability that it gave to it. Particles
whose weights have become too uneven are drawn anew in proportion to them. The mean weight is an
unbiased estimate of the probability of all that is known.

.. math:: w^{(n)} = \prod_{t\ \text{known}} p\big(x_t \mid x^{(n)}_{<t}\big), \qquad
    \hat p(x_\text{known}) = \frac{1}{N} \sum_n w^{(n)}

References:
    | Sequential Monte Carlo Methods in Practice (Doucet, de Freitas and Gordon, 2001)
    | On Disturbance State-Space Models and the Particle Marginal Metropolis-Hastings Sampler
      (Murray, Jones and Parslow, 2012), arXiv:1202.6159, for systematic resampling
"""

# Shapes: E examples, N particles of each, R = E N rows of a stream, D entries, K levels.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.random import ExampleNoise

if TYPE_CHECKING:
    from genus.families.autoregressive import Autoregressive

LAW_NUMBERS = 2**22
"""Numbers in the parameters of the laws that a full pass makes at a time, a bound on memory."""
NOTHING = -1e30
"""Log-weights end here, so that particles which all are impossible can still be compared."""


@dataclass(frozen=True)
class Drawn:
    """One completion of each example, picked by weight, and what is known about the choice.

    Args:
        x_ED: the completed examples.
        labels_E: their labels, or None.
        log_known_E: log of an unbiased estimate of the probability of what is known.
        effective_E: the effective number of particles when it was lowest.
    """

    x_ED: Tensor
    labels_E: Tensor | None
    log_known_E: Tensor
    effective_E: Tensor


def entry_log_probs(
    model: Autoregressive, x_BD: Tensor, y: Tensor | None, temperature: float
) -> Tensor:
    """Return ``(B, D)``, the log-probability of each entry given those before it, by full passes.

    Args:
        model: an autoregressive model.
        x_BD: flattened examples.
        y: ``(B,)`` labels, or None.
        temperature: of the conditionals.
    """
    spec = model.spec
    rows = max(1, LAW_NUMBERS // (spec.dims * (spec.levels or 2)))
    parts = []
    for start in range(0, len(x_BD), rows):
        x = x_BD[start : start + rows].view(-1, *spec.shape)
        law = model.conditionals(x, None if y is None else y[start : start + rows])
        parts.append(law.tempered(temperature).log_prob(x).flatten(1))
    return torch.cat(parts)


def draw_by_weight(
    model: Autoregressive,
    x_ED: Tensor,
    known_ED: Tensor,
    labels_R: Tensor | None,
    particles: int,
    noise: ExampleNoise,
    temperature: float,
) -> Drawn:
    """Complete examples by particles and return one completion of each.

    Args:
        model: an autoregressive model.
        x_ED: flattened examples; what stands in missing entries does not matter.
        known_ED: boolean, by entry.
        labels_R: a label of every particle, or None.
        particles: N, of each example.
        noise: of the examples.
        temperature: of the conditionals.
    """
    D, order = model.spec.dims, model.order().to(x_ED.device)
    known = known_ED[:, order]
    # Behind the last missing entry nothing is drawn, so that one full pass weighs all the rest.
    end = D - int(known.flip(1).all(0).long().cumprod(0).sum())
    u_EDN, u_ED, u_E = noise.uniform(D, particles), noise.uniform(D), noise.uniform()
    drawing_ED = (~known).flip(1).long().cumsum(1).flip(1) > 0
    rows = Particles(model, x_ED, labels_R, particles, temperature)
    weighing = known.any(0).tolist()
    for t, index in enumerate(order[:end].tolist()):
        rows.advance(index, known[:, t] if weighing[t] else None, u_EDN[:, t])
        if weighing[t]:
            rows.resample(drawing_ED[:, t], u_ED[:, t])
    if end < D:
        rows.weigh_rest(order[end:])
    return rows.pick(u_E)


class Particles:
    """N completions of each of E examples in one stream, with their weights.

    Args:
        model: an autoregressive model.
        x_ED: flattened examples.
        labels_R: a label of every particle, or None.
        count: N.
        temperature: of the conditionals.
    """

    def __init__(
        self,
        model: Autoregressive,
        x_ED: Tensor,
        labels_R: Tensor | None,
        count: int,
        temperature: float,
    ) -> None:
        self.model, self.count, self.temperature = model, count, temperature
        self.labels_R = labels_R
        self.x_RD = x_ED.repeat_interleave(count, 0)
        self.stream = model.stream(len(self.x_RD), labels_R)
        self.log_weight_EN = x_ED.new_zeros(len(x_ED), count, dtype=torch.float64)
        self.effective_E = self.effective()

    def advance(self, index: int, known_E: Tensor | None, u_EN: Tensor) -> None:
        """Draw an entry of every particle, or weigh it where it is known.

        Args:
            index: of the entry that comes next.
            known_E: in which examples it is known; None where it is missing in all.
            u_EN: uniform noise.
        """
        law = self.stream.next().tempered(self.temperature)
        value_R = law.icdf(u_EN.flatten()).to(self.x_RD)
        if known_E is not None:
            known_R = known_E.repeat_interleave(self.count)
            value_R = torch.where(known_R, self.x_RD[:, index], value_R)
            self._weigh(law.log_prob(value_R).masked_fill(~known_R, 0))
        self.x_RD[:, index] = value_R
        self.stream.push(value_R)

    def _weigh(self, log_prob_R: Tensor) -> None:
        gain_EN = log_prob_R.double().view_as(self.log_weight_EN)
        self.log_weight_EN = (self.log_weight_EN + gain_EN).clamp(min=NOTHING)
        self.effective_E = torch.minimum(self.effective_E, self.effective())

    def resample(self, drawing_E: Tensor, u_E: Tensor) -> None:
        """Draw particles in proportion to their weights, where fewer than half of them count.

        Args:
            drawing_E: which examples have entries still to be drawn; for the others it would
                only make copies.
            u_E: uniform noise, one number for all particles of an example.
        """
        chosen_E = drawing_E & (self.effective() < self.count / 2)
        if not bool(chosen_E.any()):
            return
        own_N = torch.arange(self.count, device=u_E.device)
        places_EN = (own_N + u_E.double().unsqueeze(1)) / self.count
        index_EN = torch.where(chosen_E.unsqueeze(1), self._at(places_EN), own_N)
        first_E = torch.arange(len(u_E), device=u_E.device) * self.count
        self._select((index_EN + first_E.unsqueeze(1)).flatten())
        mean_EN = self.log_mean_weight().unsqueeze(1).expand_as(self.log_weight_EN)
        self.log_weight_EN = torch.where(chosen_E.unsqueeze(1), mean_EN, self.log_weight_EN)

    def _at(self, places_EM: Tensor) -> Tensor:
        """Return the particles at places from 0 to 1 of the row of all weights, side by side."""
        cdf_EN = self.log_weight_EN.softmax(1).cumsum(1)
        return torch.searchsorted(cdf_EN / cdf_EN[:, -1:], places_EM, right=True)

    def _select(self, index_R: Tensor) -> None:
        self.x_RD = self.x_RD[index_R]
        self.labels_R = None if self.labels_R is None else self.labels_R[index_R]
        self.stream.select(index_R)

    def effective(self) -> Tensor:
        """Return ``(E,)``, how many particles of equal weight would be worth as much."""
        return 1 / self.log_weight_EN.softmax(1).square().sum(1)

    def log_mean_weight(self) -> Tensor:
        """Return ``(E,)``, log of the mean weight: of an estimate of what has been weighed."""
        return self.log_weight_EN.logsumexp(1) - math.log(self.count)

    def weigh_rest(self, index_M: Tensor) -> None:
        """Weigh by the entries at these indices, known in all examples, which end the order."""
        entries_RD = entry_log_probs(self.model, self.x_RD, self.labels_R, self.temperature)
        self._weigh(entries_RD[:, index_M].double().sum(1))

    def pick(self, u_E: Tensor) -> Drawn:
        """Return one particle of each example, drawn in proportion to the weights."""
        first_E = torch.arange(len(u_E), device=u_E.device) * self.count
        row_E = self._at(u_E.double().unsqueeze(1)).squeeze(1) + first_E
        labels_E = None if self.labels_R is None else self.labels_R[row_E]
        return Drawn(self.x_RD[row_E], labels_E, self.log_mean_weight(), self.effective_E)
