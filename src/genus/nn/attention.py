r"""Attention to what came before: over whole sequences, or one position at a time with a cache.

.. math:: o_i = \sum_j a_{ij} v_j, \qquad
    a_{ij} = \frac{\exp(q_i^\top k_j / \sqrt{E})}{\sum_{j'} \exp(q_i^\top k_{j'} / \sqrt{E})}

where the sums run over :math:`j \le i`, or over :math:`j < i` in the strict form.

References:
    | Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762
    | PixelSNAIL (Chen et al., 2018), https://arxiv.org/abs/1712.09763
"""

# Shapes: B batch, T positions, N heads, E size of a key, V size of a value, K = E + V.
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.cursor import Cursor


def position(cursor: Cursor) -> int:
    """Return how many pixels of the map come before the cursor."""
    return cursor.row * cursor.width + cursor.column


class CausalAttention(nn.Module):
    """Softmax attention of several heads to earlier positions; projections are the caller's.

    It runs in two ways. Over a whole sequence it never holds the T x T weights, where torch has a
    fused kernel. With a `Cursor`, whose pixels row by row are the positions, it runs at one
    position with the keys and values of all earlier ones cached, so that the steps of a stream
    add up to the work of one pass. The cache holds ``B * N * (E + V)`` numbers for each position
    of the cursor's map, made at the first step and never grown.

    The first position of the strict form has nothing to attend to and gets zeros.

    Args:
        heads: N.
        key: E, size of a head's queries and keys.
        value: V, size of a head's values.
        strict: leave out the own position.

    Example:
        >>> import torch
        >>> attention = CausalAttention(heads=2, key=3, value=5, strict=True)
        >>> out = attention(torch.randn(1, 4, 2, 3), torch.randn(1, 4, 2, 8))
        >>> out.shape, out[0, 0].abs().max()
        (torch.Size([1, 4, 10]), tensor(0.))
    """

    def __init__(self, heads: int, key: int, value: int, *, strict: bool = False) -> None:
        super().__init__()
        self.heads, self.key, self.value, self.strict = heads, key, value, strict

    def forward(self, q_BTNE: Tensor, kv_BTNK: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, T, N * V)``, head by head; with a cursor, T is 1: its position.

        Args:
            q_BTNE: queries.
            kv_BTNK: for each head its key and then its value.
            cursor: where the stream is, or None for the whole sequence.
        """
        if cursor is None:
            return self._whole(q_BTNE.transpose(1, 2), kv_BTNK.transpose(1, 2))
        if self.strict:
            out_B1V = self.look(q_BTNE, cursor)
            self.remember(kv_BTNK, cursor)
            return out_B1V
        self.remember(kv_BTNK, cursor)
        return self.look(q_BTNE, cursor)

    def _whole(self, q_BNTE: Tensor, kv_BNTK: Tensor) -> Tensor:
        if not self.strict:
            return _attend(q_BNTE, kv_BNTK, self.key).transpose(1, 2).flatten(2)
        # Position i attends to j < i: query i of keys 0 .. i - 1 is the plain form, shifted by one.
        later_BNTV = _attend(q_BNTE[:, :, 1:], kv_BNTK[:, :, :-1], self.key)
        return F.pad(later_BNTV, (0, 0, 1, 0)).transpose(1, 2).flatten(2)

    def look(self, q_B1NE: Tensor, cursor: Cursor) -> Tensor:
        """Return ``(B, 1, N * V)``, attention at the cursor to what is remembered."""
        seen = position(cursor) + (not self.strict)
        if seen == 0:
            return q_B1NE.new_zeros(len(q_B1NE), 1, self.heads * self.value)
        kv_BNSK = self._cache(q_B1NE, cursor)[:, :, :seen]
        k_BNSE, v_BNSV = kv_BNSK[..., : self.key], kv_BNSK[..., self.key :]
        q_BN1E = q_B1NE.transpose(1, 2)
        if self.key == self.value:
            out_BN1V = F.scaled_dot_product_attention(q_BN1E, k_BNSE, v_BNSV)
        else:  # not fused, and for one query slower than what it does
            scores_BN1S = q_BN1E * self.key**-0.5 @ k_BNSE.transpose(2, 3)
            out_BN1V = scores_BN1S.softmax(-1) @ v_BNSV
        return out_BN1V.flatten(1).unsqueeze(1)

    def remember(self, kv_B1NK: Tensor, cursor: Cursor) -> None:
        """Keep the keys and values of the position at the cursor."""
        self._cache(kv_B1NK, cursor)[:, :, position(cursor)] = kv_B1NK[:, 0]

    def _cache(self, like_B: Tensor, cursor: Cursor) -> Tensor:
        """Return keys and values of all positions, ``(B, N, T, K)``; those to come are zero."""
        positions = cursor.height * cursor.width
        size = (len(like_B), self.heads, positions, self.key + self.value)
        return cursor.memory(self, lambda: like_B.new_zeros(size))


def _attend(q_BNTE: Tensor, kv_BNTK: Tensor, key: int) -> Tensor:
    """Return ``(B, N, T, V)``, position i attending to j <= i."""
    k_BNTE, v_BNTV = kv_BNTK[..., :key], kv_BNTK[..., key:]
    value = v_BNTV.shape[-1]
    # The fused kernels want one size for all; zeros change neither products nor sums.
    size = max(key, value)
    q, k, v = (_widen(t, size) for t in (q_BNTE, k_BNTE, v_BNTV))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=key**-0.5)
    return out[..., :value]


def _widen(t: Tensor, size: int) -> Tensor:
    """Return ``(..., size)``, zeros added at the end if need be."""
    return t if t.shape[-1] == size else F.pad(t, (0, size - t.shape[-1]))
