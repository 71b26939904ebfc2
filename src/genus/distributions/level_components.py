"""Components of levels: every entry on its own, free tables or rounded Gaussians."""

# Shapes: B batch, M components, D entries of an example, L levels, E = D * L.
from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.distributions.components import Components, Totals
from genus.distributions.discretized_gaussian import DiscretizedGaussian
from genus.random import Noise, categorical_icdf

LEAST_MASS = 1e-30
"""No level has less, so that what was never seen is very unlikely and not impossible."""
PRODUCTS = 32
"""With at most so many levels, one matrix product each counts them faster than additions do."""
BLOCK = 2**24
"""Numbers that a draw may hold at once."""


class LevelComponents(Components):
    """Independent entries with levels: counting them, and scoring them by tables.

    The totals are each component's share of the examples at every level of every entry.

    Args:
        count: M.
        dims: D.
        levels: L.
        pseudo: the law of the entries of pseudo-examples, that of the data or a uniform one.
    """

    marginal_DL: Tensor | None

    def __init__(
        self, count: int, dims: int, levels: int, pseudo: Literal["data", "uniform"] = "data"
    ) -> None:
        super().__init__(count, dims)
        self.levels = levels
        uniform = torch.full((dims, levels), 1 / levels) if pseudo == "data" else None
        self.register_buffer("marginal_DL", uniform)

    def table(self) -> Tensor:
        """Return the log mass of all levels of all entries, ``(E, M)``."""
        raise NotImplementedError

    def begin(self, x_BD: Tensor, known_BD: Tensor | None = None) -> None:
        """Take the share of each level of each entry, one uniform example added."""
        if self.marginal_DL is not None:
            rows = self._rows(x_BD)
            rows = rows.flatten() if known_BD is None else rows[known_BD]
            counts = torch.bincount(rows, minlength=self.marginal_DL.numel()).double()
            counts_DL = counts.view_as(self.marginal_DL) + 1 / self.levels
            self.marginal_DL.copy_(counts_DL / counts_DL.sum(1, keepdim=True))

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return levels as real numbers."""
        return x_BD.to(next(self.buffers()).dtype)

    def _rows(self, x_BD: Tensor) -> Tensor:
        """Return the row of the table of each entry."""
        return x_BD + torch.arange(x_BD.shape[1], device=x_BD.device) * self.levels

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log mass of the known entries."""
        table_EM = self.table()
        weight_BD = None if known_BD is None else known_BD.to(table_EM.dtype)
        if self.levels == 2:
            return _binary_log_prob(x_BD.to(table_EM.dtype), table_EM, weight_BD)
        if len(x_BD) == 0:
            return table_EM.new_zeros(0, self.count)
        rows_BD = self._rows(x_BD)
        return F.embedding_bag(rows_BD, table_EM, mode="sum", per_sample_weights=weight_BD)

    def statistics(self, x_BD: Tensor, weight_BM: Tensor, known_BD: Tensor | None = None) -> Totals:
        """Return the weight at every level, ``(E, M)``, of known entries."""
        count = _count_by_products if self.levels <= PRODUCTS else _count_by_additions
        return {"share": count(x_BD, weight_BM, self.levels, known_BD).flatten(0, 1)}

    def typical(self) -> Totals:
        """Return the mean share of each level, ``(E, 1)``."""
        table = self.table()
        if self.marginal_DL is None:
            return {"share": table.new_full((len(table), 1), 1 / self.levels).double()}
        return {"share": self.marginal_DL.double().view(-1, 1)}

    def log_likelihood(self, total: Totals) -> Tensor:
        """Return the sum of all log masses, each as often as it was counted."""
        return (self.table().double() * total["share"]).sum()


