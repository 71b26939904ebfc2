r"""Two layers of units without weights inside either: what restricted Boltzmann machines are.

.. math:: E(v, h) = -b^\top v - c^\top h - v^\top W h, \qquad p(v, h) = e^{-E(v, h)} / Z

The visible layer has one or more groups: the entries of an example, and its label as one more.
`Machine` is the mathematics for given weights, in any precision. `genus.families.divergence` owns
the weights that are trained.
"""

# Shapes: B batch, S all states of a layer, G entries of a group, K values of an entry, N visible
# units of a group, H hidden units, U uniform numbers of one sweep.
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.random import Noise

State = tuple[Tensor, ...]
"""Visible states, a tensor ``(B, G)`` of values ``0 .. K - 1`` for each group."""


@dataclass(frozen=True)
class Group:
    """Entries of K values each, with the weights of their units.

    Two values are one unit, on or off; more are K units of which one is on.

    Args:
        values: K.
        weight_NH: ``(N, H)``; N is G for two values and G * K for more.
        bias_N: ``(N,)``.
    """

    values: int
    weight_NH: Tensor
    bias_N: Tensor

    @property
    def binary(self) -> bool:
        """Whether an entry is one unit."""
        return self.values == 2

    @property
    def entries(self) -> int:
        """G."""
        return len(self.bias_N) if self.binary else len(self.bias_N) // self.values

    def as_state(self, x_BG: Tensor) -> Tensor:
        """Return values in the type that products want: numbers for two values, else indices."""
        return x_BG.to(self.weight_NH.dtype) if self.binary else x_BG.long()

    def _units(self, x_BG: Tensor) -> Tensor:
        """Return which unit of each entry is on."""
        return x_BG + torch.arange(x_BG.shape[1], device=x_BG.device) * self.values

    def to_hidden(self, x_BG: Tensor) -> Tensor:
        """Return ``(B, H)``, the sum of the weights of the units that are on."""
        if self.binary:
            return x_BG @ self.weight_NH
        return F.embedding_bag(self._units(x_BG), self.weight_NH, mode="sum")

    def slopes(self) -> Tensor:
        """Return ``(H, G)``, what one more level of an entry adds to the input of a hidden unit.

        Of more than two values it is the slope of the straight line that fits their weights best.
        """
        if self.binary:
            return self.weight_NH.T
        weight_GKH = self.weight_NH.view(-1, self.values, self.weight_NH.shape[1])
        level_K = torch.arange(self.values).to(weight_GKH) - (self.values - 1) / 2
        return torch.einsum("gkh,k->hg", weight_GKH, level_K) / level_K.square().sum()

    def on(self, bias_N: Tensor, x_BG: Tensor) -> Tensor:
        """Return ``(B,)``, the sum of the biases of the units that are on."""
        return x_BG @ bias_N if self.binary else bias_N[self._units(x_BG)].sum(1)

    def logits(self, h_BH: Tensor) -> Tensor:
        """Return ``(B, N)``, the input of every unit."""
        return torch.addmm(self.bias_N, h_BH, self.weight_NH.T)

    def log_prob(self, logits_BN: Tensor, x_BG: Tensor) -> Tensor:
        """Return ``(B,)``, the log-probability of values whose units have these inputs."""
        if self.binary:
            on = (x_BG * logits_BN).sum(1)
        else:
            on = logits_BN.gather(1, self._units(x_BG)).sum(1)
        return on - self.log_normaliser(logits_BN)

    def _by_entry(self, logits_BN: Tensor) -> Tensor:
        """Return ``(B, G, K)``, the inputs of softmax units by entry."""
        return logits_BN.view(len(logits_BN), self.entries, self.values)

    def log_normaliser(self, logits_BN: Tensor) -> Tensor:
        """Return ``(B,)``, the log of the sum of exponents over all values of all entries."""
        if self.binary:
            return F.softplus(logits_BN).sum(1)
        return self._by_entry(logits_BN).logsumexp(2).sum(1)

    def draw(self, logits_BN: Tensor, u_BG: Tensor) -> Tensor:
        """Return values drawn by inverse transform of uniform noise, as `as_state` has them."""
        if self.binary:
            return (u_BG < logits_BN.to(u_BG).sigmoid()).to(self.weight_NH.dtype)
        law_BGK = self._by_entry(logits_BN).to(u_BG).softmax(2)
        cdf_BGK = law_BGK.cumsum(2).expand(len(u_BG), -1, -1).contiguous()
        # Scaled by the last, so that rounding of the sum takes nothing from the last value.
        at_BG1 = u_BG.unsqueeze(2) * cdf_BGK[..., -1:]
        index_BG: Tensor = torch.searchsorted(cdf_BGK, at_BG1, right=True).squeeze(2)
        return index_BG.clamp(max=self.values - 1)

    def rates(self, logits_BN: Tensor) -> Tensor:
        """Return ``(B, N)``, the probability that each unit is on."""
        if self.binary:
            return logits_BN.sigmoid()
        return self._by_entry(logits_BN).softmax(2).flatten(1)

    def frequencies(self, x_BG: Tensor) -> Tensor:
        """Return ``(N,)``, how often each unit is on, one evenly spread example added."""
        if self.binary:
            return (x_BG.double().sum(0) + 0.5) / (len(x_BG) + 1)
        counts_N = torch.bincount(self._units(x_BG).flatten(), minlength=len(self.bias_N))
        return (counts_N.double() + 1 / self.values) / (len(x_BG) + 1)

    def bias_for(self, rate_N: Tensor) -> Tensor:
        """Return the biases under which units without input are on at these rates."""
        return rate_N.logit() if self.binary else rate_N.log()


