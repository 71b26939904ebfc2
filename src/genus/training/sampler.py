"""Which rows step t trains on, as a pure function of the seed: the data position is a number."""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 2**64 - 1


def mixed(*numbers: int) -> int:
    """Return a 64-bit hash of integers (the finaliser of splitmix64, chained).

    Example:
        >>> mixed(0, 1) == mixed(0, 1), mixed(0, 1) == mixed(1, 0)
        (True, False)
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def generator_of(*numbers: int) -> torch.Generator:
    """Return a generator that depends on these numbers and on nothing else."""
    # torch's generator on the processor looks at the low 32 bits of its seed only.
    return torch.Generator().manual_seed(mixed(*numbers) >> 32)


class Sampler:
    """The rows of every batch of a run.

    Epochs follow each other in one endless line, each a fresh permutation, and batch b takes the
    places b * batch_size and on. So every batch is full, every row comes once per epoch, and
    nothing has to be saved to go on from batch b.

    Args:
        rows: how many there are.
        batch_size: rows of one batch.
        seed: of the permutations.

    Example:
        >>> sampler = Sampler(rows=4, batch_size=2, seed=0)
        >>> sorted(torch.cat([sampler.batch(0), sampler.batch(1)]).tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = generator_of(self.seed, 1, epoch)
            self._order = torch.randperm(self.rows, generator=generator)
            self._epoch = epoch
        return self._order

    def batch(self, index: int) -> Tensor:
        """Return the rows ``(batch_size,)`` of batch ``index``."""
        place, end = index * self.batch_size, (index + 1) * self.batch_size
        parts = []
        while place < end:
            epoch, offset = divmod(place, self.rows)
            part = self._permutation(epoch)[offset : offset + end - place]
            parts.append(part)
            place += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)
