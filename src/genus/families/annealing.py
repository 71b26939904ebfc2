r"""The log of a partition function by annealed importance sampling, from below and from above.

A path of laws leads from independent entries to the machine,

.. math:: p_\beta(v) \propto
    e^{((1 - \beta) b_0 + \beta b)^\top v} \prod_j \big(1 + e^{\beta (c + v^\top W)_j}\big)

Runs that follow it forwards give weights whose mean is Z, so that the log of their mean is below
log Z in expectation. Runs that follow it backwards, from states of the machine, give weights whose
mean is 1 / Z, and minus the log of theirs is above it.

References:
    | Annealed Importance Sampling (Neal, 2001) https://arxiv.org/abs/physics/9803008
    | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008)
    | Sandwiching the marginal likelihood using bidirectional Monte Carlo (Grosse et al., 2015)
    | https://arxiv.org/abs/1511.02543
    | Efficient Estimation of Free Energy Differences from Monte Carlo Data (Bennett, 1976)
"""

# Shapes: C chains, S beginnings, G entries of a group, N visible units of a group, H hidden
# units, U uniform numbers of one sweep.
from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.capabilities import LogPartition
from genus.errors import ConfigError
from genus.families.bipartite import Machine, State
from genus.families.divergence import Bipartite
from genus.random import BatchNoise, Noise

ERRORS = 3.0
"""Each end of the interval lies so many standard errors beyond its estimate."""
MOST_STATES = 2**20
"""Machines of which one layer has at most so many states are summed exactly."""
LEAST_SWEEPS = 100
"""Gibbs sweeps before the backward runs, however few their steps."""
PILOT = 64
"""Steps of the short runs that decide where on the path the steps are needed."""


