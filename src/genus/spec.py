"""What one example of the data is, and how examples travel through the library.

Discrete data are *levels*: integers ``0 .. levels - 1`` in a tensor of shape ``(B, *shape)``.
Models scale privately, so a likelihood is the log of a probability mass and comparable between
models. Continuous data have ``levels=None`` and a density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genus.errors import SpecError, raise_all

if TYPE_CHECKING:  # torch takes seconds to import, and a Spec does not need it
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """The shape and the values of one example; it comes from the data, never from a model.

    Args:
        shape: ``(C, H, W)`` for images, ``(D,)`` for vectors and sequences of symbols.
        levels: how many values each entry can take (2 for binary, 256 for 8-bit), or None for
            real numbers.
        classes: how many labels there are, or None when a model is to be unconditional.
        condition: ``(C, H, W)`` of the image that each example is made from, whose values are of
            the same kind as those of the examples, or None.

    Raises:
        SpecError: a size is not a positive integer, there are fewer than 2 levels, or both classes
            and an image are to be the condition.

    Example:
        >>> Spec(shape=(1, 8, 8), levels=17, classes=10).dims
        64
    """

    shape: tuple[int, ...]
    levels: int | None = None
    classes: int | None = None
    condition: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        problems = []
        if not self.shape or not all(isinstance(n, int) and n > 0 for n in self.shape):
            problems.append(f"shape={self.shape} must be one or more positive integers")
        if len(self.shape) not in (1, 3):
            problems.append(f"shape={self.shape} must be (D,) or (C, H, W)")
        if self.levels is not None and not (isinstance(self.levels, int) and self.levels >= 2):
            problems.append(f"levels={self.levels} must be an integer of at least 2, or None")
        if self.classes is not None and not (isinstance(self.classes, int) and self.classes >= 1):
            problems.append(f"classes={self.classes} must be an integer of at least 1, or None")
        if self.condition is not None:
            object.__setattr__(self, "condition", tuple(self.condition))
            problems += self._condition_problems(self.condition)
        raise_all(SpecError, "cannot describe the data:", problems)

    def _condition_problems(self, shape: tuple[int, ...]) -> list[str]:
        problems = []
        if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            problems.append(f"condition={shape} must be (C, H, W), three positive integers")
        if len(self.shape) != 3:
            problems.append(f"condition={shape} needs images (C, H, W), not shape={self.shape}")
        if self.classes is not None:
            problems.append(
                f"classes={self.classes} and condition={shape} cannot both be what examples are "
                "conditional on; leave one out"
            )
        return problems

    def __repr__(self) -> str:
        """Return the arguments; a condition only where there is one."""
        given = "" if self.condition is None else f", condition={self.condition}"
        return f"Spec(shape={self.shape}, levels={self.levels}, classes={self.classes}{given})"

    @property
    def dims(self) -> int:
        """Number of entries of one example, colour channels included."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether an example is ``(C, H, W)``."""
        return len(self.shape) == 3

    @property
    def is_discrete(self) -> bool:
        """Whether examples are levels, so that likelihoods are masses."""
        return self.levels is not None

    @property
    def is_conditional(self) -> bool:
        """Whether examples come with something that they are conditional on, a label or an image.

        Example:
            >>> Spec(shape=(1, 8, 8), levels=17, condition=(1, 4, 4)).is_conditional
            True
        """
        return self.classes is not None or self.condition is not None

    def unconditional(self) -> Spec:
        """Return the same data without labels or images to go by."""
        return replace(self, classes=None, condition=None)

    @property
    def of_conditions(self) -> Spec:
        """What the images are that examples are conditional on.

        Raises:
            SpecError: there are none.
        """
        if self.condition is None:
            raise SpecError("this needs data that are conditional on an image; degrade them first")
        return Spec(self.condition, self.levels)

    def check(self, x: Tensor) -> Tensor:
        """Return ``x`` if it is a batch of such examples.

        Args:
            x: ``(B, *shape)``; an integer tensor for discrete data, floating for continuous.

        Raises:
            SpecError: wrong shape or type, a level out of range, or a value that is not finite.
        """
        import torch

        if tuple(x.shape[1:]) != self.shape or x.dim() != len(self.shape) + 1:
            raise SpecError(
                f"examples have shape {tuple(x.shape)}, "
                f"expected (B, {', '.join(map(str, self.shape))})"
            )
        if not self.is_discrete:
            if not x.is_floating_point():
                raise SpecError(
                    f"continuous data must be floating point, got {x.dtype}; use x.float()"
                )
            if not _all_finite(x):
                raise SpecError("the data hold NaN or infinity; drop or impute those rows first")
            return x
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise SpecError(
                f"discrete data are integer levels 0..{self.levels_or_raise - 1}, got {x.dtype}; "
                "quantise first, for example (x * (levels - 1)).round().long()"
            )
        if x.numel() and (int(x.min()) < 0 or int(x.max()) >= self.levels_or_raise):
            raise SpecError(
                f"levels run from {int(x.min())} to {int(x.max())}, "
                f"outside 0..{self.levels_or_raise - 1}; is Spec.levels right?"
            )
        return x

    def check_labels(self, y: Tensor, n: int) -> Tensor:
        """Return ``y`` if it holds ``n`` labels of these classes.

        Raises:
            SpecError: there are no classes, or the labels have another shape, type or range.
        """
        if self.classes is None:
            raise SpecError(
                "labels were given, but this model is unconditional; "
                "create it with a Spec that has classes, or leave y out"
            )
        if tuple(y.shape) != (n,) or y.is_floating_point():
            raise SpecError(
                f"labels must be integers of shape ({n},), got {y.dtype} {tuple(y.shape)}"
            )
        if n and (int(y.min()) < 0 or int(y.max()) >= self.classes):
            raise SpecError(
                f"labels run from {int(y.min())} to {int(y.max())}, outside 0..{self.classes - 1}"
            )
        return y

    def check_condition(self, y: Tensor, n: int) -> Tensor:
        """Return ``y`` if it is what ``n`` examples are conditional on: labels, or images.

        Args:
            y: ``(n,)`` labels of these classes, or ``(n, *condition)`` images.
            n: how many examples there are.

        Raises:
            SpecError: nothing is conditional here, or ``y`` has another shape, type or range.
        """
        if self.condition is None:
            return self.check_labels(y, n)
        if tuple(y.shape) != (n, *self.condition):
            raise SpecError(
                f"conditions must be images of shape {(n, *self.condition)}, got {tuple(y.shape)}"
            )
        return self.of_conditions.check(y)

    @property
    def levels_or_raise(self) -> int:
        """The number of levels of discrete data.

        Raises:
            SpecError: the data are continuous.
        """
        if self.levels is None:
            raise SpecError("this needs discrete data, but the Spec has levels=None (real numbers)")
        return self.levels

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        # Digests are made of this, so Specs without a condition must look as they always did.
        given = {} if self.condition is None else {"condition": list(self.condition)}
        return {"shape": list(self.shape), "levels": self.levels, "classes": self.classes, **given}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        """Build a Spec from `to_json`'s dictionary."""
        given = data.get("condition")  # what was written before there were any has none
        return cls(
            shape=tuple(data["shape"]),
            levels=data["levels"],
            classes=data["classes"],
            condition=None if given is None else tuple(given),
        )


@dataclass(frozen=True)
class Batch:
    """Examples and, where there is anything, what they are conditional on.

    Args:
        x: ``(B, *spec.shape)``, integer levels or real numbers.
        y: ``(B,)`` integer labels, ``(B, *spec.condition)`` images, or None.
        known: ``(B, *spec.shape)`` boolean, False where an entry is missing; None where none is.
    """

    x: Tensor
    y: Tensor | None = None
    known: Tensor | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        return self._map(lambda tensor: tensor[rows])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with all its tensors changed."""
        given = None if self.y is None else change(self.y)
        return Batch(change(self.x), given, None if self.known is None else change(self.known))


def _all_finite(x: Tensor) -> bool:
    """Say whether no entry is NaN or infinite, at the price of a sum for data that are sound."""
    import torch

    if bool(torch.isfinite(x.sum())):
        return True
    return bool(torch.isfinite(x).all())  # the sum of large numbers overflows as well
