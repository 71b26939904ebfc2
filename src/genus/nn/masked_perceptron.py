r"""A perceptron with masks, over all entries at once or one entry after another.

.. math:: h^l = \max\big(0,\, b^l + (W^l \odot M^l)\, h^{l-1}\big), \qquad
    o = (V \odot M^V)\, h^L + (A \odot M^A)\, x

A hidden unit of degree m sees entries up to position m and units of degree m or less; the outputs
of the entry at position t see what has a position or a degree below t.

References:
    | MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015)
    | https://arxiv.org/abs/1502.03509
"""

# Shapes: B batch, n samples, D entries, E numbers of an entry, N = D * E, H hidden units,
# L hidden layers, P outputs of an entry, Y classes (1 where unconditional).
from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.nn.masked import LayerSteps, MaskedLinear


def degrees(
    dims: int, hidden: int, layers: int, generator: torch.Generator | None = None
) -> Tensor:
    """Return degrees of hidden units ``(L, H)``, as many of each as can be; shuffled, or in order.

    Example:
        >>> degrees(4, 5, 1)
        tensor([[0, 0, 1, 1, 2]])
    """
    even_H = torch.arange(hidden) * max(dims - 1, 1) // hidden
    if generator is None:
        return even_H.repeat(layers, 1)
    return torch.stack([even_H[torch.randperm(hidden, generator=generator)] for _ in range(layers)])


class MaskedPerceptron(nn.Module):
    """Hidden layers of units with degrees; it must be connected before use.

    Args:
        entries: D, E and P.
        units: L, at least one, and H.
        direct: whether entries are also connected with the outputs.
        classes: labels that the hidden units' biases depend on, or None.
        dropout: share of hidden units dropped in training.
    """

    def __init__(
        self,
        entries: tuple[int, int, int],
        units: tuple[int, int],
        *,
        direct: bool,
        classes: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        (dims, features, width), (layers, hidden) = entries, units
        first = MaskedLinear(dims, hidden, features=features)
        others = (MaskedLinear(hidden, hidden) for _ in range(layers - 1))
        self.hidden = nn.ModuleList([first, *others])
        self.last = MaskedLinear(hidden, dims, width=width)
        self.direct = MaskedLinear(dims, dims, features=features, width=width) if direct else None
        self.bias_LYH = nn.Parameter(torch.zeros(layers, classes or 1, hidden))
        self.dropout = dropout

    @property
    def layers(self) -> list[MaskedLinear]:
        """The hidden layers."""
        return cast(list[MaskedLinear], list(self.hidden))

    def connect(self, position_D: Tensor, degree_LH: Tensor) -> None:
        """Set the positions of the entries and the degrees of the hidden units."""
        times = [position_D, *degree_LH]
        for layer, since, until in zip(self.layers, times[:-1], times[1:], strict=True):
            layer.connect(since, until)
        self.last.connect(times[-1], position_D - 1)
        if self.direct is not None:
            self.direct.connect(position_D, position_D - 1)

    def reset(self, *, forget: bool) -> None:
        """Draw first weights; direct connections start at zero.

        Args:
            forget: make weights zero that are masked now, and will always be.
        """
        for layer in self.layers:
            layer.reset(2.0)
        self.last.reset(0.01)
        for layer in (*self.layers, self.last) if forget else ():
            layer.forget()

    def units(self, x_BN: Tensor, y_B: Tensor | None) -> Tensor:
        """Return the last hidden layer ``(B, H)``; without a label all classes count evenly."""
        for layer, bias_YH in zip(self.layers, self.bias_LYH, strict=True):
            bias = bias_YH.mean(0) if y_B is None else bias_YH[y_B]
            x_BN = F.dropout(F.relu(layer(x_BN) + bias), self.dropout, self.training)
        return x_BN

    def forward(self, x_BN: Tensor, y_B: Tensor | None) -> Tensor:
        """Return ``(B, D * P)`` from the entries."""
        out_BN: Tensor = self.last(self.units(x_BN, y_B))
        return out_BN if self.direct is None else out_BN + self.direct(x_BN)


class PerceptronSteps:
    """The same network one entry at a time: every hidden unit is computed once, and kept.

    Args:
        net: a connected network in evaluation mode; it must not change meanwhile.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, net: MaskedPerceptron, n: int, y: Tensor | None) -> None:
        D, _, H, _ = net.last.weight.shape
        self.hidden = [LayerSteps(layer, D) for layer in net.layers]
        self.last = LayerSteps(net.last, D)
        self.direct = None if net.direct is None else LayerSteps(net.direct, D)
        self.biases = [
            bias_YH[:, steps.sorted_O] if y is None else bias_YH[:, steps.sorted_O][y]
            for bias_YH, steps in zip(net.bias_LYH.detach(), self.hidden, strict=True)
        ]
        self.labelled = y is not None
        self.entries_BN = self.biases[0].new_zeros(n, net.layers[0].weight[0, 0].numel())
        self.units = [self.biases[0].new_zeros(n, H) for _ in self.hidden]

    def outputs(self, position: int) -> Tensor:
        """Return ``(n, P)`` of the entry at a position, when all before it have been taken in."""
        out_BP = self.last(self.units[-1], position - 1)
        if self.direct is not None:
            out_BP = out_BP + self.direct(self.entries_BN, position - 1)
        return out_BP

    def take(self, e_BE: Tensor, position: int) -> None:
        """Take in the entry at a position, and compute the units of that degree."""
        known = self.hidden[0].known(position)
        self.entries_BN[:, known - e_BE.shape[1] : known] = e_BE
        below_BN = self.entries_BN
        for steps, bias_BH, units_BH in zip(self.hidden, self.biases, self.units, strict=True):
            due = steps.due(position)
            if due.start < due.stop:
                units_BH[:, due] = F.relu(steps(below_BN, position) + bias_BH[:, due])
            below_BN = units_BH

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch."""
        self.entries_BN = self.entries_BN[index_B]
        self.units = [units_BH[index_B] for units_BH in self.units]
        if self.labelled:
            self.biases = [bias_BH[index_B] for bias_BH in self.biases]
