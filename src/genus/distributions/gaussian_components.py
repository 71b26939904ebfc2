"""Components of real vectors: Gaussians with a diagonal, a full, or one common covariance."""

# Shapes: B batch, M components, D entries of an example, C covariances (M, or 1 where tied).
from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from genus.distributions.components import Components, Totals
from genus.distributions.moments import BLOCK, by_mask, expected_moments, weighed_products
from genus.distributions.units import take_unit
from genus.errors import ConfigError
from genus.random import Noise

Covariance = Literal["full", "diag", "tied"]
LEAST_SCALE = 1e-6
"""Least deviation of a matrix in float64, over that of a column."""


def gaussian_components(
    count: int, dims: int, covariance: Covariance, min_scale: float
) -> RealComponents:
    """Return M Gaussians with this kind of covariance.

    Raises:
        ConfigError: a least deviation of a matrix that would be lost in its rounding.
    """
    if covariance == "diag":
        return DiagonalComponents(count, dims, min_scale=min_scale)
    if min_scale < LEAST_SCALE:
        raise ConfigError(
            f"min_scale={min_scale:g} is too small for a {covariance} covariance, whose least "
            f"deviations are lost in rounding; take {LEAST_SCALE:g} or more, or diag"
        )
    return GaussianComponents(count, dims, covariance, min_scale=min_scale)


class RealComponents(Components):
    """Laws in coordinates in which every column has mean 0 and deviation 1.

    So floors and distances mean the same for all columns whatever their unit. A column that never
    varies keeps its unit, and the floor holds in that.

    Args:
        count: M.
        dims: D.
        min_scale: least standard deviation in any direction, as a fraction of the columns' own.
    """

    shift_D: Tensor
    scale_D: Tensor
    mean_MD: Tensor

    def __init__(self, count: int, dims: int, *, min_scale: float = 1e-3) -> None:
        super().__init__(count, dims)
        self.min_scale = min_scale
        self.register_buffer("shift_D", torch.zeros(dims))
        self.register_buffer("scale_D", torch.ones(dims))
        self.register_buffer("mean_MD", torch.zeros(count, dims))

    def begin(self, x_BD: Tensor, known_BD: Tensor | None = None) -> None:
        """Take the columns' means and deviations."""
        take_unit(self.shift_D, self.scale_D, x_BD, known_BD)

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return standardised columns, in float64."""
        return (x_BD.double() - self.shift_D.double()).div_(self.scale_D.double())

    def unit_D(self) -> Tensor:
        """Return what each column adds to a log density, in float64: constant and unit."""
        unit: Tensor = -self.scale_D.double().log() - 0.5 * math.log(2 * math.pi)
        return unit

    def back(self, z_BD: Tensor, x_BD: Tensor, known_BD: Tensor | None) -> Tensor:
        """Return draws in the columns' units, with the known entries of ``x_BD`` in place."""
        drawn = (z_BD * self.scale_D.double() + self.shift_D.double()).to(x_BD.dtype)
        return drawn if known_BD is None else torch.where(known_BD, x_BD, drawn)

    def _means(self, total: Totals) -> tuple[Tensor, Tensor]:
        """Return ``(M, D or 1)`` whether anything belongs to a component, and the means."""
        weight = total["zeroth"].view(self.count, -1)
        mean_MD = total["first"] / weight.clamp(min=1e-300)
        return weight > 0, torch.where(weight > 0, mean_MD, self.mean_MD.double())


