"""Laws of whole examples, many at once, each fitted to examples that belong to it in part.

These are what a mixture mixes. All can be told to ignore entries (``known``), which is what makes
exact completion possible, and all can be given pseudo-examples that look like the whole data.
"""

# Shapes: B batch, M components, D entries of an example, L levels.
from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.distributions.discretized_gaussian import DiscretizedGaussian
from genus.random import Noise

Totals = dict[str, Tensor]
Covariance = Literal["full", "diag", "tied"]


class Components(nn.Module):
    """M laws of an example and what it takes to fit them by EM."""

    def begin(self, x_BD: Tensor) -> None:
        """Take what is common to all components from some of the data."""
        raise NotImplementedError

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return ``(B, D)`` real numbers in which distances between examples are meaningful."""
        raise NotImplementedError

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log-probability of the known entries under each component."""
        raise NotImplementedError

    def log_prior(self) -> Tensor:
        """Return the sum over components of the mean log-probability of a pseudo-example."""
        raise NotImplementedError

    def statistics(self, x_BD: Tensor, weight_BM: Tensor) -> Totals:
        """Return what `update` needs of examples that belong in part to each component."""
        raise NotImplementedError

    def update(self, total: Totals, pseudo: float) -> None:
        """Set the parameters given the totals and ``pseudo`` examples for each component."""
        raise NotImplementedError

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, D)`` from the component of each row, given its known entries."""
        raise NotImplementedError


class DiscretizedComponents(Components):
    r"""Independent Gaussians in every entry, rounded to levels.

    The statistics are each component's share of the examples at every level of every entry, which
    is all that the likelihood depends on. The update takes EM steps of its own, in which the real
    number that was rounded is the latent: with :math:`w_l` the share at level l and :math:`z` the
    truncated standard normal of its cell,
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
    marginal_DL: Tensor

    def __init__(
        self, count: int, dims: int, levels: int, *, min_scale: float = 0.01, steps: int = 2
    ) -> None:
        super().__init__()
        self.levels, self.min_scale, self.steps = levels, min_scale, steps
        self.register_buffer("mean_MD", torch.full((count, dims), (levels - 1) / 2))
        self.register_buffer("log_scale_MD", torch.full((count, dims), math.log(levels / 2)))
        self.register_buffer("marginal_DL", torch.full((dims, levels), 1 / levels))
        self._table: tuple[tuple[int, ...], Tensor, tuple[Tensor, Tensor]] | None = None

    def begin(self, x_BD: Tensor) -> None:
        """Take the share of each level of each entry, one uniform example added."""
        rows = self._rows(x_BD).flatten()
        counts_DL = torch.bincount(rows, minlength=self.marginal_DL.numel()).double()
        shares_DL = (counts_DL + 1 / self.levels) / (len(x_BD) + 1)
        self.marginal_DL.copy_(shares_DL.view_as(self.marginal_DL))

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return levels as real numbers."""
        return x_BD.to(self.mean_MD.dtype)

    def law(self) -> DiscretizedGaussian:
        """Return the laws of all entries of all components, ``(M, D)``."""
        return DiscretizedGaussian(self.mean_MD, self.log_scale_MD, self.levels)

    def table(self) -> Tensor:
        """Return the log mass of all levels, ``(D * L, M)``, computed once for given parameters."""
        mean, log_scale = self.mean_MD, self.log_scale_MD
        made_from = (id(mean), mean._version, id(log_scale), log_scale._version)
        if self._table is None or self._table[0] != made_from:
            table = self.law().log_probs().permute(1, 2, 0).flatten(0, 1).contiguous()
            self._table = (made_from, table, (mean, log_scale))  # kept, so that an id is not reused
        return self._table[1]

    def _rows(self, x_BD: Tensor) -> Tensor:
        """Return the row of the table of each entry."""
        return x_BD + torch.arange(x_BD.shape[1], device=x_BD.device) * self.levels

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log mass of the known entries."""
        table = self.table()
        weight = None if known_BD is None else known_BD.to(table.dtype)
        return F.embedding_bag(self._rows(x_BD), table, mode="sum", per_sample_weights=weight)

    def log_prior(self) -> Tensor:
        """Return the sum over components of the mean log mass of the marginals."""
        return (self.table() * self.marginal_DL.view(-1, 1)).sum()

    def statistics(self, x_BD: Tensor, weight_BM: Tensor) -> Totals:
        """Return the weight at every level, ``(D * L, M)``."""
        dims, weight_BM = x_BD.shape[1], weight_BM.double()
        share = weight_BM.new_zeros(dims, self.levels, weight_BM.shape[1])
        for entry in range(dims):  # one large scatter would need B * D * M numbers at once
            share[entry].index_add_(0, x_BD[:, entry], weight_BM)
        return {"share": share}

    def update(self, total: Totals, pseudo: float) -> None:
        """Take a few EM steps on the latent real numbers; a component without examples stays."""
        share = total["share"] + pseudo * self.marginal_DL.unsqueeze(-1)
        weight_MDL = share.permute(2, 0, 1).contiguous()
        weight_MDL = weight_MDL / weight_MDL.sum(-1, keepdim=True).clamp(min=1e-300)
        empty = weight_MDL.sum((1, 2)) == 0
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
        drawn = law.tempered(temperature).icdf(noise.uniform(self.mean_MD.shape[1]))
        return drawn if known_BD is None else torch.where(known_BD, x_BD, drawn)


