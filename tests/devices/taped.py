"""A recorder for a machine without a GPU: it keeps to what a CUDA graph does.

Operations are run once and noted with the very tensors that they read and wrote; played back, each
reads and writes those again, and Python is not asked. Whatever a capture forbids is refused: to
ask for a number, to draw by a generator, to bring something from the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

TAGS = {
    torch.Tag.data_dependent_output: "asks for a number",
    torch.Tag.dynamic_output_shape: "has a shape that depends on numbers",
    torch.Tag.nondeterministic_seeded: "draws by a generator",
}
HARMLESS = ("aten::_scaled_dot_product", "aten::index")
"""Tagged for what else they can do: drop attention, or take a mask for an index."""


def forbidden(func: Any, args: Any) -> list[str]:
    """Return why an operation cannot be captured."""
    why = [what for tag, what in TAGS.items() if tag in func.tags]
    if func._schema.name.startswith(HARMLESS):
        masks = [t for t in _tensors(args[1:]) if t.dtype in (torch.bool, torch.uint8)]
        why = ["takes a mask for an index"] if "index" in func._schema.name and masks else []
    if func is torch.ops.aten.lift_fresh.default:
        why.append("brings numbers from Python")
    return why


class Tape(TorchDispatchMode):
    """Notes operations and plays them back."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for what in forbidden(func, args):
            raise RuntimeError(f"while capturing: {func} {what}")
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def play(self) -> None:
        """Run the operations again, into the same memory."""
        for func, args, kwargs, result in self.steps:
            if func.is_view:
                continue
            again = func(*args, **kwargs)
            if not func._schema.is_mutable:
                for old, new in zip(_tensors(result), _tensors(again), strict=True):
                    old.copy_(new)


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree if isinstance(tree, (tuple, list)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def tape(run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    """Record as `genus.families.recorded.cuda_graph` does: once to warm up, once to capture."""
    run()
    notes = Tape()
    with notes:
        result = run()
    return result, notes.play
