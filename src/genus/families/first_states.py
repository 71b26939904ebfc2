"""Guesses at the states of sequences, from which Baum-Welch may begin."""

# Shapes: B sequences, T steps, N = B * T, D entries of a step, S states, K components, L levels.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.families.mixture import kmeans


def states_by_time(length_B: Tensor, steps: int, states: int) -> Tensor:
    """Return shares ``(N, S)`` of a chain that moves on evenly from the first state to the last.

    Example:
        >>> states_by_time(torch.tensor([4]), 4, 2).argmax(1)
        tensor([0, 0, 1, 1])
    """
    place_T = torch.arange(steps, device=length_B.device)
    state_BT = (place_T * states // length_B.unsqueeze(1)).clamp(max=states - 1)
    return F.one_hot(state_BT.flatten(), states).double()


def states_by_symbol(
    x_N: Tensor, levels: int, states: int, generator: torch.Generator | None
) -> Tensor:
    """Return shares ``(N, S)`` that depend on the level alone, at random.

    Levels of a single entry may be symbols, which no distance orders. A hard choice would never
    be left again, as a state would believe that it cannot emit the others.
    """
    draws_LS = -torch.rand(levels, states, generator=generator).double().clamp(min=1e-12).log()
    shares_LS = draws_LS / draws_LS.sum(1, keepdim=True)
    return shares_LS[x_N]


def states_by_cluster(points_ND: Tensor, states: int, generator: torch.Generator | None) -> Tensor:
    """Return shares ``(N, S)`` from clusters of the steps."""
    return F.one_hot(kmeans(points_ND, states, generator), states).double()


def split_states(
    points_ND: Tensor, state_NS: Tensor, components: int, generator: torch.Generator | None
) -> Tensor:
    """Return shares ``(N, S, K)``: the steps of each state in clusters."""
    shares_NSK = torch.zeros(*state_NS.shape, components, dtype=torch.float64)
    state_N = state_NS.argmax(1)
    for state in range(state_NS.shape[1]):
        rows = (state_N == state).nonzero().squeeze(1)
        if len(rows):
            part_N = kmeans(points_ND[rows], components, generator)
            shares_NSK[rows, :, part_N] = state_NS[rows]
    return shares_NSK


def count_steps(path_BT: Tensor, length_B: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """Return how often each state comes first ``(S,)``, and each pair in turn ``(S, S)``.

    Example:
        >>> count_steps(torch.tensor([[0, 1, 1, 0]]), torch.tensor([3]), 2)[1]
        tensor([[0., 1.],
                [0., 1.]], dtype=torch.float64)
    """
    first_S = torch.bincount(path_BT[:, 0], minlength=states).double()
    inside_BT = torch.arange(1, path_BT.shape[1]) < length_B.unsqueeze(1)
    pairs = (path_BT[:, :-1] * states + path_BT[:, 1:])[inside_BT]
    return first_S, torch.bincount(pairs, minlength=states**2).double().view(states, states)


def jittered(counts: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return counts with random ones added, so that no two states behave alike."""
    noise = -torch.rand(counts.shape, generator=generator).double().clamp(min=1e-12).log()
    return counts + (1 + 0.1 * counts.mean(-1, keepdim=True)) * noise
