"""Contrastive divergence: the weights of a bipartite machine, and the chains that follow them."""

# Shapes: B batch, G entries of a group, N visible units of a group, H hidden units, C chains.
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.families.bipartite import Group, Machine, State
from genus.random import BatchNoise, Noise


class Bipartite(nn.Module):
    r"""A restricted Boltzmann machine that is trained, with the chains that follow it.

    .. math:: \nabla \log p(v) = -\nabla F(v) + E_{v' \sim p}[\nabla F(v')]

    Contrastive divergence ("cd") takes the expectation over the ends of short chains begun at the
    data; the persistent kind ("pcd") goes on with the same chains from update to update, which
    costs the same and follows the model itself where the weights move slowly.

    With centring, W acts on visible units less their mean in the data and on hidden units less one
    half. It is another set of coordinates for the same machines, in which the steps of weights and
    of biases disturb each other less.

    References:
        | Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
        | Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        | (Tieleman, 2008)
        | How to Center Deep Boltzmann Machines (Melchior et al., 2016) https://arxiv.org/abs/1311.1354

    Args:
        groups: entries and values, a pair for each group of visible units.
        hidden: H.
        chains: C.
        centred: whether the weights are centred.
        spread: standard deviation of the first weights.

    Example:
        >>> machine = Bipartite([(3, 2)], hidden=2, chains=4)
        >>> machine.machine().free_energy((torch.ones(5, 3),)).shape
        torch.Size([5])
    """

    bias_H: nn.Parameter

    def __init__(
        self,
        groups: Sequence[tuple[int, int]],
        hidden: int,
        chains: int,
        *,
        centred: bool = True,
        spread: float = 0.01,
    ) -> None:
        super().__init__()
        self.values, self.centred = [values for _, values in groups], centred
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for index, (entries, values) in enumerate(groups):
            units = entries if values == 2 else entries * values
            self.weights.append(nn.Parameter(torch.randn(units, hidden) * spread))
            self.biases.append(nn.Parameter(torch.zeros(units)))
            self.register_buffer(f"mean_{index}", torch.full((units,), 1 / values))
            self.register_buffer(f"chains_{index}", torch.randint(values, (chains, entries)))
        self.bias_H = nn.Parameter(torch.zeros(hidden))

    def _buffers_called(self, name: str) -> list[Tensor]:
        return [self.get_buffer(f"{name}_{index}") for index in range(len(self.values))]

    @property
    def chains(self) -> State:
        """Where the chains are, ``(C, G)`` for each group."""
        return tuple(self._buffers_called("chains"))

    def machine(self) -> Machine:
        """Return the machine that the weights stand for; gradients pass."""
        groups, bias_H = [], self.bias_H
        means = self._buffers_called("mean")
        for values, w, b, mean_N in zip(self.values, self.weights, self.biases, means, strict=True):
            if self.centred:
                b, bias_H = b - 0.5 * w.sum(1), bias_H - mean_N @ w
            groups.append(Group(values, w, b))
        return Machine(tuple(groups), bias_H)

    @torch.no_grad()
    def initialise(self, state: State) -> None:
        """Take means and biases from the frequencies of examples, and begin the chains at them."""
        stored = zip(self.machine().groups, state, self.biases, strict=True)
        for index, (group, x_BG, bias_N) in enumerate(stored):
            rate_N = group.frequencies(x_BG)
            self.get_buffer(f"mean_{index}").copy_(rate_N)
            chains_CG = self.get_buffer(f"chains_{index}")
            chains_CG.copy_(x_BG[torch.arange(len(chains_CG)) % len(x_BG)])
            shift_N = 0.5 * self.weights[index].sum(1) if self.centred else 0
            bias_N.copy_(group.bias_for(rate_N) + shift_N)

    @torch.no_grad()
    def negatives(
        self, state: State, noise: Noise, method: Literal["pcd", "cd"], sweeps: int
    ) -> State:
        """Return where the chains end; in training mode they are remembered.

        The number of persistent chains is not that of the examples, so that a short batch changes
        nothing; their noise comes from a generator that one example's noise seeds.
        """
        machine = self.machine().cast(self._chain_dtype())
        if method == "cd":
            end = machine.chain(state, noise, sweeps)
        else:
            end = machine.chain(self.chains, self._chain_noise(noise), sweeps)
        if self.training:
            for chains_CG, end_BG in zip(self.chains, end, strict=True):
                rows = min(len(chains_CG), len(end_BG))
                chains_CG[:rows].copy_(end_BG[:rows])
        return end

    def _chain_noise(self, noise: Noise) -> BatchNoise:
        """Return noise for as many rows as there are chains, seeded by that of a batch."""
        high, low = (noise.uniform(2)[0] * 2**16).long().tolist()
        own = torch.Generator().manual_seed(high * 2**16 + low)
        return BatchNoise(len(self.chains[0]), own, device=self.bias_H.device)

    def _chain_dtype(self) -> torch.dtype:
        """Return bfloat16 where training runs in it: states are whole, weights need few digits."""
        kind = self.bias_H.device.type
        return torch.bfloat16 if torch.is_autocast_enabled(kind) else self.bias_H.dtype

    def divergence(
        self, state: State, end: State, weight_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean free energies, of examples and of the ends of chains, each a scalar.

        Args:
            state: examples.
            end: where chains are.
            weight_B: weights of the examples, which sum to 1; the same for all when left out.
        """
        with torch.autocast(self.bias_H.device.type, enabled=False):
            machine, rows = self.machine(), len(state[0])
            sides = zip(machine.as_state(state), machine.as_state(end), strict=True)
            both = tuple(torch.cat(pair) for pair in sides)
            energy_B = machine.free_energy(both)
        data_B, model_B = energy_B[:rows], energy_B[rows:]
        mean = data_B.mean() if weight_B is None else weight_B @ data_B
        return mean, model_B.mean()


class Turned(Bipartite):
    """A machine on top of another that begins as that one turned over, and learns the difference.

    The hidden units of the lower machine are its visible ones, and as many of its own hidden units
    as the lower one has visible ones stand for those. Where it has learned nothing the law of its
    visible units is that of the lower machine's hidden ones, so that a stack of the two is as
    likely as the lower machine alone, and what it learns can only be gained (Hinton, Osindero and
    Teh, 2006). It keeps this start while the lower one moves.

    Args:
        lower: a machine with one visible layer of two values, of at most as many entries as
            ``hidden``.
        groups: entries and values, as of any machine, of which the first are the hidden units of
            the lower one.
        hidden: H.
        chains: C.
        centred: whether the weights are centred.
        spread: standard deviation of the first weights of hidden units that stand for nothing.

    Example:
        >>> lower = Bipartite([(3, 2)], hidden=2, chains=4, centred=False)
        >>> upper = Turned(lower, [(2, 2)], hidden=5, chains=4, spread=1e-9)
        >>> upper.machine().groups[0].weight_NH.shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        lower: Bipartite,
        groups: Sequence[tuple[int, int]],
        hidden: int,
        chains: int,
        *,
        centred: bool = True,
        spread: float = 0.01,
    ) -> None:
        super().__init__(groups, hidden, chains, centred=centred, spread=spread)
        with torch.no_grad():
            self.weights[0][:, : len(lower.biases[0])] = 0
        self._lower = (lower,)  # A tuple, so that its weights are not counted as this one's too.

    @torch.no_grad()
    def follow(self, noise: Noise) -> None:
        """Put the chains where those of the lower machine are; in training mode only."""
        if self.training:
            lower = self._lower[0].machine()
            u_CH = self._chain_noise(noise).uniform(len(lower.bias_H))
            h_CH = lower.draw_hidden(lower.as_state(self._lower[0].chains), u_CH)
            self.chains[0].copy_(h_CH)

    def machine(self) -> Machine:
        """Return the machine that both sets of weights stand for; gradients pass to its own."""
        own, start = super().machine(), self._lower[0].machine().turned()
        first, under = own.groups[0], start.groups[0]
        new = (0, len(own.bias_H) - len(start.bias_H))
        weight_NH = first.weight_NH + F.pad(under.weight_NH.detach(), new)
        group = Group(2, weight_NH, first.bias_N + under.bias_N.detach())
        bias_H = own.bias_H + F.pad(start.bias_H.detach(), new)
        return Machine((group, *own.groups[1:]), bias_H)
