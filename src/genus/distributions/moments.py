"""Sums of products of entries, and what they are expected to be where entries are missing."""

# Shapes: B batch, M components, D entries, C covariances (M, or 1 where tied), K known entries of a
# mask, U the others.
from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**20
"""Numbers of one block of rows: small enough for a processor's cache."""
BITS = 30
"""Entries of a mask in one number; with twice as many there is room for the masks before."""


def by_mask(known_BD: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows of each mask that occurs, and the columns that it knows."""
    # Numbers, so many bits at a time, are sorted ten times as fast as rows are.
    which_B = torch.zeros(len(known_BD), dtype=torch.long, device=known_BD.device)
    for part in torch.split(known_BD.long(), BITS, dim=1):
        bits_B = (part << torch.arange(part.shape[1], device=part.device)).sum(1)
        which_B = torch.unique((which_B << BITS) + bits_B, return_inverse=True)[1]
    for rows in torch.split(which_B.argsort(stable=True), which_B.bincount().tolist()):
        yield rows, known_BD[rows[0]].nonzero().squeeze(1)


def weighed_products(z_BD: Tensor, weight_BM: Tensor) -> Tensor:
    """Return the weighed sums of products of two entries, ``(M, D, D)``."""
    dims = z_BD.shape[1]
    if weight_BM.shape[1] == 1 or dims > 64:
        return torch.stack([z_BD.T @ (z_BD * w_B.unsqueeze(1)) for w_B in weight_BM.T])
    # Narrow examples: one product with all products of two entries.
    total = z_BD.new_zeros(weight_BM.shape[1], dims**2)
    rows = max(1, BLOCK // max(1, dims**2))
    for z, w in zip(torch.split(z_BD, rows), torch.split(weight_BM, rows), strict=True):
        total.addmm_(w.T, (z.unsqueeze(2) * z.unsqueeze(1)).flatten(1))
    return total.view(len(total), dims, dims)


def expected_moments(
    z_BD: Tensor, weight_BM: Tensor, known_BD: Tensor, mean_MD: Tensor, covariance_CDD: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return the weighed sums of Gaussian examples that are known in part, and of their products.

    Given the known entries the others are Gaussian, with

    .. math:: \hat z_u = \mu_u + G (z_k - \mu_k), \qquad
        S = \Sigma_{uu} - G \Sigma_{ku}, \qquad G = \Sigma_{uk} \Sigma_{kk}^{-1}

    so the sums are those of :math:`\hat z` and of :math:`\hat z \hat z^T + S`. They follow from the
    sums over the known entries of all rows with the same mask, as :math:`\hat z` is affine in
    these. So the cost is that of complete rows, :math:`B M D^2`, and :math:`M D^3` for each mask.

    Args:
        z_BD: the examples; not looked at where they are not known.
        weight_BM: how far each belongs to each component.
        known_BD: boolean.
        mean_MD: of the components.
        covariance_CDD: of the components, or one for all.

    Returns:
        ``(M, D)`` and ``(M, D, D)``.

    References:
        | Supervised learning from incomplete data via an EM approach (Ghahramani and Jordan,
        | NIPS 1994)

    Example:
        >>> z, known = torch.tensor([[1.0, 9.0]]), torch.tensor([[True, False]])
        >>> law = torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
        >>> first, second = expected_moments(z, torch.ones(1, 1), known, *law)
        >>> first, second  # the other entry is 0.5 with variance 0.75
        (tensor([[1.0000, 0.5000]]), tensor([[[1.0000, 0.5000],
                 [0.5000, 1.0000]]]))
    """
    first_MD, second_MDD = torch.zeros_like(mean_MD), covariance_CDD.new_zeros(1)
    for rows, columns in by_mask(known_BD):
        z_BK, weight = z_BD[rows][:, columns], weight_BM[rows]
        affine_CDK, rest_CDD = _given(covariance_CDD, columns)
        # b of the affine map: what it makes of known entries that are all 0.
        offset_MD = mean_MD - _applied(affine_CDK, mean_MD[:, columns])
        offset_MD[:, columns] = 0
        n_M11 = weight.sum(0).view(-1, 1, 1)
        linear_MD = _applied(affine_CDK, weight.T @ z_BK)
        first_MD += linear_MD + n_M11.squeeze(2) * offset_MD
        cross_MDD = linear_MD.unsqueeze(2) * offset_MD.unsqueeze(1)
        squares = affine_CDK @ weighed_products(z_BK, weight) @ affine_CDK.mT
        constant = n_M11 * (offset_MD.unsqueeze(2) * offset_MD.unsqueeze(1) + rest_CDD)
        second_MDD = second_MDD + squares + cross_MDD + cross_MDD.mT + constant
    return first_MD, second_MDD.expand(len(mean_MD), *covariance_CDD.shape[1:])


def _given(covariance_CDD: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map from the known entries to all, ``(C, D, K)``, and what stays uncertain."""
    of_known_CDK = covariance_CDD[:, :, columns]
    factor = torch.linalg.cholesky(of_known_CDK[:, columns])
    affine_CDK = torch.cholesky_solve(of_known_CDK.mT, factor).mT.contiguous()
    rest_CDD = covariance_CDD - affine_CDK @ of_known_CDK.mT
    # Exactly, where rounding would leave a little.
    affine_CDK[:, columns] = torch.eye(len(columns), dtype=factor.dtype, device=factor.device)
    rest_CDD[:, columns], rest_CDD[:, :, columns] = 0, 0
    return affine_CDK, rest_CDD


def _applied(affine_CDK: Tensor, known_MK: Tensor) -> Tensor:
    """Return ``(M, D)``, the map of each component applied to its vector."""
    return (affine_CDK @ known_MK.unsqueeze(2)).squeeze(2)
