"""Entries that do not depend on each other, given the class: relative frequencies and Gaussians."""

# Shapes: B batch, Y classes (1 where unconditional), M = Y components.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.config import check_positive
from genus.distributions.components import Components
from genus.distributions.gaussian_components import DiagonalComponents
from genus.distributions.level_components import CategoricalComponents
from genus.families.mixture import Mixture
from genus.spec import Batch, Spec


@dataclass(frozen=True, kw_only=True)
class FactorisedConfig:
    """Options of models with independent entries.

    Args:
        alpha: pseudo-count added to every level of every entry; for real columns, how many
            examples that look like the whole data each class is given. Below 1 suits many levels,
            of which most are never seen at a given entry.
        min_scale: least standard deviation, as a fraction of the column's own over all classes; a
            column that never varies counts as having deviation 1.
    """

    alpha: float = 0.1
    min_scale: float = 1e-3

    def __post_init__(self) -> None:
        check_positive(self, "alpha", "min_scale")


class Factorised(Mixture):
    r"""A mixture with one component for each class, so that nothing is hidden.

    .. math:: p(x \mid y) = \prod_d p_d(x_d \mid y), \qquad
        p_d(l \mid y) = \frac{n_{ydl} + \alpha}{n_y + \alpha L}

    for levels, and a Gaussian with each class's mean and deviation for real columns. It is fitted
    in one pass, before which real data are sampled for the columns' units.
    """

    completion = "independent entries"

    def __init__(self, spec: Spec, config: Any = None) -> None:
        config = FactorisedConfig() if config is None else config
        super().__init__(spec, config, self._parts(spec, config))
        self.pseudo = config.alpha * (spec.levels or 1)
        self.seeds = 0 if spec.is_discrete else Mixture.seeds

    @staticmethod
    def _parts(spec: Spec, config: FactorisedConfig) -> Components:
        groups = spec.classes or 1
        if spec.levels is None:
            return DiagonalComponents(groups, spec.dims, min_scale=config.min_scale)
        return CategoricalComponents(groups, spec.dims, spec.levels, pseudo="uniform")

    def begin(self, seen: Batch, generator: torch.Generator | None) -> None:
        """Take the columns' units."""
        self.parts.begin(*self._flat(seen))

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the counts of levels, or the sums of powers, of each class, over known entries."""
        labels_B = torch.zeros(len(batch), dtype=torch.long, device=self.device)
        labels_B = labels_B if batch.y is None else batch.y
        member_BM = F.one_hot(labels_B, self.parts.count).to(self.dtype)
        x_BD, known_BD = self._flat(batch)
        return self.parts.statistics(x_BD, member_BM, known_BD)

    def update(self, total: dict[str, Tensor]) -> dict[str, float]:
        """Set the frequencies, or the means and deviations."""
        self.parts.update(total, self.pseudo)
        return {"nats": float(self.parts.log_likelihood(total) / total["count"])}
