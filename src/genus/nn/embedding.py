"""Vectors for the entries of an example and for their places, as transformers take them."""

# Shapes: B batch, T positions, D entries of an example, F features, K levels, E size of a key.
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.distributions.units import take_unit
from genus.nn.attention import position
from genus.nn.cursor import Cursor

SPREAD = 0.02
"""Standard deviation of fresh embeddings, that of GPT-2 (Radford et al., 2019)."""


FLOOR = math.log(0.01)
"""Least log-scale of a real entry, in units of its deviation."""


class LevelEmbedding(nn.Module):
    r"""A learned vector for every level, and between two levels the line from one to the other.

    .. math:: e(u) = (1 - f)\, E_l + f\, E_{l+1}, \qquad
        l = \lfloor s \rfloor,\ f = s - l,\ s = (u + 1)(K - 1)/2

    At the levels it is the usual table, and nothing is lost. In between it has a slope, so that
    what depends on an entry can be found by differentiation.

    Args:
        levels: K.
        kinds: entries of so many kinds, for instance colours, take turns and have tables of
            their own.
        features: F.

    Example:
        >>> embed = LevelEmbedding(levels=3, kinds=1, features=4)
        >>> u = torch.tensor([[-1.0, 0.0, 1.0]])
        >>> torch.allclose(embed(u, torch.arange(3))[0], embed.table.weight)
        True
    """

    def __init__(self, levels: int, kinds: int, features: int) -> None:
        super().__init__()
        self.levels, self.kinds = levels, kinds
        self.table = nn.Embedding(kinds * levels, features)
        nn.init.normal_(self.table.weight, std=SPREAD)

    def forward(self, u_BT: Tensor, index_T: Tensor) -> Tensor:
        """Return ``(B, T, F)`` for levels on [-1, 1] that are the entries ``index_T``."""
        s_BT = (u_BT + 1) * ((self.levels - 1) / 2)
        low_BT = s_BT.detach().floor().clamp(0, self.levels - 2)
        row_BT = low_BT.long() + index_T % self.kinds * self.levels
        share_BT1 = (s_BT - low_BT).unsqueeze(-1)
        return torch.lerp(self.table(row_BT), self.table(row_BT + 1), share_BT1)

    def in_data_units(self, raw_BTP: Tensor, index_T: Tensor) -> Tensor:
        """Return a law's parameters as they are: levels have no unit."""
        return raw_BTP


class NumberEmbedding(nn.Module):
    """A vector for a real number: a small network of its value in units of its entry's deviation.

    Args:
        dims: D, entries that have a location and a deviation of their own.
        features: F.
    """

    shift_D: Tensor
    scale_D: Tensor

    def __init__(self, dims: int, features: int) -> None:
        super().__init__()
        self.register_buffer("shift_D", torch.zeros(dims))
        self.register_buffer("scale_D", torch.ones(dims))
        self.inward = nn.Linear(1, features)
        self.outward = nn.Linear(features, features)

    def standardise(self, x_BD: Tensor) -> None:
        """Take location and deviation of each entry from some examples."""
        take_unit(self.shift_D, self.scale_D, x_BD)

    def forward(self, u_BT: Tensor, index_T: Tensor) -> Tensor:
        """Return ``(B, T, F)`` for numbers that are the entries ``index_T``."""
        standard_BT = (u_BT - self.shift_D[index_T]) / self.scale_D[index_T]
        out_BTF: Tensor = self.outward(F.gelu(self.inward(standard_BT.unsqueeze(-1))))
        return out_BTF

    def in_data_units(self, raw_BTP: Tensor, index_T: Tensor) -> Tensor:
        """Return a mixture's logits, locations and log-scales, given those of standardised entries.

        Args:
            raw_BTP: all logits, then all locations, then all log-scales of each entry.
            index_T: which entries they are.
        """
        logits, location, log_scale = raw_BTP.chunk(3, -1)
        shift_T1, scale_T1 = self.shift_D[index_T, None], self.scale_D[index_T, None]
        # A floor that still has a slope under it: no component collapses and none gets stuck.
        floored = torch.logaddexp(log_scale, torch.full_like(log_scale, FLOOR)) + scale_T1.log()
        return torch.cat([logits, location * scale_T1 + shift_T1, floored], -1)


def standard_mixture(components: int) -> Tensor:
    """Return raw parameters ``(3 M,)`` of a mixture whose parts are spread as a standard normal."""
    quantiles_M = torch.special.ndtri((torch.arange(components) + 0.5) / components)
    log_scale_M = torch.full((components,), -0.5 * math.log(components))
    return torch.cat([torch.zeros(components), quantiles_M, log_scale_M])


class Places(nn.Module):
    """A learned vector for every place of a grid: the sum of one for each of its coordinates.

    Args:
        sizes: of the grid, one number for each coordinate.
        features: F.

    Example:
        >>> Places((2, 3), 4)().shape
        torch.Size([6, 4])
    """

    def __init__(self, sizes: tuple[int, ...], features: int) -> None:
        super().__init__()
        tables = (SPREAD * torch.randn(size, features) for size in sizes)
        self.tables = nn.ParameterList(nn.Parameter(table) for table in tables)

    def forward(self) -> Tensor:
        """Return ``(T, F)``, the last coordinate fastest."""
        first, *others = self.tables
        total: Tensor = first
        for table in others:
            total = total.unsqueeze(-2) + table
        return total.view(-1, total.shape[-1])


class Rotation(nn.Module):
    r"""Rotary positions: products of queries and keys depend on the distance between their places.

    Each pair of features turns by an angle that is proportional to one of the coordinates, at
    speeds from one radian a place down to one radian over the longest side.

    References:
        | RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021)
        | https://arxiv.org/abs/2104.09864

    Args:
        sizes: of the grid, one number for each coordinate.
        size: E, a multiple of twice the number of coordinates.
        repeats: positions at each place, one after another.
    """

    cosine_T11E: Tensor
    sine_T11E: Tensor

    def __init__(self, sizes: tuple[int, ...], size: int, repeats: int = 1) -> None:
        super().__init__()
        pairs = size // (2 * len(sizes))
        assert pairs * 2 * len(sizes) == size, "keys must be split evenly over the coordinates"
        grid = torch.meshgrid(*(torch.arange(n).double() for n in sizes), indexing="ij")
        place_TA = torch.stack([axis.flatten() for axis in grid], -1).repeat_interleave(repeats, 0)
        slowness = torch.arange(pairs).double() / max(pairs - 1, 1)
        speed_P = float(max(sizes)) ** -slowness
        angle_TP = (place_TA.unsqueeze(-1) * speed_P).flatten(1)
        cosine_TP, sine_TP = angle_TP.cos(), angle_TP.sin()
        cosine_TE = torch.cat([cosine_TP, cosine_TP], -1).float()
        sine_TE = torch.cat([-sine_TP, sine_TP], -1).float()
        self.register_buffer("cosine_T11E", cosine_TE[:, None, None], persistent=False)
        self.register_buffer("sine_T11E", sine_TE[:, None, None], persistent=False)

    def forward(self, x_BTN2E: Tensor, cursor: Cursor | None = None) -> Tensor:
        """Return queries and keys, turned; with a cursor, those of its position."""
        here = slice(None)
        if cursor is not None:
            here = slice(position(cursor), position(cursor) + 1)
        swapped = x_BTN2E.roll(x_BTN2E.shape[-1] // 2, -1)
        return torch.addcmul(x_BTN2E * self.cosine_T11E[here], swapped, self.sine_T11E[here])
