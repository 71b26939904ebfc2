"""Which kinds of example do the samples lack? Counts by cell and by class, against real data.

References:
    | On GANs and GMMs (Richardson and Weiss 2018), arXiv 1805.12462: proportions in k-means cells
"""

# Shapes: N samples, M real examples, D values, K groups.
from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

LEAST = 0.5
"""A group lacks samples where it has less than this part of its share."""


@dataclass(frozen=True)
class Lacking:
    """How much of the data the samples lack.

    Args:
        missing: share of the real data in the groups that lack samples, less that of the samples.
        standard_error: of it.
        groups: the groups that lack samples, the emptiest first.
        z: how many standard errors the emptiest group of all is below its share.
        threshold: for z, so that all groups together give one false alarm in 740.
    """

    missing: float
    standard_error: float
    groups: tuple[int, ...]
    z: float
    threshold: float

    @property
    def seen(self) -> bool:
        """Whether a group lacks samples."""
        return bool(self.groups)


def lacking(samples: Tensor, references: list[Tensor], groups: int) -> Lacking:
    r"""Return which groups have far fewer samples than their share, by a test of two proportions.

    .. math:: z_k = \frac{p_k - q_k}{\sqrt{r_k (1 - r_k) (1/N + 1/M)}}

    with the share :math:`p_k` of the reference, :math:`q_k` of the samples and :math:`r_k` of both.
    A group counts only if it stands out from every reference, so that a difference between train
    and held-out data is not laid on the model.

    Args:
        samples: ``(N,)`` the group of each sample, from 0.
        references: of ``(M,)`` each, the groups of real examples.
        groups: K.

    Example:
        >>> real = torch.arange(400) % 4
        >>> lacking(real[real != 2], [real], 4).groups
        (2,)
    """
    threshold = NormalDist().inv_cdf(1 - (1 - NormalDist().cdf(3.0)) / groups)
    n_K = torch.bincount(samples, minlength=groups).double()
    q_K, z_K, p_K = n_K / len(samples), torch.full((groups,), math.inf).double(), None
    low_K = torch.ones(groups, dtype=torch.bool)
    for reference in references:
        m_K = torch.bincount(reference, minlength=groups).double()
        share_K = m_K / len(reference)
        both_K = (n_K + m_K) / (len(samples) + len(reference))
        variance_K = both_K * (1 - both_K) * (1 / len(samples) + 1 / len(reference))
        z_K = torch.minimum(z_K, (share_K - q_K) / variance_K.sqrt().clamp(min=1e-12))
        low_K &= q_K < LEAST * share_K
        p_K = share_K if p_K is None else torch.minimum(p_K, share_K)
    assert p_K is not None
    found_K = low_K & (z_K > threshold)
    p, q = float(p_K[found_K].sum()), float(q_K[found_K].sum())
    variance = p * (1 - p) / min(map(len, references)) + q * (1 - q) / len(samples)
    order = [k for k in z_K.argsort(descending=True).tolist() if found_K[k]]
    # Without a group that is low, z is that of the emptiest: the verdict needs both.
    return Lacking(p - q, math.sqrt(variance), tuple(order), float(z_K.max()), threshold)
