"""Every entry on its own: the baseline that any model of structure must beat.

References:
    | Idiot's Bayes: Not So Stupid After All? (Hand and Yu, 2001)
    | https://doi.org/10.1111/j.1751-5823.2001.tb00465.x
"""

# Shapes: B batch, Y classes (1 where unconditional), D entries of an example, L levels.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Completion
from genus.config import check_positive
from genus.families.base import check_temperature
from genus.families.closed_form import ClosedForm
from genus.random import ExampleNoise, categorical_icdf
from genus.registry import register
from genus.spec import Batch, Spec


@dataclass(frozen=True, kw_only=True)
class IndependentConfig:
    """Options of `Independent`.

    Args:
        alpha: pseudo-count added to every level of every entry. Below 1 suits many levels, of
            which most are never seen at a given entry.
        min_scale: least standard deviation, as a fraction of the column's own over all classes.
    """

    alpha: float = 0.1
    min_scale: float = 1e-3

    def __post_init__(self) -> None:
        check_positive(self, "alpha", "min_scale")


@register("independent")
class Independent(ClosedForm):
    r"""A free categorical for every position, or a Gaussian for every column.

    .. math:: p(x \mid y) = \prod_d p_d(x_d \mid y), \qquad
        p_d(l \mid y) = \frac{n_{ydl} + \alpha}{n_y + \alpha L}

    With classes it is naive Bayes. It is fitted in one pass.

    Args:
        spec: any data.
        config: an `IndependentConfig`.

    Example:
        >>> model = Independent(Spec(shape=(2,), levels=3))
        >>> model.fit(lambda: [Batch(torch.tensor([[0, 2], [0, 1]]))])
        >>> model.log_prob(torch.tensor([[0, 2], [2, 0]])).exp()
        tensor([0.4367, 0.0019])
    """

    Config = IndependentConfig
    representative = True
    log_mass_YDL: Tensor
    mean_YD: Tensor
    scale_YD: Tensor

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        groups = spec.classes or 1
        if spec.is_discrete:
            levels = spec.levels_or_raise
            uniform = torch.full((groups, spec.dims, levels), -math.log(levels))
            self.register_buffer("log_mass_YDL", uniform)
        else:
            self.register_buffer("mean_YD", torch.zeros(groups, spec.dims))
            self.register_buffer("scale_YD", torch.ones(groups, spec.dims))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the counts of levels ``(Y, D, L)``, or the sums of powers of x ``(3, Y, D)``."""
        x_BD, groups = batch.x.flatten(1), self.spec.classes or 1
        y_B = x_BD.new_zeros(len(x_BD), dtype=torch.long) if batch.y is None else batch.y
        if self.spec.is_discrete:
            shape = (groups, self.spec.dims, self.spec.levels_or_raise)
            entry_BD = y_B[:, None] * shape[1] + torch.arange(shape[1], device=y_B.device)
            index = (entry_BD * shape[2] + x_BD).flatten()
            return {"counts": torch.bincount(index, minlength=math.prod(shape)).view(shape)}
        powers = torch.stack([x_BD.double() ** power for power in range(3)])
        zeros = powers.new_zeros(3, groups, self.spec.dims)
        return {"powers": zeros.index_add_(1, y_B, powers)}

    def update(self, total: dict[str, Tensor]) -> dict[str, float]:
        """Set the frequencies, or the means and standard deviations."""
        if self.spec.is_discrete:
            counts_YDL = total["counts"]
            smoothed = counts_YDL + self.config.alpha
            self.log_mass_YDL.copy_((smoothed / smoothed.sum(-1, keepdim=True)).log())
            nats = float((counts_YDL * self.log_mass_YDL).sum() / total["count"])
            return {"nats": nats}
        n_YD, sum_YD, square_YD = total["powers"]
        mean_YD = sum_YD / n_YD.clamp(min=1)
        overall_D = square_YD.sum(0) / total["count"] - (sum_YD.sum(0) / total["count"]).square()
        variance_YD = square_YD / n_YD.clamp(min=1) - mean_YD.square()
        least_D = (overall_D * self.config.min_scale**2).clamp(min=1e-12)
        scale_YD = torch.where(n_YD > 1, variance_YD, overall_D).clamp(min=least_D).sqrt()
        self.mean_YD.copy_(mean_YD)
        self.scale_YD.copy_(scale_YD)
        entries_YD = variance_YD / (2 * scale_YD.square()) + scale_YD.log()
        nats = -(n_YD * (entries_YD + 0.5 * math.log(2 * math.pi))).sum() / total["count"]
        return {"nats": float(nats)}

    def entry_log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of every entry under every class, ``(B, Y, D)``."""
        x_BYD = x.flatten(1).unsqueeze(1)
        if self.spec.is_discrete:
            shape = (*x_BYD.shape[:1], *self.log_mass_YDL.shape)
            table = self.log_mass_YDL.expand(shape)
            return table.gather(-1, x_BYD.unsqueeze(-1).expand(*shape[:-1], 1)).squeeze(-1)
        standard = (x_BYD - self.mean_YD) / self.scale_YD
        return -0.5 * (standard.square() + math.log(2 * math.pi)) - self.scale_YD.log()

    def joint_log_prob(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, log p(x, y) of every class."""
        self.require(self.spec.classes is not None, "classes", self.spec)
        return self.entry_log_prob(x).sum(-1) + self.log_prior_Y

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)``, log p(x | y)."""
        log_prob_BY = self.entry_log_prob(x).sum(-1)
        return log_prob_BY[:, 0] if y is None else log_prob_BY.gather(1, y[:, None]).squeeze(1)

    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)``, every entry drawn on its own.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, device=self.device, dtype=self.dtype)
        y_B = self.labels_for(n, y, noise.uniform())
        return self._draw(y_B, noise, temperature).view(n, *self.spec.shape)

    def _draw(self, y_B: Tensor | None, noise: ExampleNoise, temperature: float) -> Tensor:
        """Return ``(n, D)`` given the class."""
        rows = torch.zeros(noise.n, dtype=torch.long, device=self.device) if y_B is None else y_B
        if self.spec.is_discrete:
            logits = self.log_mass_YDL[rows] / temperature
            return categorical_icdf(logits, noise.uniform(self.spec.dims))
        spread = self.scale_YD[rows] * math.sqrt(temperature)
        return self.mean_YD[rows] + spread * noise.normal(self.spec.dims)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Completion:
        """Draw the entries where ``known`` is False from their exact conditional.

        Without ``y`` a class-conditional model first draws the class given the known entries.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        known = known.expand_as(x)
        x = x.masked_fill(~known, 0)
        self.check_inputs(x, y)
        noise = ExampleNoise(len(x), generator, device=self.device, dtype=self.dtype)
        u_B = noise.uniform()
        evidence_BY = (self.entry_log_prob(x) * known.flatten(1).unsqueeze(1)).sum(-1)
        drawn_y = y
        if self.spec.classes is not None:
            evidence_BY = evidence_BY + self.log_prior_Y
            drawn_y = categorical_icdf(evidence_BY, u_B) if y is None else y
        filled = torch.where(known, x, self._draw(drawn_y, noise, temperature).view_as(x))
        whole_BY = self.entry_log_prob(filled).sum(-1)
        if self.spec.classes is not None:
            whole_BY = whole_BY + self.log_prior_Y
        if y is not None:
            whole_BY, evidence_BY = (t.gather(1, y[:, None]) for t in (whole_BY, evidence_BY))
        log_prob = whole_BY.logsumexp(1) - evidence_BY.logsumexp(1)
        return Completion(filled, temperature == 1, "independent entries", log_prob)
