r"""Models known up to a constant: :math:`p(x) = e^{-F(x)} / Z`.

A subclass writes the free energy and Gibbs chains. It gets sampling, completion, classification
and training by contrastive divergence, in which the chains stand in for the gradient of log Z.
"""

# Shapes: B batch, n samples, Y classes.
from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genus.capabilities import Completion, LogPartition, Objective
from genus.errors import SpecError
from genus.families.base import Model, check_temperature
from genus.random import ExampleNoise, Noise
from genus.spec import Batch

BLOCK = 32
"""Chains that run together. The block is fixed because a product's last bits depend on the number
of rows, and a sample must not depend on how many are drawn with it."""
MOST_EXAMPLES = 2**16
"""Spaces of at most so many examples are summed to give log Z where a model has no better way."""


def in_blocks(
    run: Callable[[Tensor, ExampleNoise], Batch], noise: ExampleNoise, nothing: Batch
) -> Batch:
    """Return what ``run`` gives for all rows, asked for a fixed number of them at a time.

    Args:
        run: from the indices of rows and their noise to as many examples; the last block repeats
            the last row.
        noise: of all rows.
        nothing: returned where there are no rows.
    """
    parts = []
    for start in range(0, noise.n, BLOCK):
        rows = [min(start + i, noise.n - 1) for i in range(BLOCK)]
        index = torch.tensor(rows, device=nothing.x.device)
        parts.append(run(index, noise.take(rows))[: noise.n - start])
    if not parts:
        return nothing
    labels = [part.y for part in parts if part.y is not None]
    return Batch(torch.cat([part.x for part in parts]), torch.cat(labels) if labels else None)


