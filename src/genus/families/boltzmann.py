"""Energy models that are one bipartite machine: everything but the choice of its units."""

# Shapes: B batch, G entries of a group, C chains, H hidden units, Y classes.
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.families.annealing import Annealed
from genus.families.bipartite import State
from genus.families.divergence import Bipartite
from genus.families.energy import EnergyModel
from genus.random import ExampleNoise, Noise, categorical_icdf
from genus.spec import Batch


class Boltzmann(Annealed, EnergyModel):
    """A machine whose visible units are an example's entries and, with classes, its label.

    Attributes:
        units: the machine; a subclass makes it.
        method: training chains persist ("pcd") or begin at the data ("cd").
    """

    units: Bipartite
    method: Literal["pcd", "cd"] = "pcd"

    def state_of(self, batch: Batch) -> State:
        """Return visible states, or masks of them."""
        x_BG = batch.x.flatten(1)
        return (x_BG,) if batch.y is None else (x_BG, batch.y[:, None])

    def batch_of(self, state: State) -> Batch:
        """Return examples, and labels where there are classes."""
        x = state[0].long().view(-1, *self.spec.shape)
        return Batch(x, state[1].long().squeeze(1) if len(state) > 1 else None)

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Take the visible biases from a first batch, and begin the training chains at it."""
        self.units.initialise(self.state_of(batch))

    def energy(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the free energy ``(B,)``."""
        machine = self.units.machine()
        return machine.free_energy(machine.as_state(self.state_of(Batch(x, y))))

    def class_energies(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``; the entries' part of the hidden input is computed once."""
        images, labels, input_BH, label_YH = self._parts(x)
        each_BY = F.softplus(input_BH[:, None] + label_YH).sum(2)
        return -(images[:, None] + labels) - each_BY

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the biases of x ``(B,)`` and of labels ``(Y,)``, and what both add to H units."""
        machine = self.units.machine()
        entries, labels = machine.groups
        x_BG = entries.as_state(x.flatten(1))
        y_Y1 = labels.as_state(torch.arange(len(self.log_prior_Y), device=x.device)[:, None])
        input_BH = machine.bias_H + entries.to_hidden(x_BG)
        sums = entries.on(entries.bias_N, x_BG), labels.on(labels.bias_N, y_Y1)
        return *sums, input_BH, labels.to_hidden(y_Y1)

    def filters(self) -> Tensor:
        """Return ``(H, *shape)``, what one more level of an entry adds to a hidden unit's input."""
        return self.units.machine().groups[0].slopes().view(-1, *self.spec.shape)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, H)``, the probability that each hidden unit is on.

        With classes it is the mean over the label's posterior.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        if self.spec.classes is None:
            machine = self.units.machine()
            return machine.hidden_input(machine.as_state((x.flatten(1),))).sigmoid()
        _, _, input_BH, label_YH = self._parts(x)
        posterior_BY = self.class_log_prob(x).exp()
        return torch.einsum("by,byh->bh", posterior_BY, (input_BH[:, None] + label_YH).sigmoid())

    def chain(
        self,
        state: Batch,
        noise: Noise,
        sweeps: int,
        *,
        temperature: float = 1.0,
        known: Batch | None = None,
    ) -> Batch:
        """Return where Gibbs chains are; temperature acts on the law of all units together."""
        end = self.units.machine().chain(
            self.state_of(state),
            noise,
            sweeps,
            beta=1 / temperature,
            known=None if known is None else self.state_of(known),
            at_once=16 if isinstance(noise, ExampleNoise) else 1,
        )
        return self.batch_of(end)

    def start(self, noise: Noise, y: Tensor | None) -> Batch:
        """Return one of the training chains for each sample, with its label where that is given."""
        chains = self.batch_of(self.units.chains)
        u_B = noise.uniform()
        if y is None:
            return chains[(u_B * len(chains)).long()]
        assert chains.y is not None
        same_BC = y[:, None] == chains.y
        same_BC = same_BC | ~same_BC.any(1, keepdim=True)
        index_B = categorical_icdf(same_BC.to(self.dtype).log(), u_B)
        return Batch(chains.x[index_B], y)

    def negatives(self, batch: Batch, noise: Noise) -> Batch:
        """Return where the training chains end, which in training mode are remembered."""
        state = self.state_of(batch)
        return self.batch_of(self.units.negatives(state, noise, self.method, self.sweeps))

    def divergence(self, batch: Batch, end: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean free energies of examples and of the ends of chains, as scalars."""
        return self.units.divergence(self.state_of(batch), self.state_of(end))

    @property
    def machinery(self) -> Bipartite:
        """The machine whose log Z the likelihood lacks."""
        return self.units