class CategoricalComponents(LevelComponents):
    r"""A free categorical for every entry; of two levels, a Bernoulli.

    .. math:: p_m(x) = \prod_d p_{md}(x_d), \qquad
        p_{md}(l) = \frac{n_{mdl} + \epsilon\, q_d(l)}{n_m + \epsilon}

    with :math:`n` the shares of the examples and :math:`q` the law of a pseudo-example. No mass
    is below 1e-30. Binary data are scored and counted by one matrix product each.

    Example:
        >>> parts = CategoricalComponents(count=1, dims=2, levels=2)
        >>> x = torch.tensor([[0, 1], [0, 1], [1, 1], [0, 0]])
        >>> parts.update(parts.statistics(x, torch.ones(4, 1)), pseudo=0)
        >>> parts.log_prob(x[:1]).exp()  # 3/4 times 3/4
        tensor([[0.5625]])
    """

    log_mass_EM: Tensor

    def __init__(
        self, count: int, dims: int, levels: int, pseudo: Literal["data", "uniform"] = "data"
    ) -> None:
        super().__init__(count, dims, levels, pseudo)
        self.register_buffer("log_mass_EM", torch.full((dims * levels, count), -math.log(levels)))

    def table(self) -> Tensor:
        """Return the log mass of all levels of all entries, ``(E, M)``."""
        return self.log_mass_EM

    def update(self, total: Totals, pseudo: float) -> None:
        """Set the relative frequencies; an entry of a component without a known value stays."""
        share = self.with_pseudo({"share": total["share"].double()}, pseudo)["share"]
        share_DLM = share.view(self.dims, self.levels, self.count)
        all_DLM = share_DLM.sum(1, keepdim=True)
        mass_DLM = share_DLM / all_DLM.clamp(min=1e-300)
        log_mass_EM = mass_DLM.clamp(min=LEAST_MASS).log().flatten(0, 1)
        some_EM = (all_DLM > 0).expand_as(mass_DLM).flatten(0, 1)
        self.log_mass_EM.copy_(torch.where(some_EM, log_mass_EM, self.log_mass_EM.double()))

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, D)`` levels; entries of one component do not depend on each other."""
        u_BD, rows = noise.uniform(self.dims), max(1, BLOCK // len(self.log_mass_EM))
        logits_MDL = self.log_mass_EM.T.view(self.count, self.dims, self.levels) / temperature
        parts = zip(torch.split(index_B, rows), torch.split(u_BD, rows), strict=True)
        drawn = torch.cat([categorical_icdf(logits_MDL[index], u) for index, u in parts])
        return drawn if known_BD is None else torch.where(known_BD, x_BD, drawn)

    def free_parameters(self) -> int:
        """Return all frequencies but one of each entry."""
        return self.count * self.dims * (self.levels - 1)


class DiscretizedComponents(LevelComponents):
    r"""Independent Gaussians in every entry, rounded to levels.

    The update takes EM steps of its own, in which the real number that was rounded is the latent:
    with :math:`w_l` the share at level l and :math:`z` the truncated standard normal of its cell,
    :math:`\mu' = \mu + \sigma \sum_l w_l E[z \mid l]` and
    :math:`\sigma'^2 = \sigma^2 \sum_l w_l E[z^2 \mid l] - (\mu' - \mu)^2`. None of them lowers
    the likelihood, and with few of them per pass the whole is a generalised EM.

    Args:
        count: M.
        dims: D.
        levels: L.
        min_scale: least standard deviation, in levels.
        steps: EM steps in each update.
    """

    mean_MD: Tensor
    log_scale_MD: Tensor

    def __init__(
        self, count: int, dims: int, levels: int, *, min_scale: float = 0.01, steps: int = 2
    ) -> None:
        super().__init__(count, dims, levels)
        self.min_scale, self.steps = min_scale, steps
        self.register_buffer("mean_MD", torch.full((count, dims), (levels - 1) / 2))
        self.register_buffer("log_scale_MD", torch.full((count, dims), math.log(levels / 2)))
        self._table: tuple[tuple[int, ...], Tensor, tuple[Tensor, Tensor]] | None = None

    def law(self) -> DiscretizedGaussian:
        """Return the laws of all entries of all components, ``(M, D)``."""
        return DiscretizedGaussian(self.mean_MD, self.log_scale_MD, self.levels)

    def table(self) -> Tensor:
        """Return the log mass of all levels, ``(E, M)``, computed once for given parameters."""
        mean, log_scale = self.mean_MD, self.log_scale_MD
        made_from = (id(mean), mean._version, id(log_scale), log_scale._version)
        if self._table is None or self._table[0] != made_from:
            table = self.law().log_probs().permute(1, 2, 0).flatten(0, 1).contiguous()
            self._table = (made_from, table, (mean, log_scale))  # kept, so that an id is not reused
        return self._table[1]

    def update(self, total: Totals, pseudo: float) -> None:
        """Take a few EM steps on the latent real numbers; an entry without a known value stays."""
        share = self.with_pseudo({"share": total["share"].double()}, pseudo)["share"]
        share_DLM = share.view(self.dims, self.levels, self.count)
        weight_MDL = share_DLM.permute(2, 0, 1).contiguous()
        weight_MDL = weight_MDL / weight_MDL.sum(-1, keepdim=True).clamp(min=1e-300)
        empty = weight_MDL.sum(2) == 0
        for _ in range(self.steps):
            first_MDL, second_MDL = self.law().cell_moments()
            scale = self.log_scale_MD.double().exp()
            shift = scale * (weight_MDL * first_MDL).sum(-1)
            variance = scale.square() * (weight_MDL * second_MDL).sum(-1) - shift.square()
            log_scale = 0.5 * variance.clamp(min=self.min_scale**2).log()
            shift[empty], log_scale[empty] = 0, self.log_scale_MD.double()[empty]
            self.mean_MD.add_(shift)
            self.log_scale_MD.copy_(log_scale)

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, D)`` levels; entries of one component do not depend on each other."""
        law = DiscretizedGaussian(self.mean_MD[index_B], self.log_scale_MD[index_B], self.levels)
        drawn = law.tempered(temperature).icdf(noise.uniform(self.dims))
        return drawn if known_BD is None else torch.where(known_BD, x_BD, drawn)

    def free_parameters(self) -> int:
        """Return a mean and a deviation of every entry."""
        return 2 * self.count * self.dims


