"""Arithmetic that several checks share: enumeration, fingerprints of laws, chi-square."""

# Shapes: B batch, D dims, V values at which a law is asked, S all examples of a space.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genus.spec import Spec


def all_examples(spec: Spec) -> Tensor:
    """Return every example of a discrete space, ``(S, *shape)``, the last entry fastest.

    Example:
        >>> all_examples(Spec(shape=(2,), levels=3)).shape
        torch.Size([9, 2])
    """
    levels = spec.levels_or_raise
    index_S = torch.arange(levels**spec.dims)
    place_D = levels ** torch.arange(spec.dims - 1, -1, -1)
    return (index_S[:, None] // place_D % levels).view(-1, *spec.shape)


def index_of(x: Tensor, spec: Spec) -> Tensor:
    """Return the row ``(B,)`` of each example in `all_examples`."""
    place_D = spec.levels_or_raise ** torch.arange(spec.dims - 1, -1, -1)
    return (x.flatten(1) * place_D).sum(1)


def in_chunks(function: Callable[..., Tensor], *tensors: Tensor | None, rows: int) -> Tensor:
    """Return ``function(*tensors)`` computed on so many rows at a time."""
    total = next(len(t) for t in tensors if t is not None)
    parts = [
        function(*(None if t is None else t[start : start + rows] for t in tensors))
        for start in range(0, total, rows)
    ]
    return torch.cat(parts)


def chunk_rows(spec: Spec) -> int:
    """Return how many examples may be scored at a time without filling the memory."""
    return max(1, 8_000_000 // (spec.dims * (spec.levels or 8)))


@torch.no_grad()
def log_prob_of_all(model: Any, spec: Spec, label: int | None = None) -> Tensor:
    """Return the log-probability ``(S,)`` of every example, given a class or as a mixture."""
    x = all_examples(spec)
    y = None if label is None else torch.full((len(x),), label)
    total: Tensor = in_chunks(model.log_prob, x, y, rows=chunk_rows(spec))
    return total


def probe_values(spec: Spec, limit: int = 8) -> list[float]:
    """Return values at which a law of one entry is asked, to tell two laws apart."""
    if spec.levels is None:
        return [-1.5, -0.3, 0.4, 2.0]
    if spec.levels <= limit:
        return list(range(spec.levels))
    return sorted({round(i * (spec.levels - 1) / (limit - 1)) for i in range(limit)})


def fingerprint(law: Any, like: Tensor, values: list[float]) -> Tensor:
    """Return the log-probability ``(*like.shape, V)`` of each value at every entry."""
    return torch.stack([law.log_prob(torch.full_like(like, v)) for v in values], -1)


def middle(law: Any) -> Tensor | None:
    """Return the middle of a law of latents, its centre or its mean; None if it tells neither."""
    found = getattr(law, "centre", getattr(law, "mean", None))
    return found if isinstance(found, Tensor) else None


def chi_square_p(counts_S: Tensor, probabilities_S: Tensor) -> float:
    """Return the p-value of Pearson's test that counts come from these probabilities.

    Cells that expect less than 5 draws are pooled, rarest first; a draw of probability zero has
    p-value zero.

    Example:
        >>> chi_square_p(torch.tensor([50, 50]), torch.tensor([0.5, 0.5]))
        1.0
        >>> chi_square_p(torch.tensor([90, 10]), torch.tensor([0.5, 0.5])) < 1e-4
        True
    """
    if bool((counts_S[probabilities_S <= 0] > 0).any()):
        return 0.0
    expected_S, order_S = (probabilities_S.double() * counts_S.sum()).sort()
    cell_S = _cells(expected_S)
    cells = int(cell_S[-1]) + 1
    expected = torch.zeros(cells, dtype=torch.float64).index_add(0, cell_S, expected_S)
    found = torch.zeros(cells, dtype=torch.float64).index_add(0, cell_S, counts_S[order_S].double())
    if cells < 2:
        return 1.0
    statistic = ((found - expected).square() / expected).sum()
    half = torch.tensor((cells - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, statistic / 2))


def _cells(expected_S: Tensor) -> Tensor:
    """Return the cell of each sorted state, so that every cell expects at least 5 draws."""
    cells, cell, mass = [], 0, 0.0
    for value in expected_S.tolist():
        cells.append(cell)
        mass += value
        if mass >= 5:
            cell, mass = cell + 1, 0.0
    last = cells[-1] if mass == 0 else max(cells[-1] - 1, 0)
    return torch.tensor([min(c, last) for c in cells])


def largest(difference: Tensor) -> float:
    """Return the largest absolute value, 0 of an empty tensor; NaN stays NaN."""
    return float(difference.abs().max()) if difference.numel() else 0.0


def gap(a: Tensor, b: Tensor) -> float:
    """Return the largest difference; entries that are equal, infinities too, differ by 0."""
    if a.shape != b.shape:
        return float("inf")
    a, b = a.double(), b.double()
    return largest(torch.where(a == b, torch.zeros_like(a), a - b))
