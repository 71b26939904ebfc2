"""How much memory a stream holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from genus.capabilities import Stream
from genus.nn.cursor import Cursor


def held_bytes(stream: Stream | Cursor) -> int:
    """Return the bytes of all that a stream keeps, beside the weights of its model.

    What layers remember of earlier positions, room to compute in, and weights that are kept in
    another layout for the while are counted, each piece of memory once.

    Args:
        stream: of any model, or a cursor; it is not changed.

    Example:
        >>> import torch, genus
        >>> model = genus.create("row-lstm", genus.Spec(shape=(1, 5, 6), levels=2), features=8)
        >>> stream = model.stream(3)
        >>> before = held_bytes(stream)
        >>> _ = stream.next()
        >>> held_bytes(stream) > before > 0
        True
    """
    tensors: list[Tensor] = []
    modules: list[nn.Module] = []
    _collect(stream, tensors, modules, set())
    own = {
        tensor.untyped_storage().data_ptr()
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
    }
    storages = {s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in tensors)}
    return sum(size for place, size in storages.items() if place not in own)


def _collect(kept: Any, tensors: list[Tensor], modules: list[nn.Module], known: set[int]) -> None:
    """Add the tensors and modules that can be reached from an object, by what it keeps."""
    if id(kept) in known:
        return
    known.add(id(kept))
    if isinstance(kept, Tensor):
        tensors.append(kept)
    elif isinstance(kept, nn.Module):
        modules.append(kept)
    else:
        for part in _parts(kept):
            _collect(part, tensors, modules, known)


def _parts(kept: Any) -> Iterator[Any]:
    """Yield what an object keeps; functions and classes keep nothing."""
    if isinstance(kept, dict):
        yield from kept.values()
    elif isinstance(kept, list | tuple):
        yield from kept
    elif not callable(kept):
        yield from getattr(kept, "__dict__", {}).values()