def _binary_log_prob(x_BD: Tensor, table_EM: Tensor, known_BD: Tensor | None) -> Tensor:
    """Return ``(B, M)``: the log mass of zeros, and what each one adds to it."""
    zero_DM, one_DM = table_EM.view(-1, 2, table_EM.shape[1]).unbind(1)
    if known_BD is None:
        return torch.addmm(zero_DM.sum(0), x_BD, one_DM - zero_DM)
    return torch.addmm(known_BD @ zero_DM, x_BD * known_BD, one_DM - zero_DM)


def _count_by_products(
    x_BD: Tensor, weight_BM: Tensor, levels: int, known_BD: Tensor | None = None
) -> Tensor:
    """Return the weight at every level, ``(D, L, M)``; the first level has what is left."""
    share = weight_BM.new_empty(x_BD.shape[1], levels, weight_BM.shape[1])
    for level in range(1, levels):
        here_BD = x_BD == level if known_BD is None else (x_BD == level) & known_BD
        share[:, level] = here_BD.to(weight_BM.dtype).T @ weight_BM
    whole = weight_BM.sum(0) if known_BD is None else known_BD.to(weight_BM.dtype).T @ weight_BM
    share[:, 0] = (whole - share[:, 1:].sum(1)).clamp(min=0)
    return share


def _count_by_additions(
    x_BD: Tensor, weight_BM: Tensor, levels: int, known_BD: Tensor | None = None
) -> Tensor:
    """Return the weight at every level, ``(D, L, M)``."""
    weight_BM = weight_BM.double()  # one by one, many small numbers would be lost in float32
    share = weight_BM.new_zeros(x_BD.shape[1], levels, weight_BM.shape[1])
    for entry in range(x_BD.shape[1]):  # one large scatter would need B * D * M numbers at once
        rows = slice(None) if known_BD is None else known_BD[:, entry]
        share[entry].index_add_(0, x_BD[rows, entry].long(), weight_BM[rows])
    return share