@dataclass(frozen=True)
class _Path:
    """The laws between independent entries and a machine.

    Args:
        machine: at its end.
        base: the visible biases ``(N,)`` of each group at its beginning.
    """

    machine: Machine
    base: tuple[Tensor, ...]

    def log_z_base(self) -> Tensor:
        """Return the log partition function at the beginning."""
        pairs = zip(self.machine.groups, self.base, strict=True)
        visible = [group.log_normaliser(base_N[None]) for group, base_N in pairs]
        return torch.stack(visible).sum() + len(self.machine.bias_H) * math.log(2)

    def draw_base(self, noise: Noise) -> State:
        """Return independent entries."""
        pairs = zip(self.machine.groups, self.base, strict=True)
        return tuple(g.draw(base_N[None], noise.uniform(g.entries)) for g, base_N in pairs)

    def parts(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the law of a state depends on at any beta.

        Returns:
            the state's biases at both ends, ``(C,)`` each, and the input of the hidden units
            ``(C, H)``.
        """
        rows = zip(self.machine.groups, self.base, state, strict=True)
        first = torch.stack([group.on(base_N, x_CG) for group, base_N, x_CG in rows]).sum(0)
        return first, self.machine.on_bias(state), self.machine.hidden_input(state)

    def log_law(self, parts: tuple[Tensor, Tensor, Tensor], beta: float) -> Tensor:
        """Return ``(C,)``, the unnormalised log-probability at beta."""
        first, last, input_CH = parts
        return (1 - beta) * first + beta * last + F.softplus(beta * input_CH).sum(1)

    def move(self, input_CH: Tensor, noise: Noise, beta: float) -> State:
        """Return states after one sweep of Gibbs sampling at beta, from their hidden input."""
        machine = self.machine
        u_CU, H = noise.uniform(machine.numbers), input_CH.shape[1]
        h_CH = (u_CU[:, :H] < (beta * input_CH).sigmoid()).to(input_CH.dtype)
        place, drawn = H, []
        for group, base_N in zip(machine.groups, self.base, strict=True):
            logits_CN = beta * group.logits(h_CH) + (1 - beta) * base_N
            drawn.append(group.draw(logits_CN, u_CU[:, place : place + group.entries]))
            place += group.entries
        return tuple(drawn)

    def run(self, state: State, betas: list[float], noise: Noise) -> tuple[Tensor, State]:
        """Follow the path, forwards or backwards as ``betas`` go, from one end to the other.

        Returns:
            ``(C,)`` log-weights in the forward sense, and where the runs end.
        """
        parts = self.parts(state)
        log_weight = torch.zeros_like(parts[0])
        forwards = betas[-1] > betas[0]
        for last, beta in itertools.pairwise(betas):
            change = self.log_law(parts, beta) - self.log_law(parts, last)
            log_weight += change if forwards else -change
            if beta != betas[-1]:
                state = self.move(parts[2], noise, beta)
                parts = self.parts(state)
        return log_weight, state

    def schedule(self, noise: Noise, steps: int) -> tuple[list[float], float]:
        """Return betas from 0 to 1, dense where the log-weights spread most, and the path's length.

        Steps of equal spread are best for a path (Gelman and Meng, 1998). Short runs measure the
        spread of the derivative of `log_law` along it; the length is its integral.
        """
        grid = torch.linspace(0, 1, PILOT + 1, dtype=torch.float64)
        state, spread = self.draw_base(noise), []
        for beta in grid.tolist():
            first, last, input_CH = self.parts(state)
            slope_C = last - first + (input_CH * (beta * input_CH).sigmoid()).sum(1)
            spread.append(float(slope_C.std(correction=0)))
            state = self.move(input_CH, noise, beta)
        density = torch.tensor(spread, dtype=torch.float64)
        density = density + 0.1 * density.mean() + 1e-12
        share = torch.cat((grid[:1], ((density[1:] + density[:-1]) / 2).cumsum(0)))
        wanted = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[1:-1] * share[-1]
        above = torch.searchsorted(share, wanted).clamp(1, PILOT)
        part = (wanted - share[above - 1]) / (share[above] - share[above - 1])
        inner: list[float] = (grid[above - 1] + part / PILOT).tolist()
        return [0.0, *inner, 1.0], float(share[-1])


@torch.no_grad()
def log_partition(
    machine: Machine,
    starts: State,
    *,
    chains: int = 100,
    steps: int = 1000,
    generator: torch.Generator | None = None,
    exact: bool | None = None,
) -> LogPartition:
    """Return log Z of a machine, as an interval; all arithmetic is float64.

    Args:
        machine: the machine.
        starts: ``(S, G)`` for each group. Gibbs chains of ``steps`` sweeps, 100 at least, lead from
            them to where the backward runs begin; the upper side holds as far as they reach the
            machine's law.
        chains: runs in each direction.
        steps: temperatures of each run.
        generator: source of the noise.
        exact: sum over all states; None does so where the smaller layer has at most 2 ** 20.

    Raises:
        ConfigError: fewer than two chains, or no steps.

    Example:
        >>> from genus.families.divergence import Bipartite
        >>> block = Bipartite([(6, 2)], hidden=4, chains=8)
        >>> found = log_partition(block.machine(), block.chains)
        >>> found.exact, round(found.estimate, 1)  # weights of nearly zero: 10 log 2
        (True, 6.9)
    """
    if chains < 2 or steps < 1:
        raise ConfigError(f"chains={chains} must be at least 2 and steps={steps} at least 1")
    machine = machine.cast(torch.float64)
    possible = machine.log_states <= math.log(MOST_STATES) + 1e-9
    if exact or (exact is None and possible):
        return LogPartition.known(float(machine.log_partition()))
    noise = BatchNoise(chains, generator, device=machine.bias_H.device, dtype=torch.float64)
    rows = torch.arange(chains) % len(starts[0])
    begin = machine.as_state(tuple(x_SG[rows.to(x_SG.device)] for x_SG in starts))
    end = machine.chain(begin, noise, max(steps, LEAST_SWEEPS))
    path, begin, betas = _shortest(machine, begin, end, noise, steps)
    forward_C = path.run(path.draw_base(noise), betas, noise)[0] + path.log_z_base()
    backward_C = path.run(begin, betas[::-1], noise)[0] + path.log_z_base()
    return combine(forward_C, backward_C, steps)


def _shortest(
    machine: Machine, begin: State, end: State, noise: Noise, steps: int
) -> tuple[_Path, State, list[float]]:
    """Return a path to the machine, states of the machine on it, and betas.

    Where the layers can change places there are two paths, of which either may be far shorter.

    Args:
        machine: the machine.
        begin: states by whose frequencies a path begins.
        end: states of the machine, which no path was chosen by.
        noise: with a row for each.
        steps: the number of betas less one.
    """
    sides = [(machine, begin, end)]
    if machine.can_be_turned:
        first_CH, last_CH = noise.uniform(2, len(machine.bias_H)).unbind(1)
        states = machine.draw_hidden(begin, first_CH), machine.draw_hidden(end, last_CH)
        sides.append((machine.turned(), states[:1], states[1:]))
    found: list[tuple[float, _Path, State, list[float]]] = []
    for side, first, last in sides:
        path = _Path(side, _base(side, first))
        betas, length = path.schedule(noise, steps)
        found.append((length, path, last, betas))
    return min(found, key=lambda each: each[0])[1:]


def _base(machine: Machine, state: State) -> tuple[Tensor, ...]:
    """Return biases under which single entries are as frequent as in the machine's states.

    Given the visible states, the hidden units' probabilities give smoother rates than counts.
    """
    h_CH = machine.hidden_input(state).sigmoid()
    found = []
    for group in machine.groups:
        rate_N = group.rates(group.logits(h_CH)).mean(0)
        least = 0.5 / (len(h_CH) + 1)
        rate_N = rate_N + least * (1 / group.values - rate_N)
        found.append(group.bias_for(rate_N))
    return tuple(found)


def combine(forward_C: Tensor, backward_C: Tensor, steps: int) -> LogPartition:
    """Return the interval and the estimate that two sets of log-weights give.

    The ends are the logs of the mean weight of the forward runs and of the inverse mean inverse
    weight of the backward runs, each moved outwards by three standard errors. The estimate between
    them is Bennett's, which uses both sets.

    Args:
        forward_C: log-weights, each an estimate of log Z, of forward runs.
        backward_C: the same of backward runs.
        steps: temperatures, for the record.
    """
    below, below_error, below_worth = _log_mean(forward_C)
    above, above_error, above_worth = _log_mean(-backward_C)
    estimate, error = _bennett(forward_C, backward_C)
    ends = (below - ERRORS * below_error, -above + ERRORS * above_error, estimate)
    return LogPartition(
        lower=min(ends),
        upper=max(ends),
        estimate=estimate,
        standard_error=error,
        effective=min(below_worth, above_worth),
        chains=len(forward_C),
        steps=steps,
        exact=False,
    )


def _log_mean(log_weight: Tensor) -> tuple[float, float, float]:
    """Return the log of the mean weight, its standard error, and how many weights it is worth."""
    weight = (log_weight - log_weight.max()).exp()
    error = weight.std(correction=1) / weight.mean() / len(weight) ** 0.5
    worth = weight.sum().square() / weight.square().sum()
    log_mean = log_weight.logsumexp(0) - math.log(len(weight))
    return float(log_mean), float(error), float(worth)


def _bennett(forward_C: Tensor, backward_C: Tensor) -> tuple[float, float]:
    r"""Return the root of :math:`\sum_i \sigma(a_i - z) = \sum_j \sigma(z - b_j)` and its error."""
    low = float(torch.minimum(forward_C.min(), backward_C.min())) - 1
    high = float(torch.maximum(forward_C.max(), backward_C.max())) + 1
    for _ in range(80):
        z = (low + high) / 2
        surplus = (forward_C - z).sigmoid().sum() - (z - backward_C).sigmoid().sum()
        low, high = (z, high) if surplus > 0 else (low, z)
    shares = ((forward_C - z).sigmoid(), (z - backward_C).sigmoid())
    spread = [float(s.square().mean() / s.mean().square()) - 1 for s in shares]
    return z, math.sqrt(max(sum(spread), 0.0) / len(forward_C))


class Annealed:
    """Gives a model the log Z of the machine that its likelihood is known up to."""

    @property
    def machinery(self) -> Bipartite:
        """The machine."""
        raise NotImplementedError(f"{type(self).__name__} must say whose log Z it is")

    def log_partition(
        self,
        *,
        chains: int = 100,
        steps: int = 1000,
        generator: torch.Generator | None = None,
        exact: bool | None = None,
    ) -> LogPartition:
        """Return log Z: exact for few units, else by annealed importance sampling, two-sided.

        The upper end holds as far as chains of ``steps`` sweeps, begun where the training chains
        are, reach the machine's law.

        Args:
            chains: runs in each direction.
            steps: temperatures of each run.
            generator: source of the noise.
            exact: sum over all states of the smaller layer, or do not; None decides by their
                number.

        Raises:
            ConfigError: fewer than two chains, or no steps.
        """
        return log_partition(
            self.machinery.machine(),
            self.machinery.chains,
            chains=chains,
            steps=steps,
            generator=generator,
            exact=exact,
        )