class EnergyModel(Model):
    r"""A Boltzmann machine in the wide sense.

    .. math:: \nabla \log p(x) = -\nabla F(x) + E_{x' \sim p}[\nabla F(x')]

    The expectation is taken over the ends of short chains begun at the data (CD-k). With classes
    the model is one of (x, y) together: there is one constant, p(y | x) follows exactly from the
    free energies, and without labels they are summed out.

    References:
        | Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
        | https://doi.org/10.1162/089976602760128018

    Attributes:
        sweeps: Gibbs sweeps of each training chain, the k of CD-k.
        sample_sweeps: Gibbs sweeps of each sample.
        learning_rate: default step size.
        batch_size: default of the examples of one update.
    """

    family = "energy"
    sweeps: int = 1
    sample_sweeps: int = 1000
    learning_rate: float = 1e-3
    batch_size: int = 64

    def energy(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the free energy in nats, ``(B,)``, differentiably; with classes y is given."""
        raise NotImplementedError(f"{type(self).__name__} must write energy()")

    def chain(
        self,
        state: Batch,
        noise: Noise,
        sweeps: int,
        *,
        temperature: float = 1.0,
        known: Batch | None = None,
    ) -> Batch:
        """Return where Gibbs chains are after some sweeps, which leave the model's law as it is.

        Args:
            state: where they begin, with labels where there are classes.
            noise: with a row for each chain.
            sweeps: how many.
            temperature: divides the energy.
            known: masks, of x and of y, of what stays as it is.
        """
        raise NotImplementedError(f"{type(self).__name__} must write chain()")

    def class_energies(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, the free energy of x with every label."""
        labels = range(self.spec.classes or 0)
        return torch.stack([self.energy(x, self._all(label, x)) for label in labels], 1)

    @staticmethod
    def _all(label: int, x: Tensor) -> Tensor:
        return torch.full((len(x),), label, device=x.device)

    def free_energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the free energy in nats, ``(B,)``.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels. Minus the free energy less log Z is log p(x, y) with them, and
                log p(x) without.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        if y is None and self.spec.classes is not None:
            return -(-self.class_energies(x)).logsumexp(1)
        return self.energy(x, y)

    def class_log_prob(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, log p(y | x), exactly: the constant cancels.

        Raises:
            SpecError: the model has no classes.
        """
        self.require(self.spec.classes is not None, "classes", self.spec)
        self.check_inputs(x, None)
        return (-self.class_energies(x)).log_softmax(1)

    def log_partition(
        self,
        *,
        chains: int = 100,
        steps: int = 1000,
        generator: torch.Generator | None = None,
        exact: bool | None = None,
    ) -> LogPartition:
        """Return log Z by summing over all examples, where they are few.

        Args:
            chains: not needed by a sum.
            steps: not needed by a sum.
            generator: not needed by a sum.
            exact: a sum is all that there is here.

        Raises:
            SpecError: there are too many examples, or they are real numbers, or no sum is wanted.
        """
        from itertools import product

        levels, dims = self.spec.levels, self.spec.dims
        few = levels is not None and dims * math.log(levels) <= math.log(MOST_EXAMPLES)
        if levels is None or not few or exact is False:
            raise SpecError(
                f"{self.name} has log Z only as a sum over all examples, at most {MOST_EXAMPLES}, "
                f"and the data are {self.spec}; write log_partition()"
            )
        x = torch.tensor(list(product(range(levels), repeat=dims)), device=self.device)
        with torch.no_grad():
            energy = self.free_energy(x.view(-1, *self.spec.shape))
        return LogPartition.known(float((-energy.double()).logsumexp(0)))

    @torch.no_grad()
    def gibbs(
        self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return x after one sweep of Gibbs sampling, which leaves p(x), or p(x | y), as it is.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels that stay. Left out, labels are first drawn from p(y | x).
            generator: source of the noise.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        noise = self.noise(len(x), generator)
        known = None if y is None else self._holding(y=y, x=None, n=len(x))
        if y is None and self.spec.classes is not None:
            cdf_BY = self.class_log_prob(x).exp().cumsum(1)
            y = (noise.uniform(1) >= cdf_BY).sum(1).clamp(max=self.spec.classes - 1)
        return self.chain(Batch(x, y), noise, 1, known=known).x

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return the ends of ``n`` Gibbs chains of `sample_sweeps` sweeps, ``(n, *shape)``.

        The draws are from p(x), or p(x | y), only in the limit of long chains; see `start`.

        Args:
            n: how many.
            y: ``(n,)`` labels, held fixed; left out, they are drawn along with x.
            generator: source of the noise.
            temperature: divides the energy.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        y = None if y is None else self.spec.check_labels(y, n).to(self.device)
        noise = self.noise(n, generator)
        begin = self.start(noise, y)
        known = None if y is None else self._holding(y=y, x=None, n=n)
        return self._settled(begin, noise, temperature, known).x

    def start(self, noise: Noise, y: Tensor | None) -> Batch:
        """Return where sampling chains begin, each from its own noise: entries at random."""
        if self.spec.levels is None:
            x = noise.normal(*self.spec.shape)
        else:
            x = (noise.uniform(*self.spec.shape) * self.spec.levels).long()
        if y is None and self.spec.classes is not None:
            y = (noise.uniform() * self.spec.classes).long()
        return Batch(x, y)

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
        """Draw the entries where ``known`` is False by chains that hold the others.

        They come from the model's conditional law in the limit of long chains.

        Args:
            x: ``(B, *shape)``; entries that are not known are not looked at.
            known: masks of the shape of x, or of one that expands to it.
            y: ``(B,)`` labels that are known as well; left out, they are drawn along.
            generator: source of the noise.
            temperature: divides the energy.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        known = known.expand_as(x)
        x = x.masked_fill(~known, 0)
        self.check_inputs(x, y)
        noise = self.noise(len(x), generator)
        begin = self.start(noise, y)
        begin = Batch(torch.where(known, x, begin.x.to(x.dtype)), begin.y)
        held = self._holding(y=y, x=known, n=len(x))
        done = self._settled(begin, noise, temperature, held)
        method = f"Gibbs sampling, {self.sample_sweeps} sweeps with the known entries held"
        return Completion(done.x.to(x.dtype), False, method, y=done.y)

    def _holding(self, *, x: Tensor | None, y: Tensor | None, n: int) -> Batch:
        """Return masks of what is known, for `chain`."""
        if x is None:
            x = torch.zeros(n, *self.spec.shape, dtype=torch.bool, device=self.device)
        if self.spec.classes is None:
            return Batch(x)
        return Batch(x, torch.full((n,), y is not None, device=self.device))

    def _settled(
        self, begin: Batch, noise: ExampleNoise, temperature: float, known: Batch | None
    ) -> Batch:
        """Return where sampling chains end."""

        def run(rows: Tensor, own: ExampleNoise) -> Batch:
            held = None if known is None else known[rows]
            return self.chain(
                begin[rows], own, self.sample_sweeps, temperature=temperature, known=held
            )

        return in_blocks(run, noise, begin)

    def negatives(self, batch: Batch, noise: Noise) -> Batch:
        """Return where the training chains end."""
        return self.chain(batch, noise, self.sweeps)

    def divergence(self, batch: Batch, end: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean free energies of examples and of the ends of chains, as scalars."""
        return self.energy(batch.x, batch.y).mean(), self.energy(end.x, end.y).mean()

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the contrastive divergence per dimension: its gradient counts, not its value.

        Raises:
            SpecError: the batch does not fit the Spec, or lacks labels.
        """
        self.check_inputs(batch.x, batch.y)
        self.require((batch.y is None) == (self.spec.classes is None), "labels", self.spec)
        with torch.no_grad():
            end = self.negatives(batch, noise)
        data, model = self.divergence(batch, end)
        return {"loss": (data - model) / self.spec.dims, "energy": data.detach()}

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: contrastive divergence on all parameters."""
        return (
            Objective(
                "energy",
                list(self.parameters()),
                self.loss,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
            ),
        )