class GaussianComponents(Components):
    r"""Gaussians with a full, a diagonal or one common covariance.

    They live in coordinates in which every column has mean 0 and deviation 1, so that floors and
    distances mean the same for all columns whatever their unit.

    Args:
        count: M.
        dims: D.
        covariance: "full", "diag", or "tied": one full matrix for all components.
        min_scale: least standard deviation in any direction, as a fraction of the columns' own.
    """

    shift_D: Tensor
    scale_D: Tensor
    mean_MD: Tensor
    covariance_CDD: Tensor

    def __init__(
        self, count: int, dims: int, covariance: Covariance = "full", *, min_scale: float = 1e-3
    ) -> None:
        super().__init__()
        self.kind, self.min_scale = covariance, min_scale
        self.register_buffer("shift_D", torch.zeros(dims))
        self.register_buffer("scale_D", torch.ones(dims))
        self.register_buffer("mean_MD", torch.zeros(count, dims))
        matrices = 1 if covariance == "tied" else count
        self.register_buffer("covariance_CDD", torch.eye(dims).repeat(matrices, 1, 1))

    def begin(self, x_BD: Tensor) -> None:
        """Take the columns' means and deviations."""
        self.shift_D.copy_(x_BD.double().mean(0))
        deviation_D = x_BD.double().std(0, correction=0)
        self.scale_D.copy_(torch.where(deviation_D > 0, deviation_D, torch.ones_like(deviation_D)))

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return standardised columns, in float64."""
        return (x_BD.double() - self.shift_D.double()) / self.scale_D.double()

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log density of the known entries."""
        z_BD = self.coordinates(x_BD)
        unit_BD = -self.scale_D.double().log() - 0.5 * math.log(2 * math.pi)
        if known_BD is None:
            factor = torch.linalg.cholesky(self.covariance_CDD.double())
            log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
            offset_MDB = (z_BD - self.mean_MD.double().unsqueeze(1)).mT
            white_MDB = torch.linalg.solve_triangular(factor, offset_MDB, upper=False)
            inside = -0.5 * white_MDB.square().sum(1) - log_det.unsqueeze(1)
            log_prob_BM: Tensor = inside.T + unit_BD.sum()
            return log_prob_BM.to(self.mean_MD.dtype)
        columns = [self._marginal(z_BD, known_BD, m) for m in range(len(self.mean_MD))]
        known_unit = (unit_BD * known_BD).sum(1, keepdim=True)
        return (torch.stack(columns, 1) + known_unit).to(self.mean_MD.dtype)

    def _marginal(self, z_BD: Tensor, known_BD: Tensor, m: int) -> Tensor:
        """Return the log density of the known coordinates under one component, without units.

        Unknown ones become independent standard normals at their mean, which add nothing.
        """
        covariance_DD = self.covariance_CDD[min(m, len(self.covariance_CDD) - 1)].double()
        both = known_BD.unsqueeze(1) & known_BD.unsqueeze(2)
        marginal = torch.where(both, covariance_DD, torch.diag_embed((~known_BD).double()))
        offset = torch.where(known_BD, z_BD - self.mean_MD[m].double(), 0.0)
        factor = torch.linalg.cholesky(marginal)
        white: Tensor = torch.linalg.solve_triangular(factor, offset.unsqueeze(-1), upper=False)
        log_det_B: Tensor = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return -0.5 * white.square().sum((1, 2)) - log_det_B

    def log_prior(self) -> Tensor:
        """Return the sum over components of the mean log density of a standard normal."""
        covariance = self.covariance_CDD.double()
        precision = torch.linalg.inv(covariance)
        mean = self.mean_MD.double()
        square = torch.einsum("md,mde,me->", mean, precision.expand(len(mean), -1, -1), mean)
        spread = precision.diagonal(dim1=1, dim2=2).sum(1) + torch.linalg.slogdet(covariance)[1]
        spread = spread.expand(len(mean)).sum()
        units: Tensor = self.scale_D.double().log() + 0.5 * math.log(2 * math.pi)
        total: Tensor = -0.5 * (square + spread) - len(mean) * units.sum()
        return total

    def statistics(self, x_BD: Tensor, weight_BM: Tensor) -> Totals:
        """Return the sums of weights, coordinates and their products."""
        z_BD, weight_BM = self.coordinates(x_BD), weight_BM.double()
        if self.kind == "diag":
            second = torch.diag_embed(weight_BM.T @ z_BD.square())
        elif self.kind == "tied":
            second = (z_BD.T @ (z_BD * weight_BM.sum(1, keepdim=True))).unsqueeze(0)
        else:
            second = torch.stack([z_BD.T @ (z_BD * w_B.unsqueeze(1)) for w_B in weight_BM.T])
        return {"zeroth": weight_BM.sum(0), "first": weight_BM.T @ z_BD, "second": second}

    def update(self, total: Totals, pseudo: float) -> None:
        """Set means and covariances to their exact maximum given the totals."""
        weight_M = total["zeroth"] + pseudo
        some = weight_M > 0
        mean_MD = total["first"] / weight_M.clamp(min=1e-300).unsqueeze(1)
        mean_MD = torch.where(some.unsqueeze(1), mean_MD, self.mean_MD.double())
        pseudo_DD = pseudo * torch.eye(mean_MD.shape[1], dtype=torch.float64, device=mean_MD.device)
        products = weight_M.view(-1, 1, 1) * mean_MD.unsqueeze(2) * mean_MD.unsqueeze(1)
        if self.kind == "diag":
            products = torch.diag_embed(products.diagonal(dim1=1, dim2=2))
        if self.kind == "tied":
            scatter = total["second"] + len(mean_MD) * pseudo_DD - products.sum(0)
            covariance, some = scatter / weight_M.sum(), some.any().view(1)
        else:
            scatter = total["second"] + pseudo_DD - products
            covariance = scatter / weight_M.clamp(min=1e-300).view(-1, 1, 1)
        covariance = torch.where(
            some.view(-1, 1, 1), self._floored(covariance), self.covariance_CDD.double()
        )
        self.mean_MD.copy_(mean_MD)
        self.covariance_CDD.copy_(covariance)

    def _floored(self, covariance: Tensor) -> Tensor:
        """Raise the eigenvalues to the floor, which is the maximum under that constraint."""
        values: Tensor
        vectors: Tensor
        values, vectors = torch.linalg.eigh(covariance)
        if bool((values >= self.min_scale**2).all()):
            return covariance
        return (vectors * values.clamp(min=self.min_scale**2).unsqueeze(-2)) @ vectors.mT

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        r"""Return ``(B, D)`` from the conditional Gaussian.

        With precision :math:`\Lambda`, the unknown entries have precision
        :math:`\Lambda_{uu}` and mean :math:`\mu_u - \Lambda_{uu}^{-1} \Lambda_{uk}(x_k - \mu_k)`.
        """
        mean_BD = self.mean_MD.double()[index_B]
        known_BD = torch.zeros_like(mean_BD).bool() if known_BD is None else known_BD
        normal_BD = noise.normal(mean_BD.shape[1]).double() * math.sqrt(temperature)
        precision = torch.linalg.inv(self.covariance_CDD.double())
        rows = index_B if len(precision) > 1 else torch.zeros_like(index_B)
        precision_BDD = precision[rows]
        offset_BD = torch.where(known_BD, self.coordinates(x_BD) - mean_BD, 0.0)
        pull_BD = torch.einsum("bde,be->bd", precision_BDD, offset_BD).masked_fill(known_BD, 0)
        unknown = ~known_BD.unsqueeze(1) & ~known_BD.unsqueeze(2)
        among = torch.where(unknown, precision_BDD, torch.diag_embed(known_BD.double()))
        factor = torch.linalg.cholesky(among)
        shift = -torch.cholesky_solve(pull_BD.unsqueeze(-1), factor)
        spread = torch.linalg.solve_triangular(factor.mT, normal_BD.unsqueeze(-1), upper=True)
        z_BD = mean_BD + (shift + spread).squeeze(-1)
        drawn = (z_BD * self.scale_D.double() + self.shift_D.double()).to(x_BD.dtype)
        return torch.where(known_BD, x_BD, drawn)
