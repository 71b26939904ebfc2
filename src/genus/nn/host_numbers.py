"""Numbers that Python needs of a tensor that may lie on another device."""

from __future__ import annotations

from torch import Tensor


class HostNumbers:
    """What `Tensor.tolist` returns, asked for again only when the tensor has changed.

    To ask a GPU for numbers is to wait for all that it has been given to do, and is not allowed
    at all while its work is being recorded.

    Example:
        >>> import torch
        >>> numbers, order = HostNumbers(), torch.tensor([2, 0, 1])
        >>> numbers.of(order) is numbers.of(order), numbers.of(order.fill_(3))
        (True, [3, 3, 3])
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._version = -1
        self._numbers: list[int] = []

    def of(self, tensor: Tensor) -> list[int]:
        """Return the numbers of a tensor of integers; the list is not to be written to."""
        if tensor.is_inference():  # does not know whether it has changed
            return tensor.tolist()
        if tensor is not self._tensor or tensor._version != self._version:
            self._numbers = tensor.tolist()
            self._tensor, self._version = tensor, tensor._version
        return self._numbers
