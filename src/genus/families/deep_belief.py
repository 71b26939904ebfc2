"""Directed layers below a bipartite machine: bounds, samples and the losses of each layer."""

# Shapes: B batch, k samples of each example, H hidden units of a layer, U uniform numbers.
from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genus.capabilities import Completion
from genus.errors import SpecError
from genus.families.annealing import Annealed
from genus.families.base import Model, check_temperature
from genus.families.bipartite import Group, Machine, State
from genus.families.divergence import Bipartite, Turned
from genus.families.energy import in_blocks
from genus.families.wake_sleep import Untied, log_bernoulli
from genus.random import ExampleNoise, Noise
from genus.spec import Batch

AT_ONCE = 16
"""Samples of each example, or sweeps of a chain, whose noise is drawn together."""


class DeepBelief(Annealed, Model):
    """A stack of machines of which all but the top one are read downwards.

    Attributes:
        layers: the machines, lowest first; a subclass makes them.
        sweeps: Gibbs sweeps of the training chains for each update.
        sample_sweeps: Gibbs sweeps of the top machine from a training chain to a sample.
        untied: what the ways up and down through each lower machine add to it; empty where they are
            the machine's own.
        fine_tuning: share of the training, its last part, in which lower machines learn by
            wake-sleep.
        wake_samples: k, hidden states drawn for each example awake; more than one are weighted.
        progress: share of the training that is over, which the loop tells; outside of a training
            None, and all machines learn by their own divergence.
    """

    family = "energy"
    layers: nn.ModuleList
    sweeps: int = 1
    sample_sweeps: int = 200
    untied: nn.ModuleList
    fine_tuning: float = 0.0
    wake_samples: int = 1
    progress: float | None = None

    def _layer(self, index: int) -> Bipartite:
        layer = self.layers[index]
        assert isinstance(layer, Bipartite)
        return layer

    @property
    def top(self) -> Bipartite:
        """The machine at the top."""
        return self._layer(-1)

    def directed(self) -> list[tuple[Machine, Group]]:
        """Return the machines below the top one, lowest first, with their visible layers."""
        machines = [self._layer(index).machine() for index in range(len(self.layers) - 1)]
        groups = [machine.groups[0] for machine in machines]
        if self.fine_tuning:
            groups = [self._ways(index).down(group) for index, group in enumerate(groups)]
        return list(zip(machines, groups, strict=True))

    def _ways(self, index: int) -> Untied:
        ways = self.untied[index]
        assert isinstance(ways, Untied)
        return ways

    def hidden_units(self) -> int:
        """Return the number of units between the data and the top machine."""
        return sum(len(machine.bias_H) for machine, _ in self.directed())

    def anneal(self, progress: float) -> None:
        """Take note of the share of the training that is over, by which stages begin."""
        self.progress = progress

    def _waits(self, index: int) -> bool:
        """Return whether a machine still is the lower one turned over, which learns first."""
        if self.progress is None or not isinstance(self._layer(index), Turned):
            return False
        return self.progress < index / len(self.layers)

    def _fine_tuned(self, index: int) -> bool:
        """Return whether a machine learns by wake-sleep by now; the top one does if weighted."""
        if self.progress is None or (index == len(self.layers) - 1 and self.wake_samples == 1):
            return False
        return self.progress > 1 - self.fine_tuning

    def rise(self, index: int, below_BG: Tensor) -> Tensor:
        """Return ``(B, H)``, the inputs of the hidden units of a lower machine on the way up."""
        machine = self._layer(index).machine()
        if self.fine_tuning:
            return self._ways(index).up(machine, below_BG)
        return machine.hidden_input((machine.groups[0].as_state(below_BG),))

    def up(self, x: Tensor, u_BU: Tensor, depth: int | None = None) -> list[tuple[Tensor, Tensor]]:
        """Return the states of the lower hidden layers drawn upwards, and their log q ``(B,)``.

        Args:
            x: ``(B, *shape)``.
            u_BU: uniform noise, a number for each hidden unit.
            depth: how many layers; all below the top machine's hidden one when left out.
        """
        found, place = [], 0
        below = x.flatten(1)
        for index in range(len(self.layers) - 1 if depth is None else depth):
            input_BH = self.rise(index, below)
            u_BH = u_BU[:, place : place + input_BH.shape[1]]
            place += input_BH.shape[1]
            below = (u_BH < input_BH.sigmoid()).to(input_BH.dtype)
            found.append((below, log_bernoulli(input_BH, below)))
        return found

    def down(self, h_BH: Tensor, noise: Noise, beta: float = 1.0) -> Tensor:
        """Return examples drawn downwards from the top machine's visible units."""
        for _, group in reversed(self.directed()):
            h_BH = group.draw(beta * group.logits(h_BH), noise.uniform(group.entries))
        return h_BH.long().view(-1, *self.spec.shape)

    @torch.no_grad()
    def free_energy_bound(
        self,
        x: Tensor,
        k: int,
        y: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return ``(B,)`` nats that in expectation lie above -log p(x) - log Z, falling with k.

        Args:
            x: ``(B, *shape)``.
            k: samples of the hidden layers for each example.
            y: ``(B,)`` labels, for log p(x, y).
            generator: source of the noise.

        Raises:
            SpecError: the inputs do not fit the Spec, or k is below 1.
        """
        self.check_inputs(x, y)
        if k < 1:
            raise SpecError(f"k={k} must be at least 1: it counts samples")
        noise, parts = self.noise(len(x), generator), []
        for start in range(0, k, AT_ONCE):
            many = min(AT_ONCE, k - start)
            u_BU = noise.uniform(many, self.hidden_units()).flatten(0, 1)
            xs = x.repeat_interleave(many, 0)
            ys = None if y is None else y.repeat_interleave(many)
            parts.append(self._log_weight(xs, ys, self.up(xs, u_BU)).view(len(x), many))
        return math.log(k) - torch.cat(parts, 1).logsumexp(1)

    def _log_weight(
        self, x: Tensor, y: Tensor | None, states: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Return ``(B,)``, log of p(x, h, y) Z / q(h | x) for hidden states drawn upwards."""
        below, total_B = x.flatten(1), torch.zeros(len(x), device=x.device, dtype=self.dtype)
        for (_, group), (h_BH, log_q_B) in zip(self.directed(), states, strict=True):
            total_B = total_B + group.log_prob(group.logits(h_BH), group.as_state(below)) - log_q_B
            below = h_BH
        if y is not None or self.spec.classes is None:
            return total_B - self._top_energy(below, y)
        labels = torch.arange(self.spec.classes, device=x.device)
        each = [-self._top_energy(below, label.expand(len(x))) for label in labels]
        return total_B + torch.stack(each, 1).logsumexp(1)

    def _top_energy(self, h_BH: Tensor, y: Tensor | None) -> Tensor:
        machine = self.top.machine()
        return machine.free_energy(machine.as_state(self._top_state(h_BH, y)))

    @staticmethod
    def _top_state(h_BH: Tensor, y: Tensor | None) -> State:
        return (h_BH,) if y is None else (h_BH, y[:, None])

    @property
    def machinery(self) -> Bipartite:
        """The machine whose log Z the likelihood lacks."""
        return self.top

    def filters(self) -> Tensor:
        """Return ``(H, *shape)``, what a level of an entry adds to a unit of the lowest layer."""
        return self._layer(0).machine().groups[0].slopes().view(-1, *self.spec.shape)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, H)``, the top layer's rates when rates instead of states go upwards.

        With classes the label's unit counts with its rates in the model at large.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        below = x.flatten(1)
        for index in range(len(self.layers) - 1):
            below = self.rise(index, below).sigmoid()
        machine = self.top.machine()
        total_BH = machine.bias_H + below @ machine.groups[0].weight_NH
        for group in machine.groups[1:]:
            rate_1N = group.rates(group.bias_N[None])
            total_BH = total_BH + rate_1N @ group.weight_NH
        return total_BH.sigmoid()

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)``, drawn downwards from the ends of chains in the top machine.

        Args:
            n: how many.
            y: ``(n,)`` labels, held fixed; left out, they are drawn along.
            generator: source of the noise.
            temperature: divides the energy of the top machine and the inputs of all units.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        y = None if y is None else self.spec.check_labels(y, n).to(self.device)
        noise = self.noise(n, generator)
        chosen = (noise.uniform() * len(self.top.chains[0])).long()

        def run(rows: Tensor, own: ExampleNoise) -> Batch:
            state = self._top_chain(chosen[rows], None if y is None else y[rows], own, temperature)
            return Batch(self.down(state, own, 1 / temperature))

        nothing = torch.zeros(0, *self.spec.shape, dtype=torch.long, device=self.device)
        return in_blocks(run, noise, Batch(nothing)).x

    def _top_chain(
        self, chosen: Tensor, y: Tensor | None, noise: ExampleNoise, temperature: float
    ) -> Tensor:
        """Return the top machine's visible units after chains that hold the labels, if given."""
        state = tuple(chains_CG[chosen] for chains_CG in self.top.chains)
        known: State | None = None
        if y is not None:
            state = (state[0], y[:, None])
            known = (torch.zeros_like(state[0]).bool(), torch.ones_like(state[1]).bool())
        machine, sweeps = self.top.machine(), self.sample_sweeps
        beta = 1 / temperature
        return machine.chain(state, noise, sweeps, beta=beta, known=known, at_once=AT_ONCE)[0]

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Completion:
        """Draw the entries where ``known`` is False by going up and down with the others held.

        The way up is an approximation to the posterior, and so is what comes of it.

        Args:
            x: ``(B, *shape)``; entries that are not known are not looked at.
            known: masks of the shape of x, or of one that expands to it.
            y: ``(B,)`` labels that are known as well.
            generator: source of the noise.
            temperature: divides the inputs of all units on the way down.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        known = known.expand_as(x)
        x = x.masked_fill(~known, 0)
        self.check_inputs(x, y)
        noise = self.noise(len(x), generator)
        guess = (noise.uniform(*self.spec.shape) * self.spec.levels_or_raise).long()
        begin, sweeps = torch.where(known, x, guess.to(x.dtype)), self.sample_sweeps

        def run(rows: Tensor, own: ExampleNoise) -> Batch:
            now, label = begin[rows], None if y is None else y[rows]
            for _ in range(sweeps):
                drawn = self._around(now, label, own, 1 / temperature)
                now = torch.where(known[rows], now, drawn.to(now.dtype))
            return Batch(now)

        done = in_blocks(run, noise, Batch(x)).x
        method = f"pseudo-Gibbs sampling, {sweeps} times up and down with the known entries held"
        return Completion(done, False, method, y=y)

    def _around(self, x: Tensor, y: Tensor | None, noise: ExampleNoise, beta: float) -> Tensor:
        """Return examples drawn by going up, once around the top machine, and down."""
        h_BH = self.up(x, noise.uniform(self.hidden_units()))[-1][0]
        machine, classes = self.top.machine(), self.spec.classes
        state: State = (h_BH,)
        if classes is not None:
            drawn = (noise.uniform() * classes).long() if y is None else y
            state = (h_BH, drawn[:, None])
        return self.down(machine.chain(state, noise, 2, beta=beta)[0], noise, beta)

    def loss(self, index: int, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return one machine's divergence per visible entry: its gradient counts.

        In fine-tuning a lower machine has the loss of wake-sleep; one that waits has loss 0.

        Raises:
            SpecError: the batch does not fit the Spec, or lacks labels.
        """
        self.check_inputs(batch.x, batch.y)
        self.require((batch.y is None) == (self.spec.classes is None), "labels", self.spec)
        layer, below = self._layer(index), batch.x.flatten(1)
        if self._waits(index):
            assert isinstance(layer, Turned)
            layer.follow(noise)
            return {"loss": 0 * layer.bias_H.sum()}
        if self._fine_tuned(index):
            return self._wake_sleep_loss(index, batch, noise)
        with torch.no_grad():
            if index:
                u_BU = noise.uniform(self.hidden_units())
                below = self.up(batch.x, u_BU, index)[-1][0]
            state = self._top_state(below, batch.y if layer is self.top else None)
            end = layer.negatives(state, noise, "pcd", self.sweeps)
        data, model = layer.divergence(state, end)
        return {"loss": (data - model) / below.shape[1], "energy": data.detach()}

    def _wake_sleep_loss(self, index: int, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return what a machine learns from weighted states of data, and from dreams or chains.

        It is per visible entry. For a lower machine it is -log p(below | h) of data, and
        -log q(h | below) of dreams and, where there are weights, of data; for the top one its
        divergence.
        """
        awake, states, weight_R = self._awake(batch, noise)
        below = states[index - 1] if index else awake.x.flatten(1)
        if index == len(self.layers) - 1:
            state = self._top_state(below, awake.y)
            end = self.top.negatives(state, noise, "pcd", self.sweeps)
            data, model = self.top.divergence(state, end, weight_R)
            return {"loss": (data - model) / below.shape[1], "energy": data.detach()}
        h_RH, (dreamt_h, dreamt_below) = states[index], self._dream(index, noise)
        group = self.directed()[index][1]
        told = {
            "wake": -(weight_R * group.log_prob(group.logits(h_RH), group.as_state(below))),
            "sleep": -log_bernoulli(self.rise(index, dreamt_below), dreamt_h) / len(dreamt_h),
        }
        if self.wake_samples > 1:
            told["rise"] = -(weight_R * log_bernoulli(self.rise(index, below), h_RH))
        parts = {name: each.sum() for name, each in told.items()}
        loss = torch.stack(list(parts.values())).sum() / below.shape[1]
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    @torch.no_grad()
    def _awake(self, batch: Batch, noise: Noise) -> tuple[Batch, list[Tensor], Tensor]:
        """Return examples, each k times, hidden states drawn upwards, and weights that sum to 1.

        The weights of an example's states are as p(x, h) / q(h | x), so that together they stand
        for the posterior.
        """
        k = self.wake_samples
        x, y = batch.x.repeat_interleave(k, 0), batch.y
        awake = Batch(x, None if y is None else y.repeat_interleave(k))
        with torch.autocast(self.device.type, enabled=False):  # Weights need their digits.
            states = self.up(awake.x, noise.uniform(k, self.hidden_units()).flatten(0, 1))
            log_weight_BK = states[0][1].new_zeros(len(batch.x), k)
            if k > 1:
                log_weight_BK = self._log_weight(awake.x, awake.y, states).view(-1, k)
        weight_R = log_weight_BK.softmax(1).flatten() / len(batch.x)
        return awake, [h_RH for h_RH, _ in states], weight_R

    @torch.no_grad()
    def _dream(self, index: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return hidden and visible states of a lower machine, drawn downwards from the chains."""
        chains = self.top.chains[0]
        h_BH = chains[(noise.uniform() * len(chains)).long()].to(self.dtype)
        layers = self.directed()
        for _, group in reversed(layers[index + 1 :]):
            h_BH = group.draw(group.logits(h_BH), noise.uniform(group.entries))
        group = layers[index][1]
        return h_BH, group.draw(group.logits(h_BH), noise.uniform(group.entries))