class DiagonalComponents(RealComponents):
    """Gaussians whose entries do not depend on each other."""

    log_scale_MD: Tensor

    def __init__(self, count: int, dims: int, *, min_scale: float = 1e-3) -> None:
        super().__init__(count, dims, min_scale=min_scale)
        self.register_buffer("log_scale_MD", torch.zeros(count, dims))

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log density of the known entries, by matrix products."""
        offset_BD, mean_MD = self._offsets(x_BD), self.mean_MD.double()
        precision_MD, scale_D = (-2 * self.log_scale_MD.double()).exp(), self.scale_D.double()
        entry_MD = self.unit_D() - self.log_scale_MD.double() - 0.5 * precision_MD * mean_MD**2
        if known_BD is None:
            constant = entry_MD.sum(1)
        else:
            offset_BD = offset_BD.masked_fill(~known_BD, 0)
            constant = known_BD.double() @ entry_MD.T
        linear_BM = torch.addmm(constant, offset_BD, (precision_MD * mean_MD / scale_D).T)
        square_BD, weight_MD = offset_BD.square(), precision_MD / scale_D.square()
        return linear_BM.addmm_(square_BD, weight_MD.T, alpha=-0.5).to(self.mean_MD.dtype)

    def statistics(self, x_BD: Tensor, weight_BM: Tensor, known_BD: Tensor | None = None) -> Totals:
        """Return the sums of weights, coordinates and their squares, over known entries."""
        offset_BD, weight_MB = self._offsets(x_BD), weight_BM.double().T
        if known_BD is None:
            zeroth = weight_MB.sum(1, keepdim=True).repeat(1, self.dims)
        else:
            offset_BD = offset_BD.masked_fill(~known_BD, 0)
            zeroth = weight_MB @ known_BD.double()
        scale_D = self.scale_D.double()
        first, second = weight_MB @ offset_BD, weight_MB @ offset_BD.square()
        return {"zeroth": zeroth, "first": first / scale_D, "second": second / scale_D.square()}

    def _offsets(self, x_BD: Tensor) -> Tensor:
        """Return what `coordinates` divides by the units, which is cheaper done with the sums."""
        return x_BD.double() - self.shift_D.double()

    def typical(self) -> Totals:
        """Return the totals of a standard normal."""
        ones_MD = torch.ones_like(self.mean_MD, dtype=torch.float64)
        return {"zeroth": ones_MD, "first": 0 * ones_MD, "second": ones_MD}

    def update(self, total: Totals, pseudo: float) -> None:
        """Set means and deviations; an entry of a component of which nothing is known stays."""
        total = self.with_pseudo(total, pseudo)
        some_MD, mean_MD = self._means(total)
        square_MD = total["second"] / total["zeroth"].clamp(min=1e-300)
        variance_MD = (square_MD - mean_MD.square()).clamp(min=self.min_scale**2)
        log_scale_MD = torch.where(some_MD, 0.5 * variance_MD.log(), self.log_scale_MD.double())
        self.mean_MD.copy_(mean_MD)
        self.log_scale_MD.copy_(log_scale_MD)

    def log_likelihood(self, total: Totals) -> Tensor:
        """Return the sum of log densities, from the sums of powers."""
        mean_MD, log_scale_MD = self.mean_MD.double(), self.log_scale_MD.double()
        weight_MD = total["zeroth"]
        square_MD = total["second"] - 2 * mean_MD * total["first"] + weight_MD * mean_MD.square()
        entry_MD = weight_MD * (self.unit_D() - log_scale_MD)
        return (entry_MD - 0.5 * (-2 * log_scale_MD).exp() * square_MD).sum()

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, D)``; what is known says nothing about the other entries."""
        spread_BD = self.log_scale_MD.double()[index_B].exp() * math.sqrt(temperature)
        z_BD = self.mean_MD.double()[index_B] + spread_BD * noise.normal(self.dims).double()
        return self.back(z_BD, x_BD, known_BD)

    def free_parameters(self) -> int:
        """Return a mean and a deviation of every entry."""
        return 2 * self.count * self.dims


