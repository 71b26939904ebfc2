"""A codebook: vectors are rounded to the nearest of a few that are learned."""

# Shapes: B batch, h w a map, V size of a vector, K symbols, N vectors.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Codebook(nn.Module):
    """K vectors, one for each symbol.

    Args:
        symbols: K.
        size: V.

    Example:
        >>> book = Codebook(2, 1)
        >>> _ = book.vector_KV.data.copy_(torch.tensor([[-1.0], [1.0]]))
        >>> code = book.nearest(torch.tensor([[[[0.3, -4.0]]]]))
        >>> code, book(code)
        (tensor([[[[1, 0]]]]), tensor([[[[ 1., -1.]]]], grad_fn=<PermuteBackward0>))
    """

    def __init__(self, symbols: int, size: int) -> None:
        super().__init__()
        self.vector_KV = nn.Parameter(torch.randn(symbols, size))

    @torch.no_grad()
    def begin(self, map_BVhw: Tensor) -> None:
        """Begin near vectors of the data, different ones as far as there are enough."""
        vector_NV, K = map_BVhw.movedim(1, -1).flatten(0, -2), len(self.vector_KV)
        order_N = torch.randperm(len(vector_NV), device=vector_NV.device)
        rows_K = order_N.repeat(-(-K // len(order_N)))[:K]
        spread = vector_NV.std(correction=0).clamp(min=1e-3)
        self.vector_KV.copy_(vector_NV[rows_K] + 0.1 * spread * torch.randn_like(self.vector_KV))

    def nearest(self, map_BVhw: Tensor) -> Tensor:
        """Return the nearest symbol at each position, ``(B, 1, h, w)``."""
        # The square of the vector itself is the same for all symbols.
        product = map_BVhw.movedim(1, -1) @ self.vector_KV.T
        distance = self.vector_KV.square().sum(1) - 2 * product
        return distance.argmin(-1).unsqueeze(1)

    def forward(self, code_B1hw: Tensor) -> Tensor:
        """Return the vectors of symbols, ``(B, V, h, w)``."""
        return F.embedding(code_B1hw.squeeze(1), self.vector_KV).movedim(-1, 1)

    def perplexity(self, code_B1hw: Tensor) -> Tensor:
        """Return how many symbols of equal share would be as varied as those of a batch."""
        count_K = torch.bincount(code_B1hw.flatten(), minlength=len(self.vector_KV))
        entropy: Tensor = torch.special.entr(count_K / count_K.sum()).sum()
        return entropy.exp()
