"""What a data set is: a Spec, three splits fixed beforehand, and a digest of the contents.

Legend: B batch, N rows of a split; ``*shape`` is `Spec.shape`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genus.errors import DataError, near
from genus.spec import Batch, Spec

if TYPE_CHECKING:  # torch takes seconds to import, and listing data sets does not need it
    import torch
    from torch import Tensor

    from genus.data.missing import Missing

Array = NDArray[Any]
SPLITS = ("train", "valid", "test")


class Split(Protocol):
    """One part of a data set, read by row."""

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows.

        Args:
            rows: ``(B,)`` int64, each in ``0 .. len(self) - 1``.
            generator: source of noise for sets that are drawn anew at every look; the others
                ignore it.

        Returns:
            ``x`` of shape ``(B, *shape)``, int64 levels or float32; ``y`` int64 or None; ``known``
            boolean, None where no entry of the split is missing.
        """
        ...


class ArraySplit:
    """A split held in memory, in the smallest type that takes its values.

    Args:
        x: ``(N, *shape)`` levels (any integer type or bool) or real numbers.
        y: ``(N,)`` labels, or None.
        known: ``(N, *shape)`` boolean, False where an entry is missing, or None. There ``x``
            becomes 0, whatever it was. Where all is known it is kept as None.

    Raises:
        DataError: ``y`` has another length than ``x``, or ``known`` another shape.

    Example:
        >>> import torch
        >>> split = ArraySplit(np.arange(6).reshape(3, 2), np.array([0, 1, 1]))
        >>> split.batch(torch.tensor([2])).x
        tensor([[4, 5]])
    """

    def __init__(
        self,
        x: Array | Tensor,
        y: Array | Tensor | None = None,
        known: Array | Tensor | None = None,
    ) -> None:
        mask = None if known is None else _tensor(known).bool()
        self.known = None if mask is None or bool(mask.all()) else mask
        self.x = _compact(_blanked(_tensor(x), self.known))
        self.y = None if y is None else _tensor(y).long()
        if self.y is not None and self.y.shape != self.x.shape[:1]:
            raise DataError(
                f"{len(self.x)} examples have labels of shape {tuple(self.y.shape)}; "
                f"give one integer per example, shape ({len(self.x)},)"
            )

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return the examples of these rows; there is no noise, so ``generator`` is not used."""
        x = self.x[rows]
        return Batch(
            x if x.is_floating_point() else x.long(),
            None if self.y is None else self.y[rows],
            None if self.known is None else self.known[rows],
        )


class BinarisedSplit:
    """Grey images binarised anew at every look (Salakhutdinov and Murray 2008).

    A pixel of grey value v is 1 with probability v/255. The noise of a row depends on the key
    drawn from the generator and on the row alone, so several processes that share a batch see
    what one process would.

    Args:
        grey: ``(N, C, H, W)`` uint8.
        y: ``(N,)`` labels, or None.
        seed: the draw that a look without a generator gets.

    References:
        Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, ICML 2008.
    """

    def __init__(self, grey: Array, y: Array | None = None, *, seed: int = 0) -> None:
        self.grey = grey
        self.y = None if y is None else _tensor(y).long()
        self.seed = seed

    def __len__(self) -> int:
        return len(self.grey)

    def batch(self, rows: Tensor, *, generator: torch.Generator | None = None) -> Batch:
        """Return one draw of these rows; without a generator, always the same one."""
        import torch

        key = self.seed
        if generator is not None:
            device = generator.device
            key = int(torch.randint(2**63 - 1, (), generator=generator, device=device))
        picked = rows.tolist()
        x = binarise(self.grey[picked], np.asarray(picked, np.int64), key)
        return Batch(torch.from_numpy(x).long(), None if self.y is None else self.y[rows])


def binarise(grey: Array, rows: Array, key: int) -> Array:
    """Return 1 with probability grey/255 for each pixel, drawn from (key, row).

    Args:
        grey: ``(N, *shape)`` uint8.
        rows: ``(N,)`` the number of each image, which selects its noise.
        key: which draw; any integer.
    """
    size = int(np.prod(grey.shape[1:]))
    out = np.empty(grey.shape, np.uint8)
    for i, row in enumerate(rows.tolist()):
        # Raw Philox words: NumPy keeps them the same in every version and on every machine.
        words = np.random.Philox(key=[key % 2**64, row]).random_raw((size + 1) // 2)
        halves = words.astype("<u8").view("<u4")[:size].reshape(grey.shape[1:])
        out[i] = halves.astype(np.uint64) * 255 < grey[i].astype(np.uint64) << np.uint64(32)
    return out


@dataclass(frozen=True)
class DataSet:
    """A data set, ready for any model.

    Args:
        name: what it is called, or the path that it came from.
        spec: shape, levels and classes of an example.
        splits: the parts by name: "train", "valid" and "test".
        digest: ``"sha256:..."`` of the contents; the same on every machine.
        description: one or two sentences: what it is and how it is split.
        labels: the names of the classes, in the order of their numbers; empty without labels.
        value_names: the names of the entries of a vector, where they have names.
        notes: what was converted, left out or should be known, one sentence each.
        source: the keyword arguments with which `load_data` loads it again.
        labelled: how many training examples have labels, where not all have; -1 is then the label
            of the others.
    """

    name: str
    spec: Spec
    splits: Mapping[str, Split]
    digest: str
    description: str = ""
    labels: tuple[str, ...] = ()
    value_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    labelled: int | None = None

    @property
    def train(self) -> Split:
        """What models learn from."""
        return self.split("train")

    @property
    def valid(self) -> Split:
        """What models are chosen by."""
        return self.split("valid")

    @property
    def test(self) -> Split:
        """What the final figures are measured on, once."""
        return self.split("test")

    @property
    def missing(self) -> Missing | None:
        """What is missing: how many cells, in which columns; None where every cell is known."""
        from genus.data.missing import count_missing

        masks = ((len(part), getattr(part, "known", None)) for part in self.splits.values())
        return count_missing(masks, self.spec.dims, self.value_names)

    @property
    def short_digest(self) -> str:
        """The first 16 hexadecimal digits of the digest."""
        return self.digest.removeprefix("sha256:")[:16]

    def split(self, name: str) -> Split:
        """Return a split by name.

        Raises:
            DataError: there is no such split.
        """
        if name not in self.splits:
            raise DataError(f"{self.name} has no split {name!r}; {near(name, self.splits)}")
        return self.splits[name]

    def class_counts(self, name: str = "train") -> Array:
        """Return how often each class occurs among the labels of a split, ``(classes,)`` int64.

        Raises:
            DataError: the data have no labels.
        """
        split = self.split(name)
        y = getattr(split, "y", None)
        if y is None:
            y = as_arrays(split).y
        if y is None or self.spec.classes is None:
            raise DataError(f"{self.name} has no labels, so it has no class counts")
        labels = np.asarray(y)
        return np.bincount(labels[labels >= 0], minlength=self.spec.classes)


def iterate(split: Split, batch_size: int) -> Iterator[Batch]:
    """Yield all rows of a split in order; the last batch may be smaller.

    Raises:
        DataError: the batch size is not positive.

    Example:
        >>> [len(batch) for batch in iterate(ArraySplit(np.zeros((5, 2), int)), 2)]
        [2, 2, 1]
    """
    import torch

    if batch_size < 1:
        raise DataError(f"batch_size={batch_size} must be at least 1")
    for start in range(0, len(split), batch_size):
        yield split.batch(torch.arange(start, min(start + batch_size, len(split))))


def as_arrays(split: Split, limit: int | None = None) -> Batch:
    """Return the first ``limit`` rows (all by default) as one batch; for sets that fit in memory.

    Raises:
        DataError: the split is empty.
    """
    import torch

    n = len(split) if limit is None else min(limit, len(split))
    if n < 1:
        raise DataError("there are no rows to stack; ask for at least 1 of a split that has some")
    parts = [split.batch(torch.arange(start, min(start + 512, n))) for start in range(0, n, 512)]
    return stacked(parts)


def stacked(parts: Sequence[Batch]) -> Batch:
    """Return batches of one split as one."""
    import torch

    labels = [part.y for part in parts if part.y is not None]
    masks = [part.known for part in parts if part.known is not None]
    return Batch(
        torch.cat([part.x for part in parts]),
        torch.cat(labels) if labels else None,
        torch.cat(masks) if masks else None,
    )


def _blanked(x: Tensor, known: Tensor | None) -> Tensor:
    """Return x with zeros where entries are missing, so that nothing is computed from NaN."""
    if known is None:
        return x
    if known.shape != x.shape:
        raise DataError(
            f"examples of shape {tuple(x.shape)} have a mask of shape {tuple(known.shape)}; give "
            "one boolean for each entry"
        )
    return x.masked_fill(~known, 0)


def _tensor(values: Array | Tensor) -> Tensor:
    import torch

    if isinstance(values, torch.Tensor):
        return values
    array = np.ascontiguousarray(values)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _compact(values: Array | Tensor) -> Tensor:
    """Return float32, uint8 or int32, whichever holds the values."""
    import torch

    x = _tensor(values)
    if x.is_floating_point():
        return x.float()
    if x.dtype in (torch.uint8, torch.bool):
        return x.to(torch.uint8)
    fits = x.numel() == 0 or (int(x.min()) >= 0 and int(x.max()) < 256)
    return x.to(torch.uint8 if fits else torch.int32)