class GaussianComponents(RealComponents):
    r"""Gaussians with a full covariance each, or with one for all.

    .. math:: \log N(z; \mu, \Sigma) = -\tfrac12 \|W (z - \mu)\|^2 + \log |W|
        - \tfrac{D}{2} \log 2\pi, \qquad W = \mathrm{chol}(\Sigma)^{-1}

    for all components in one matrix product.

    Args:
        count: M.
        dims: D.
        covariance: "full", or "tied": one matrix for all components.
        min_scale: least standard deviation in any direction, as a fraction of the columns' own.
    """

    factor_CDD: Tensor

    def __init__(
        self,
        count: int,
        dims: int,
        covariance: Literal["full", "tied"] = "full",
        *,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__(count, dims, min_scale=min_scale)
        self.tied = covariance == "tied"
        # The factor and not the product: rounded to float32 it is still that of a covariance.
        self.register_buffer("factor_CDD", torch.eye(dims).repeat(1 if self.tied else count, 1, 1))

    @property
    def covariance_CDD(self) -> Tensor:
        """The covariances of the coordinates, in float64."""
        factor_CDD = self.factor_CDD.double()
        return factor_CDD @ factor_CDD.mT

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log density of the known entries."""
        z_BD = self.coordinates(x_BD)
        if known_BD is None:
            columns_D = torch.arange(self.dims, device=z_BD.device)
            return self._log_prob(z_BD, columns_D, self.factor_CDD.double()).to(self.mean_MD.dtype)
        log_prob_BM = z_BD.new_empty(len(z_BD), self.count)
        covariance_CDD = self.covariance_CDD
        for rows, columns in by_mask(known_BD):
            factor = torch.linalg.cholesky(covariance_CDD[:, columns][:, :, columns])
            log_prob_BM[rows] = self._log_prob(z_BD[rows][:, columns], columns, factor)
        return log_prob_BM.to(self.mean_MD.dtype)

    def _log_prob(self, z_BD: Tensor, columns: Tensor, factor: Tensor) -> Tensor:
        """Return the marginal log density ``(B, M)`` of some columns, by the factor of theirs."""
        mean_MD = self.mean_MD.double()[:, columns]
        eye = torch.eye(len(columns), dtype=factor.dtype, device=factor.device)
        white_CDD = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        log_det_C = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        constant_M = self.unit_D()[columns].sum() - log_det_C.expand(self.count)
        # What is whitened: for tied covariances the examples once, else once for each component.
        centre_CMD = torch.einsum("cde,cme->cmd", white_CDD, _by_matrix(mean_MD, self.tied))
        rows = max(1, BLOCK // max(1, self.count * len(columns)))
        blocks = [_square_distance(part, white_CDD, centre_CMD) for part in torch.split(z_BD, rows)]
        log_prob_BM: Tensor = constant_M - 0.5 * torch.cat(blocks)
        return log_prob_BM

    def begin(self, x_BD: Tensor, known_BD: Tensor | None = None) -> None:
        """Take the columns' means and deviations, and forget what was learnt.

        What is expected of missing entries follows from the laws, so an earlier fit would be seen.
        """
        super().begin(x_BD, known_BD)
        self.mean_MD.zero_()
        self.factor_CDD.copy_(torch.eye(self.dims))

    def statistics(self, x_BD: Tensor, weight_BM: Tensor, known_BD: Tensor | None = None) -> Totals:
        """Return the sums of weights, coordinates and their products, expected where missing."""
        z_BD, weight_BM = self.coordinates(x_BD), weight_BM.double()
        if known_BD is None or bool(known_BD.all()):
            first = weight_BM.T @ z_BD
            of_matrix_BC = weight_BM.sum(1, keepdim=True) if self.tied else weight_BM
            second = weighed_products(z_BD, of_matrix_BC)
        else:
            law = self.mean_MD.double(), self.covariance_CDD
            first, second = expected_moments(z_BD, weight_BM, known_BD, *law)
            second = second.sum(0, keepdim=True) if self.tied else second
        return {"zeroth": weight_BM.sum(0), "first": first, "second": second}

    def typical(self) -> Totals:
        """Return the totals of a standard normal."""
        ones_M = torch.ones_like(self.mean_MD[:, 0], dtype=torch.float64)
        eye = torch.eye(self.dims, dtype=torch.float64, device=ones_M.device)
        second = eye.expand(len(self.factor_CDD), -1, -1) * (self.count if self.tied else 1)
        return {"zeroth": ones_M, "first": self.mean_MD.double() * 0, "second": second}

    def update(self, total: Totals, pseudo: float) -> None:
        """Set means and covariances to their exact maximum; see `Components`."""
        total = self.with_pseudo(total, pseudo)
        weight_M, (some_M1, mean_MD) = total["zeroth"], self._means(total)
        root_MD = weight_M.sqrt().unsqueeze(1) * mean_MD
        products = _products(root_MD, self.tied)
        weight_C, some_C = weight_M, some_M1.squeeze(1)
        if self.tied:
            weight_C, some_C = weight_M.sum().view(1), some_C.any().view(1)
        covariance = (total["second"] - products) / weight_C.clamp(min=1e-300).view(-1, 1, 1)
        covariance = torch.where(
            some_C.view(-1, 1, 1), self._floored(covariance), self.covariance_CDD
        )
        self.mean_MD.copy_(mean_MD)
        self.factor_CDD.copy_(torch.linalg.cholesky(covariance))

    def _floored(self, covariance: Tensor) -> Tensor:
        """Raise the eigenvalues to the floor, which is the maximum under that constraint."""
        values: Tensor
        vectors: Tensor
        values, vectors = torch.linalg.eigh(covariance)
        if bool((values >= self.min_scale**2).all()):
            return covariance
        return (vectors * values.clamp(min=self.min_scale**2).unsqueeze(-2)) @ vectors.mT

    def log_likelihood(self, total: Totals) -> Tensor:
        """Return the sum of log densities, from the sums of products."""
        mean_MD, weight_M = self.mean_MD.double(), total["zeroth"]
        factor_CDD = self.factor_CDD.double()
        precision = torch.cholesky_inverse(factor_CDD)
        log_det_C = 2 * factor_CDD.diagonal(dim1=1, dim2=2).log().sum(1)
        pull_MD = torch.einsum("mde,me->md", precision.expand(self.count, -1, -1), mean_MD)
        square = (precision * total["second"]).sum() - 2 * (pull_MD * total["first"]).sum()
        square = square + (weight_M * (pull_MD * mean_MD).sum(1)).sum()
        constant_M = self.unit_D().sum() - 0.5 * log_det_C.expand(self.count)
        log_likelihood: Tensor = (weight_M * constant_M).sum() - 0.5 * square
        return log_likelihood

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
        normal_BD = noise.normal(self.dims).double() * math.sqrt(temperature)
        precision = torch.cholesky_inverse(self.factor_CDD.double())
        precision_BDD = precision[torch.zeros_like(index_B) if self.tied else index_B]
        offset_BD = torch.where(known_BD, self.coordinates(x_BD) - mean_BD, 0.0)
        pull_BD = torch.einsum("bde,be->bd", precision_BDD, offset_BD).masked_fill(known_BD, 0)
        unknown = ~known_BD.unsqueeze(1) & ~known_BD.unsqueeze(2)
        among = torch.where(unknown, precision_BDD, torch.diag_embed(known_BD.double()))
        factor = torch.linalg.cholesky(among)
        shift = -torch.cholesky_solve(pull_BD.unsqueeze(-1), factor)
        spread = torch.linalg.solve_triangular(factor.mT, normal_BD.unsqueeze(-1), upper=True)
        return self.back(mean_BD + (shift + spread).squeeze(-1), x_BD, known_BD)

    def free_parameters(self) -> int:
        """Return the means, and the triangles of the covariances."""
        triangle = self.dims * (self.dims + 1) // 2
        return self.count * self.dims + len(self.factor_CDD) * triangle


def _by_matrix(mean_MD: Tensor, tied: bool) -> Tensor:
    """Return the means with the covariance that they go with in front: ``(C, M / C, D)``."""
    return mean_MD.unsqueeze(0) if tied else mean_MD.unsqueeze(1)


def _products(root_MD: Tensor, tied: bool) -> Tensor:
    """Return the products of means with themselves, ``(C, D, D)``, summed where tied."""
    if tied:
        return (root_MD.T @ root_MD).unsqueeze(0)
    return root_MD.unsqueeze(2) * root_MD.unsqueeze(1)


def _square_distance(z_BD: Tensor, white_CDD: Tensor, centre_CMD: Tensor) -> Tensor:
    """Return ``(B, M)``, the square of the whitened distance to each centre."""
    matrices, dims = white_CDD.shape[:2]
    white_BCD = (z_BD @ white_CDD.flatten(0, 1).T).view(len(z_BD), matrices, dims)
    offset = white_BCD.unsqueeze(2) - centre_CMD  # (B, C, M / C, D)
    return offset.square().sum(-1).flatten(1)
