"""Examples restored from their own latents, by whatever model can do that."""

# Shapes: B batch, E latents, N examples.
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from genus.capabilities import supports
from genus.errors import SpecError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.rows import choose, read
from genus.spec import Batch

if TYPE_CHECKING:
    from genus.data import Split

SHOWN = 32
"""Examples of a report."""


class Coder(Protocol):
    """Maps examples to a law over latents, and latents to a law over examples."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Return a distribution over ``(B, E)``."""
        ...

    def decode(self, z: Tensor, y: Tensor | None = None) -> Any:
        """Return a distribution over ``(B, *shape)``."""
        ...


class Reconstructs(Protocol):
    """Restores examples, whatever its latents are."""

    def reconstruct(self, x: Tensor) -> Any:
        """Return a distribution over ``(B, *shape)``."""
        ...


def can_reconstruct(model: object) -> bool:
    """Say whether a model, or a model class, can restore examples."""
    return supports(model, Coder) or supports(model, Reconstructs)


def centre_of(law: Any) -> Tensor:
    """Return the one vector ``(B, E)`` that stands for a law over latents: its centre, or mean."""
    centre: Tensor = law.centre if hasattr(law, "centre") else law.mean
    return centre


def labels_for(model: Any, batch: Batch) -> Tensor | None:
    """Return the labels that a model wants to be told, or None where it takes none.

    Raises:
        SpecError: it is class-conditional, and the examples have no labels or of other classes.
    """
    if model.spec.classes is None:
        return None
    if batch.y is None:
        raise SpecError(
            f"this {model.name} is class-conditional, and the data have no labels; take data "
            "with labels"
        )
    labels: Tensor = model.spec.check_labels(batch.y, len(batch))
    return place(model, labels)


def reconstruct(model: Any, batch: Batch) -> Any:
    r"""Return the law of each example given its own latents.

    .. math:: p(x \mid z), \qquad z = \text{the centre of } q(z \mid x)

    A model whose latents have no such law, symbols of a codebook for instance, says itself how it
    restores.

    Args:
        model: one for which `can_reconstruct` is true, in evaluation mode.
        batch: examples with their labels.

    Raises:
        SpecError: the model wants labels that are not there.

    Example:
        >>> from genus import Spec, create
        >>> model = create("vae", Spec(shape=(1, 8, 8), levels=2), latents=2, hidden=16).eval()
        >>> x = torch.zeros(3, 1, 8, 8, dtype=torch.long)
        >>> reconstruct(model, Batch(x)).mean.shape
        torch.Size([3, 1, 8, 8])
    """
    x = place(model, batch.x)
    if supports(model, Reconstructs):
        return model.reconstruct(x)
    y = labels_for(model, batch)
    return model.decode(centre_of(model.encode(x, y)), y)


def restored_examples(model: Any, split: Split, *, n: int = SHOWN, seed: int = 0) -> Tensor | None:
    """Return some examples and the means of their reconstructions, ``(2, N, *shape)`` float32.

    Args:
        model: any model.
        split: the examples.
        n: how many.
        seed: of their choice, which is the same for all models.

    Returns:
        The pairs, or None where the model cannot restore, or wants labels that are not there.
    """
    if not can_reconstruct(model) or not len(split):
        return None
    batch = read(split, choose(len(split), n, seed))
    if model.spec.classes is not None and batch.y is None:
        return None
    with scoring_mode(model) as ready:
        mean = reconstruct(ready, batch).mean
    return torch.stack([batch.x.float(), mean.float().cpu()])


def in_turn(pairs: Tensor, columns: int) -> Tensor:
    """Return pairs as a grid wants them: a row of the first ones, below it that of the second.

    Args:
        pairs: ``(2, N, ...)``; N is a multiple of ``columns``.
        columns: of the grid.

    Returns:
        ``(2 N, ...)``.

    Example:
        >>> in_turn(torch.tensor([[1, 2, 3, 4], [10, 20, 30, 40]]), 2).tolist()
        [1, 2, 10, 20, 3, 4, 30, 40]
    """
    rows = pairs.reshape(2, -1, columns, *pairs.shape[2:])
    return rows.transpose(0, 1).flatten(0, 2)
