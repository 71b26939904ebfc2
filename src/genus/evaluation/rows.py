"""Reading rows of a split, always the same ones in the same way."""

# Shapes: B batch, N rows.
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.data.base import stacked
from genus.spec import Batch, Spec

if TYPE_CHECKING:
    from genus.data import Split

BLOCK = 256
"""Rows read at a time by default."""


def blocks(split: Split, size: int = BLOCK, *, rows: Tensor | None = None) -> Iterator[Batch]:
    """Yield the rows of a split in order, ``size`` at a time, the last block smaller.

    Without a generator, data that are binarised anew at every look give the same draw of a row
    each time, so a figure does not depend on ``size``.

    Args:
        split: where the rows come from.
        size: rows of a block.
        rows: ``(N,)`` which rows; all of them when left out.
    """
    wanted = torch.arange(len(split)) if rows is None else rows
    for start in range(0, len(wanted), size):
        yield split.batch(wanted[start : start + size])


def read(split: Split, rows: Tensor | None = None) -> Batch:
    """Return rows of a split stacked in one batch; all of them when ``rows`` is left out."""
    parts = list(blocks(split, rows=rows))
    return stacked(parts) if parts else split.batch(torch.empty(0, dtype=torch.int64))


def choose(total: int, n: int, seed: int) -> Tensor:
    """Return ``n`` distinct rows of ``total``, sorted; all of them when there are no more."""
    if n >= total:
        return torch.arange(total)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:n].sort().values


def as_values(x: Tensor, spec: Spec) -> Tensor:
    """Return examples as ``(N, dims)`` float32: levels scaled to [0, 1], real numbers unchanged."""
    flat = x.reshape(len(x), -1).float()
    return flat / (spec.levels - 1) if spec.levels is not None else flat