@dataclass(frozen=True)
class Machine:
    """A restricted Boltzmann machine with given weights.

    Args:
        groups: the visible layer.
        bias_H: of the hidden units.
    """

    groups: tuple[Group, ...]
    bias_H: Tensor

    @property
    def numbers(self) -> int:
        """U, the uniform numbers that a sweep needs for each row."""
        return len(self.bias_H) + sum(group.entries for group in self.groups)

    def cast(self, dtype: torch.dtype) -> Machine:
        """Return the machine in another precision, cut off from gradients."""
        groups = (
            replace(g, weight_NH=g.weight_NH.detach().to(dtype), bias_N=g.bias_N.detach().to(dtype))
            for g in self.groups
        )
        return Machine(tuple(groups), self.bias_H.detach().to(dtype))

    @property
    def can_be_turned(self) -> bool:
        """Whether the visible layer is of single units too: the layers can change places."""
        return len(self.groups) == 1 and self.groups[0].binary

    def turned(self) -> Machine:
        """Return the same machine with its hidden layer as the visible one; see `can_be_turned`."""
        (group,) = self.groups
        return Machine((Group(2, group.weight_NH.T, self.bias_H),), group.bias_N)

    def draw_hidden(self, state: State, u_BH: Tensor) -> Tensor:
        """Return states ``(B, H)`` of the hidden units given visible states and uniform noise."""
        return (u_BH < self.hidden_input(state).sigmoid()).to(self.bias_H.dtype)

    def as_state(self, state: State) -> State:
        """Return visible states in the type that products want."""
        return tuple(g.as_state(x_BG) for g, x_BG in zip(self.groups, state, strict=True))

    def hidden_input(self, state: State) -> Tensor:
        """Return ``(B, H)``, the input of the hidden units."""
        total_BH = self.bias_H
        for group, x_BG in zip(self.groups, state, strict=True):
            total_BH = total_BH + group.to_hidden(x_BG)
        return total_BH

    def on_bias(self, state: State) -> Tensor:
        """Return ``(B,)``, the sum of the visible biases of the units that are on."""
        parts = (g.on(g.bias_N, x_BG) for g, x_BG in zip(self.groups, state, strict=True))
        return torch.stack(list(parts)).sum(0)

    def free_energy(self, state: State) -> Tensor:
        r"""Return ``(B,)``, :math:`-b^\top v - \sum_j \log(1 + e^{c_j + (v^\top W)_j})`."""
        return -self.on_bias(state) - F.softplus(self.hidden_input(state)).sum(1)

    def hidden_free_energy(self, h_BH: Tensor) -> Tensor:
        """Return ``(B,)``, the free energy of hidden states with the visible units summed out."""
        parts = [group.log_normaliser(group.logits(h_BH)) for group in self.groups]
        return -(h_BH @ self.bias_H) - torch.stack(parts).sum(0)

    def sweep(
        self, state: State, u_BU: Tensor, beta: float = 1.0, known: State | None = None
    ) -> State:
        """Return visible states after all hidden units and then all visible ones are drawn anew.

        Args:
            state: as `as_state` has it.
            u_BU: uniform noise, `numbers` columns.
            beta: factor on the energy, the inverse of a temperature.
            known: masks of the entries that stay as they are.
        """
        H = len(self.bias_H)
        on = u_BU[:, :H] < (beta * self.hidden_input(state).to(u_BU)).sigmoid()
        h_BH, place, drawn = on.to(self.bias_H.dtype), H, []
        for index, group in enumerate(self.groups):
            u_BG = u_BU[:, place : place + group.entries]
            place += group.entries
            x_BG = group.draw(beta * group.logits(h_BH), u_BG)
            drawn.append(x_BG if known is None else torch.where(known[index], state[index], x_BG))
        return tuple(drawn)

    def chain(
        self,
        state: State,
        noise: Noise,
        sweeps: int,
        *,
        beta: float = 1.0,
        known: State | None = None,
        at_once: int = 1,
    ) -> State:
        """Return where Gibbs chains are after some sweeps.

        Args:
            state: where they begin.
            noise: with a row for each chain.
            sweeps: how many.
            beta: factor on the energy.
            known: masks of the entries that stay.
            at_once: sweeps whose noise is drawn together; streams of single examples are dear to
                open.
        """
        state = self.as_state(state)
        for start in range(0, sweeps, at_once):
            many = min(at_once, sweeps - start)
            u_BSU = noise.uniform(many, self.numbers)
            for index in range(many):
                state = self.sweep(state, u_BSU[:, index], beta, known)
        return state

    def log_partition(self, rows: int = 2**12) -> Tensor:
        """Return log Z, a scalar, by summing over all states of the smaller layer."""
        hidden, states = len(self.bias_H), self.visible_states
        if hidden * math.log(2) <= states:
            total, units, values = 2**hidden, hidden, [2] * hidden
        else:
            values = [g.values for g in self.groups for _ in range(g.entries)]
            total, units = math.prod(values), len(values)
        place = torch.tensor([math.prod(values[i + 1 :]) for i in range(units)])
        base, parts = torch.tensor(values), []
        for start in range(0, total, rows):
            index_S = torch.arange(start, min(start + rows, total))
            state_SU = (index_S[:, None] // place % base).to(self.bias_H.device)
            parts.append(-self._free_energy_of(state_SU, hidden * math.log(2) <= states))
        return torch.cat(parts).logsumexp(0)

    def _free_energy_of(self, state_SU: Tensor, hidden: bool) -> Tensor:
        """Return the free energy of listed states of one of the layers."""
        if hidden:
            return self.hidden_free_energy(state_SU.to(self.bias_H.dtype))
        parts = torch.split(state_SU, [group.entries for group in self.groups], 1)
        return self.free_energy(self.as_state(parts))

    @property
    def visible_states(self) -> float:
        """The log of the number of visible states."""
        return sum(group.entries * math.log(group.values) for group in self.groups)

    @property
    def log_states(self) -> float:
        """The log of the number of states of the smaller layer, which is what summing costs."""
        return min(len(self.bias_H) * math.log(2), self.visible_states)
