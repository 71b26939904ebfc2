"""Masked linear maps for entries that come one after another, and the same maps run step by step.

Whatever is computed has a *time*: an entry the step at which it becomes known, a hidden unit the
latest step that it may look at. A unit sees what is known at its time, so the times alone say which
weights are masked, and a network can be given another order by giving it other times.

References:
    | MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015)
    | https://arxiv.org/abs/1502.03509
"""

# Shapes: B batch, I inputs, E numbers of an input, O outputs, P numbers of an output, N = I * E.
from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.host_numbers import HostNumbers

M = TypeVar("M", bound=nn.Module)


class MaskedLinear(nn.Module):
    """A linear map in which output o sees input i if ``since_I[i] <= until_O[o]``.

    Inputs and outputs may be groups of numbers. The mask is applied out of place, so that a
    masked weight gets no gradient. There is no bias.

    Args:
        inputs: I.
        outputs: O.
        features: E, numbers of each input.
        width: P, numbers of each output.

    Example:
        >>> layer = MaskedLinear(3, 3)
        >>> layer.connect(torch.arange(3), torch.arange(3) - 1)
        >>> layer.mask.flatten(1).int()
        tensor([[0, 0, 0],
                [1, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
    """

    since_I: Tensor
    until_O: Tensor

    def __init__(self, inputs: int, outputs: int, *, features: int = 1, width: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width, inputs, features))
        self.register_buffer("since_I", torch.zeros(inputs, dtype=torch.long))
        self.register_buffer("until_O", torch.zeros(outputs, dtype=torch.long))
        self._since, self._until = HostNumbers(), HostNumbers()

    def connect(self, since_I: Tensor, until_O: Tensor) -> None:
        """Set the times of inputs and outputs."""
        self.since_I, self.until_O = since_I, until_O
        self._since, self._until = HostNumbers(), HostNumbers()

    def times(self) -> tuple[list[int], list[int]]:
        """Return the times of inputs and of outputs, each in rising order."""
        return sorted(self._since.of(self.since_I)), sorted(self._until.of(self.until_O))

    @property
    def mask(self) -> Tensor:
        """Which weights are used, ``(O, 1, I, 1)``."""
        return (self.since_I <= self.until_O.unsqueeze(1))[:, None, :, None]

    @torch.no_grad()
    def reset(self, gain: float) -> None:
        """Draw weights of variance ``gain`` over the inputs that an output sees on average."""
        seen = float(self.mask.float().mean()) * self.weight[0, 0].numel()
        self.weight.normal_(0, (gain / max(seen, 1.0)) ** 0.5)

    @torch.no_grad()
    def forget(self) -> None:
        """Make weights that the mask hides zero; without gradients they stay so."""
        self.weight.copy_(torch.where(self.mask, self.weight, 0))

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return ``(B, O * P)``."""
        weight_OPIE = torch.where(self.mask, self.weight, 0)
        return F.linear(x_BN, weight_OPIE.flatten(0, 1).flatten(1))


class LayerSteps:
    """A masked linear map that gives each output once all inputs that it sees are there.

    Inputs and outputs are sorted by their times, so that every step needs one block of the
    weights, and all steps together need each weight once.

    Args:
        layer: what is run; it must not change meanwhile.
        steps: times run from -1, before anything is known, to ``steps - 1``.
    """

    def __init__(self, layer: MaskedLinear, steps: int) -> None:
        by_since_I = layer.since_I.argsort(stable=True)
        self.sorted_O = layer.until_O.argsort(stable=True)
        self.width, features = layer.weight.shape[1], layer.weight.shape[3]
        weight_OPIE = layer.weight.detach()[self.sorted_O][:, :, by_since_I]
        weight_PN = weight_OPIE.flatten(0, 1).flatten(1)
        since, until = layer.times()
        self._blocks = []
        for time in range(-1, steps):
            first, last = bisect_left(until, time), bisect_right(until, time)
            known = bisect_right(since, time) * features
            block_PN = weight_PN[first * self.width : last * self.width, :known]
            self._blocks.append((slice(first, last), known, block_PN))

    def due(self, time: int) -> slice:
        """Return which outputs, sorted by time, are ready at a time and not before."""
        return self._blocks[time + 1][0]

    def known(self, time: int) -> int:
        """Return how many numbers of the input are there at a time."""
        known: int = self._blocks[time + 1][1]
        return known

    def __call__(self, x_BN: Tensor, time: int) -> Tensor:
        """Return the outputs that are due at a time, ``(B, due * P)``.

        Args:
            x_BN: the inputs sorted by time, of which only those known are looked at.
            time: the step.
        """
        _, known, weight = self._blocks[time + 1]
        return F.linear(x_BN[:, :known], weight)


def sharing(module: M) -> M:
    """Return a copy that has the same weights, not copies of them, and buffers of its own to set.

    Example:
        >>> layer = MaskedLinear(2, 2)
        >>> twin = sharing(layer)
        >>> twin.connect(torch.tensor([1, 0]), torch.tensor([0, -1]))
        >>> twin.weight is layer.weight, layer.since_I.tolist()
        (True, [0, 0])
    """
    twin = copy.copy(module)
    twin._buffers = dict(module._buffers)
    twin._modules = {
        name: None if child is None else sharing(child) for name, child in module._modules.items()
    }
    return twin
