"""The features of every example of a split."""

# Shapes: B batch, N examples, D features.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genus.capabilities import Features, supports
from genus.errors import ConfigError, TrainingError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.rows import BLOCK, as_values, blocks
from genus.registry import able
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import Split


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Examples as vectors.

    Args:
        x: ``(N, D)`` float32.
        y: ``(N,)`` labels, or None where the data have none.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64] | None


def check_features(model: Any) -> None:
    """Raise `ConfigError` unless the model has features."""
    if not supports(model, Features):
        raise ConfigError(f"{model.name} has no features; train a model that has: {able(Features)}")


def extract_features(
    model: Any,
    split: Split,
    *,
    rows: Tensor | None = None,
    batch_size: int = BLOCK,
    progress: Callable[[int], None] | None = None,
) -> FeatureTable:
    """Return what a model's `Features` say of every example of a split.

    Args:
        model: with the capability `Features`; it is asked in evaluation mode.
        split: the examples.
        rows: ``(N,)`` which of them; all where left out.
        batch_size: examples at a time; changes memory, not results.
        progress: called with the number of examples done after each batch.

    Raises:
        ConfigError: the model has no features, or the batch size is not positive.
        TrainingError: the model returns NaN or infinity.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("made", data.spec.unconditional(), hidden=32)
        >>> extract_features(model, data.valid).x.shape
        (180, 32)
    """
    check_features(model)
    with scoring_mode(model) as ready:
        return _table(lambda x: ready.features(place(ready, x)), split, rows, batch_size, progress)


def raw_values(
    spec: Spec, split: Split, *, rows: Tensor | None = None, batch_size: int = BLOCK
) -> FeatureTable:
    """Return the examples themselves as vectors: levels on [0, 1], real numbers as they are."""
    return _table(lambda x: as_values(x, spec), split, rows, batch_size, None)


def _table(
    function: Callable[[Tensor], Tensor],
    split: Split,
    rows: Tensor | None,
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> FeatureTable:
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size} must be at least 1")
    parts: list[Tensor] = []
    labels: list[Tensor] = []
    done = 0
    for batch in blocks(split, batch_size, rows=rows):
        parts.append(function(batch.x).float().flatten(1).cpu())
        labels += [] if batch.y is None else [batch.y]
        done += len(batch)
        if progress is not None:
            progress(done)
    if not parts:
        raise ConfigError("the split has no examples; choose another split")
    x_ND = torch.cat(parts)
    wrong = int((~torch.isfinite(x_ND)).any(1).sum())
    if wrong:
        raise TrainingError(
            f"features of {wrong:,} of {len(x_ND):,} examples are not finite; the model has "
            "diverged: train again with a smaller learning rate"
        )
    return FeatureTable(x_ND.numpy(), torch.cat(labels).numpy() if labels else None)
