"""What every comparison of two sets of features asks of them."""

# Shapes: N and M examples, D features.
from __future__ import annotations

import torch
from torch import Tensor

from genus.errors import ConfigError, raise_all


def check_clouds(first: Tensor, second: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Return two sets of features in float64.

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.
        least: fewest examples that each must have.

    Raises:
        ConfigError: the sets have no common D, too few examples, or values that are not finite.

    Example:
        >>> check_clouds(torch.zeros(3, 2), torch.zeros(4, 5))
        Traceback (most recent call last):
        ...
        genus.errors.ConfigError: cannot compare features: shapes (3, 2) and (4, 5) differ in more \
than the number of examples
    """
    problems = []
    if first.dim() != 2 or second.dim() != 2 or first.shape[1] != second.shape[1]:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        problems.append(f"shapes {shapes} differ in more than the number of examples")
    for x in (first, second):
        if len(x) < least:
            problems.append(f"at least {least} examples are needed in each set, got {len(x)}")
        if not bool(torch.isfinite(x).all()):
            problems.append("features hold NaN or infinity")
    raise_all(ConfigError, "cannot compare features:", list(dict.fromkeys(problems)))
    return first.double(), second.double()
