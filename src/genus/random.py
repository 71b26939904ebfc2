"""Noise as an argument.

A sample must not depend on how many others are drawn with it, so every example owns its stream:
`ExampleNoise` draws one 64-bit key per example from the caller's generator and feeds a
counter-based generator (Philox; Salmon et al. 2011) with it. Training does not need that and
takes `BatchNoise`, which draws for the whole global batch and hands each process its rows, so that
one process and many see the same noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Noise(Protocol):
    """A source of noise for ``n`` examples."""

    n: int

    def uniform(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` uniform on [0, 1)."""
        ...

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` standard normal."""
        ...


class ExampleNoise:
    """Independent streams, one for each example.

    Args:
        n: number of examples.
        generator: where the keys come from; None takes torch's global one.
        device: where the noise is wanted.
        dtype: its floating type.

    Example:
        >>> first = ExampleNoise(2, torch.Generator().manual_seed(0)).normal(3)
        >>> many = ExampleNoise(50, torch.Generator().manual_seed(0)).normal(3)
        >>> torch.equal(first, many[:2])
        True
    """

    def __init__(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        source = torch.device("cpu") if generator is None else generator.device
        self.n = n
        self.device = torch.device(device)
        self.dtype = dtype
        self._keys = torch.randint(2**63 - 1, (n,), generator=generator, device=source).tolist()
        self._draws = 0
        # One generator goes from stream to stream: another for each costs several times more.
        self._philox = np.random.Philox(key=0)
        self._source, self._begin = np.random.Generator(self._philox), self._philox.state

    def take(self, rows: Sequence[int]) -> ExampleNoise:
        """Return the streams of some of the examples, from where they are."""
        part = copy.copy(self)
        part.n, part._keys = len(rows), [self._keys[row] for row in rows]
        return part

    def _drawn(self, shape: tuple[int, ...], fill: Callable[..., object]) -> np.ndarray:
        """Return ``(n, *shape)``, each row filled by ``fill`` from that row's own stream."""
        self._draws += 1
        rows = np.empty((self.n, math.prod(shape)))
        if not rows.size:
            return rows.reshape(self.n, *shape)
        key = self._begin["state"]["key"]
        key[1] = self._draws
        for row, own in zip(rows, self._keys, strict=True):
            key[0] = own
            self._philox.state = self._begin
            fill(self._source, out=row)
        return rows.reshape(self.n, *shape)

    def uniform(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` uniform on [0, 1)."""
        # 24 bits fit a float32, so that rounding never yields 1.0, the next level's edge.
        rows = self._drawn(shape, np.random.Generator.random)
        return torch.from_numpy(np.floor(rows * 2**24) / 2**24).to(self.device, self.dtype)

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` standard normal."""
        rows = self._drawn(shape, np.random.Generator.standard_normal)
        return torch.from_numpy(rows).to(self.device, self.dtype)


class BatchNoise:
    """Noise for this process's rows of a global batch, drawn from one generator.

    Args:
        n: rows of this process.
        generator: the generator of the global batch, in the same state on every process.
        rank: this process.
        world: number of processes; each holds ``n`` rows.
        device: where the noise is wanted.
        dtype: its floating type.
    """

    def __init__(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.n = n
        self.generator = generator
        self.rank, self.world = rank, world
        self.device, self.dtype = torch.device(device), dtype

    def _mine(self, whole: Tensor) -> Tensor:
        rows = whole[self.rank * self.n : (self.rank + 1) * self.n]
        return rows.to(self.device, self.dtype)

    def uniform(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` uniform on [0, 1)."""
        return self._mine(torch.rand(self.n * self.world, *shape, generator=self.generator))

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` standard normal."""
        return self._mine(torch.randn(self.n * self.world, *shape, generator=self.generator))


def categorical_icdf(logits: Tensor, u: Tensor) -> Tensor:
    """Return levels (...) of categorical ``logits`` (..., K) by inverse transform of ``u`` (...).

    The cumulative sum runs in float64, so that the last level keeps its mass for any K.
    """
    cdf = logits.double().softmax(-1).cumsum(-1)
    index = (u.double().unsqueeze(-1) >= cdf).sum(-1)
    return index.clamp(max=logits.shape[-1] - 1)
