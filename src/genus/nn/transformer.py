"""A causal transformer, over whole sequences or one position at a time."""

# Shapes: B batch, T positions, F features, N heads, E size of a key.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.attention import CausalAttention, position
from genus.nn.cursor import Cursor
from genus.nn.embedding import SPREAD, Places, Rotation


class DecoderLayer(nn.Module):
    r"""Attention to the own and earlier positions, then a perceptron at each position.

    .. math:: x' &= x + W_o\, \mathrm{attention}(W_i\, \mathrm{norm}(x)) \\
        y &= x' + W_2\, \mathrm{gelu}(W_1\, \mathrm{norm}(x'))

    Normalisation is over the features of one position. The last weight of both branches begins
    smaller by the root of the number of branches, so that the sum over a deep network does not
    grow; all others begin as torch makes them, which at 768 features is GPT-2's spread of 0.02.

    References:
        | Language Models are Unsupervised Multitask Learners (Radford et al., 2019)

    Args:
        features: F, a multiple of the heads.
        heads: N.
        expansion: features of the perceptron's hidden layer, in multiples of F.
        dropout: share of either branch's output dropped in training.
        depth: layers of the network.

    Example:
        >>> layer = DecoderLayer(8, heads=2, expansion=4, dropout=0.0, depth=1)
        >>> layer(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(
        self, features: int, *, heads: int, expansion: int, dropout: float, depth: int
    ) -> None:
        super().__init__()
        self.heads, size = heads, features // heads
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(2))
        self.inward = nn.Linear(features, 3 * features)
        self.attention = CausalAttention(heads, size, size)
        self.outward = nn.Linear(features, features)
        self.up = nn.Linear(features, expansion * features)
        self.down = nn.Linear(expansion * features, features)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            for linear in (self.inward, self.outward, self.up, self.down):
                nn.init.zeros_(linear.bias)
            for last in (self.outward, self.down):
                last.weight.mul_((2 * depth) ** -0.5)

    def forward(
        self, x_BTF: Tensor, rotation: Rotation | None = None, cursor: Cursor | None = None
    ) -> Tensor:
        """Return ``(B, T, F)``; with a cursor, T is 1: its position.

        Args:
            x_BTF: the sequence.
            rotation: turns queries and keys by their places, if given.
            cursor: where the stream is, or None for the whole sequence.
        """
        x_BTF = x_BTF + self.dropout(self._attend(self.norms[0](x_BTF), rotation, cursor))
        out_BTF: Tensor = x_BTF + self.dropout(self.down(F.gelu(self.up(self.norms[1](x_BTF)))))
        return out_BTF

    def _attend(self, x_BTF: Tensor, rotation: Rotation | None, cursor: Cursor | None) -> Tensor:
        qkv_BTN3E = self.inward(x_BTF).unflatten(-1, (self.heads, 3, self.attention.key))
        if rotation is None:
            q_BTNE, kv_BTNK = qkv_BTN3E[..., 0, :], qkv_BTN3E[..., 1:, :].flatten(-2)
        else:
            q_BTNE, k_BTNE = rotation(qkv_BTN3E[..., :2, :], cursor).unbind(-2)
            kv_BTNK = torch.cat([k_BTNE, qkv_BTN3E[..., 2, :].to(k_BTNE.dtype)], -1)
        out_BTF: Tensor = self.outward(self.attention(q_BTNE, kv_BTNK, cursor))
        return out_BTF


class Decoder(nn.Module):
    """A causal transformer over a grid of places, in order, with entries at each.

    The input at a position is added to a vector for its place and one for the class, which the
    first position has nothing else but.

    A stream keeps ``2 * layers * F`` numbers for each position and example, made at the start.

    Args:
        grid: places, the last coordinate fastest: (rows, columns), or (positions,).
        repeats: entries at each place, such as colours, one after another.
        classes: labels to condition on, or None.
        features: F, a multiple of the heads.
        layers: how many.
        heads: N in each layer.
        expansion: features of the perceptrons' hidden layers, in multiples of F.
        rotary: turn queries and keys by their places, rather than learn a vector for each row
            and each column; entries at one place are told apart by a learned vector either way.
        dropout: share of the inputs and of each branch dropped in training.

    Example:
        >>> decoder = Decoder((2, 3), 1, None, features=8, layers=2, heads=2)
        >>> decoder(torch.zeros(4, 6, 8), None).shape
        torch.Size([4, 6, 8])
    """

    def __init__(
        self,
        grid: tuple[int, ...],
        repeats: int,
        classes: int | None,
        *,
        features: int,
        layers: int,
        heads: int,
        expansion: int = 4,
        rotary: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.places = Places((repeats,) if rotary else (*grid, repeats), features)
        self.rotation = Rotation(grid, features // heads, repeats) if rotary else None
        self.label = nn.Embedding(classes or 1, features)
        nn.init.normal_(self.label.weight, std=SPREAD)
        self.layers = nn.ModuleList(
            DecoderLayer(features, heads=heads, expansion=expansion, dropout=dropout, depth=layers)
            for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(features)

    def forward(self, x_BTF: Tensor, y_B: Tensor | None, cursor: Cursor | None = None) -> Tensor:
        """Return ``(B, T, F)``, normalised; with a cursor, T is 1: its position.

        Args:
            x_BTF: the input at each position, which must not know of its own entry.
            y_B: labels; None stands for the mean over classes.
            cursor: where the stream is, or None for the whole sequence.
        """
        label = self.label.weight.mean(0) if y_B is None else self.label(y_B).unsqueeze(1)
        x_BTF = self.dropout(x_BTF + self._places(x_BTF.shape[1], cursor) + label)
        for layer in self.layers:
            x_BTF = layer(x_BTF, self.rotation, cursor)
        out_BTF: Tensor = self.norm(x_BTF)
        return out_BTF

    def _places(self, positions: int, cursor: Cursor | None) -> Tensor:
        """Return the vector of every position's place, ``(T, F)``, or of the cursor's."""
        table_TF: Tensor = self.places() if cursor is None else cursor.constant(self, self.places)
        if cursor is None:
            return table_TF.repeat(positions // len(table_TF), 1)
        return table_TF[position(cursor) % len(table_TF)]
