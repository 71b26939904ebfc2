r"""Frechet distance of wide features with a standard error that takes no resampling.

With centred rows :math:`a_i` of the one set and :math:`b_j` of the other, over
:math:`\sqrt{n - 1}` and :math:`\sqrt{m - 1}`, the part of the distance that is not a sum over
examples is a nuclear norm:

.. math:: \operatorname{tr} (\Sigma_1 \Sigma_2)^{1/2} = \| A B^\top \|_*, \qquad
    A B^\top = U S V^\top

Its derivative by the weight of example i is :math:`\frac12 (U S U^\top)_{ii}` over that weight, so
each example has a closed form for how much it moves the distance (Efron's infinitesimal jackknife),

.. math:: 2 \langle \mu_1 - \mu_2, x_i - \mu_1 \rangle + \frac{n}{n - 1} |x_i - \mu_1|^2
    - n (U S U^\top)_{ii}

and the variance of these over n, added up over both sets, is that of the distance. It costs one
decomposition instead of one for each resampling, and holds for fewer examples than features too.

References:
    | Jaeckel (1972), The infinitesimal jackknife, Bell Laboratories memorandum
    | Efron (1982), The jackknife, the bootstrap and other resampling plans, SIAM
"""

# Shapes: N and M examples, D features, R singular values.
from __future__ import annotations

import torch
from torch import Tensor

from genus.evaluation.clouds import check_clouds

WIDE = 512
"""Of more features than this, resampling the Frechet distance takes minutes."""
_SMALL = 1e-7
"""Of the largest singular value: below it a square root has lost all digits."""


def frechet_with_error(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the Frechet distance of two sets of features and its standard error.

    The distance is that of `frechet_distance`, by another way. The error is meant for sets whose
    laws differ; like that of the bootstrap it is somewhat too large where they do not.

    Args:
        first: ``(N, D)`` features.
        second: ``(M, D)`` features; M may differ from N.

    Raises:
        ConfigError: fewer than 2 examples, no common D, or values that are not finite.

    Example:
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> round(frechet_with_error(x, x + 2)[0], 9), round(frechet_with_error(x, 3 * x)[0], 9)
        (4.0, 4.0)
    """
    x_ND, y_MD = check_clouds(first, second, least=2)
    n, m = len(x_ND), len(y_MD)
    shift_D = x_ND.mean(0) - y_MD.mean(0)
    x_ND, y_MD = x_ND - x_ND.mean(0), y_MD - y_MD.mean(0)
    overlap, left_N, right_M = _overlap(x_ND / (n - 1) ** 0.5, y_MD / (m - 1) ** 0.5)
    x_square_N, y_square_M = x_ND.square().sum(1) / (n - 1), y_MD.square().sum(1) / (m - 1)
    spread = x_square_N.sum() + y_square_M.sum() - 2 * overlap
    of_x_N = 2 * x_ND @ shift_D + n * (x_square_N - left_N)
    of_y_M = -2 * y_MD @ shift_D + m * (y_square_M - right_M)
    error = (of_x_N.var() / n + of_y_M.var() / m).sqrt()
    return max(0.0, float(shift_D.square().sum() + spread)), float(error)


def _overlap(a_ND: Tensor, b_MD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the nuclear norm of ``a b'`` and its parts by example, U S U' and V S V' at (i, i)."""
    if len(a_ND) > len(b_MD):
        overlap, right, left = _overlap(b_MD, a_ND)
        return overlap, left, right
    if len(a_ND) <= a_ND.shape[1]:
        return _by_examples(a_ND @ b_MD.T)
    return _by_features(a_ND, b_MD)


def _by_examples(product_NM: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    squares_R, u_NR = torch.linalg.eigh(product_NM @ product_NM.T)
    s_R, kept_R = _roots(squares_R)
    v_MR = product_NM.T @ u_NR[:, kept_R]  # times S
    return s_R.sum(), u_NR.square() @ s_R, v_MR.square() @ (1 / s_R[kept_R])


def _by_features(a_ND: Tensor, b_MD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weights_D, basis_DD = torch.linalg.eigh(a_ND.T @ a_ND)
    root_DD = (basis_DD * weights_D.clamp(min=0).sqrt()) @ basis_DD.T
    covariance_DD = b_MD.T @ b_MD
    product_DD = root_DD @ covariance_DD @ root_DD
    squares_R, turn_DR = torch.linalg.eigh((product_DD + product_DD.T) / 2)
    s_R, kept_R = _roots(squares_R)
    turned_DR, s_kept_R = root_DD @ turn_DR[:, kept_R], s_R[kept_R]
    u_NR = a_ND @ (covariance_DD @ turned_DR)  # times S squared
    v_MR = b_MD @ turned_DR  # times S
    return s_R.sum(), u_NR.square() @ s_kept_R.pow(-3), v_MR.square() @ (1 / s_kept_R)


def _roots(squares_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return singular values from their squares, and which are known well enough to divide by."""
    s_R = squares_R.clamp(min=0).sqrt()
    return s_R, s_R > _SMALL * s_R.max().clamp(min=1e-300)
