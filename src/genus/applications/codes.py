"""The latents of examples, and examples of latents."""

# Shapes: N examples, E latents, K activity of a latent.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.capabilities import supports
from genus.distributions import DiagonalGaussian
from genus.errors import ConfigError, DataError, TrainingError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.reconstruction import Coder, centre_of, labels_for
from genus.evaluation.rows import blocks, choose
from genus.random import ExampleNoise
from genus.registry import able

if TYPE_CHECKING:
    from genus.data import Split

MOST_ENCODED = 2_000
"""Examples from which the spread of latents is told, unless more are asked for."""
ACTIVE = 0.01
"""A latent is in use if its centre's variance over examples is above this (Burda et al., 2016)."""
AT_ONCE = 256
"""Latents decoded at a time."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Examples as latents.

    Args:
        z_NE: the centres of their posteriors, on the CPU.
        y_N: labels, or None where the data have none.
        rows_N: which rows of the split they are.
    """

    z_NE: Tensor
    y_N: Tensor | None
    rows_N: Tensor

    @property
    def variance_E(self) -> Tensor:
        """Variance of every latent's centre over the examples."""
        return self.z_NE.double().var(0, correction=0)


def check_codes(model: Any, what: str) -> None:
    """Raise `ConfigError` unless the model encodes and decodes."""
    if not supports(model, Coder):
        raise ConfigError(
            f"{model.name} does not both encode and decode, which {what} takes; train a model "
            f"that does: {able(Coder)}"
        )


def centres(model: Any, split: Split, rows_N: Tensor) -> Codes:
    """Return the centres of the posteriors of some rows of a split.

    Args:
        model: one that encodes.
        split: the examples; a class-conditional model is told their labels.
        rows_N: which of them.

    Raises:
        ConfigError: a row that is not there.
        DataError: there are no rows.
        SpecError: the model wants labels that are not there.
        TrainingError: a latent is NaN or infinite.
    """
    check_rows(split, rows_N)
    z, labels = [], []
    with scoring_mode(model) as ready:
        for batch in blocks(split, rows=rows_N):
            y_B = labels_for(ready, batch)
            z.append(centre_of(ready.encode(place(ready, batch.x), y_B)).float().cpu())
            labels += [] if batch.y is None else [batch.y]
    z_NE = torch.cat(z)
    wrong = int((~z_NE.isfinite()).any(1).sum())
    if wrong:
        raise TrainingError(
            f"the latents of {wrong:,} of {len(z_NE):,} examples are not finite; the model has "
            "diverged: train again with a smaller learning rate"
        )
    return Codes(z_NE, torch.cat(labels) if labels else None, rows_N)


def check_rows(split: Split, rows_N: Tensor) -> None:
    """Raise unless there are rows, and all of them are in the split.

    Raises:
        ConfigError: a row that is not there.
        DataError: there are no rows.
    """
    if not len(rows_N):
        raise DataError("there are no examples to show; choose another split")
    beyond = [row for row in rows_N.tolist() if not 0 <= row < len(split)]
    if beyond:
        raise ConfigError(f"row {beyond[0]} is not there; the split has rows 0 to {len(split) - 1}")


def some_rows(split: Split, n: int, seed: int) -> Tensor:
    """Return ``n`` rows of a split at random, or all; in an order at random too."""
    rows = choose(len(split), n, seed)
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]


def restored(
    model: Any, z_NE: Tensor, y_N: Tensor | None, noise: ExampleNoise | None = None
) -> Tensor:
    """Return what latents are decoded to, ``(N, *shape)`` on the CPU.

    Args:
        model: one that decodes.
        z_NE: latents.
        y_N: labels for a class-conditional model.
        noise: a draw of the law of the entries for each row; their means where left out.
    """
    parts = []
    with scoring_mode(model) as ready:
        for start in range(0, len(z_NE), AT_ONCE):
            z_BE = place(ready, z_NE[start : start + AT_ONCE])
            y_B = None if y_N is None else place(ready, y_N[start : start + AT_ONCE])
            law = ready.decode(z_BE, y_B)
            if noise is None:
                parts.append(law.mean.float().cpu())
            else:
                rows = range(start, start + len(z_BE))
                parts.append(law.icdf(place(ready, _uniform(ready, noise.take(rows)))).cpu())
    return torch.cat(parts)


def _uniform(model: Any, noise: ExampleNoise) -> Tensor:
    return noise.uniform(*model.spec.shape)


def noise_for(n: int, seed: int, draw: bool) -> ExampleNoise | None:
    """Return noise for ``n`` rows where examples are to be drawn, and None for their means."""
    return ExampleNoise(n, torch.Generator().manual_seed(seed)) if draw else None


def is_standard_normal(law: Any) -> bool:
    """Say whether a prior is the standard normal."""
    if not isinstance(law, DiagonalGaussian):
        return False
    return not bool(law.mean.any()) and not bool(law.log_scale.any())
