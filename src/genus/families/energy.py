r"""Models known up to a constant: :math:`p(x) = e^{-F(x)} / Z`.

A subclass writes the free energy and one sweep of Gibbs sampling. It gets sampling by chains and
training by contrastive divergence, in which the sweeps stand in for the gradient of log Z.
"""

# Shapes: B batch.
from __future__ import annotations

import torch
from torch import Tensor

from genus.capabilities import Objective
from genus.families.base import Model, check_temperature
from genus.random import ExampleNoise, Noise
from genus.spec import Batch, Spec


class EnergyModel(Model):
    r"""A Boltzmann machine in the wide sense.

    .. math:: \nabla \log p(x) = -\nabla F(x) + E_{x' \sim p}[\nabla F(x')]

    The expectation is taken over the ends of short chains begun at the data (CD-k). The model has
    no classes: a class-conditional one needs a constant for each class, which is not known.

    References:
        | Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
        | https://doi.org/10.1162/089976602760128018

    Attributes:
        sweeps: Gibbs sweeps of each training chain, the k of CD-k.
        chain: Gibbs sweeps of each sample.
        learning_rate: default step size.
    """

    family = "energy"
    sweeps: int = 1
    chain: int = 1000
    learning_rate: float = 1e-3

    def energy(self, x: Tensor) -> Tensor:
        """Return the free energy in nats, ``(B,)``, differentiably in the parameters."""
        raise NotImplementedError(f"{type(self).__name__} must write energy()")

    def sweep(self, x: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return x after every entry has been drawn anew, leaving p(x) ** (1 / temperature)."""
        raise NotImplementedError(f"{type(self).__name__} must write sweep()")

    def free_energy(self, x: Tensor) -> Tensor:
        """Return the free energy in nats, ``(B,)``; log p(x) is its negative less log Z.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        return self.energy(x)

    @torch.no_grad()
    def gibbs(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return x after one sweep of Gibbs sampling, which leaves p(x) as it is.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        return self.sweep(x, self._noise(len(x), generator))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return the ends of ``n`` Gibbs chains of `chain` sweeps, ``(n, *shape)``.

        The chains begin at noise, so the draws are from p(x) only in the limit of long chains.

        Args:
            n: how many.
            y: not used by this family.
            generator: source of the noise.
            temperature: divides the energy.

        Raises:
            SpecError: labels, which an unconditional model does not take.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = self._noise(n, generator)
        self.labels_for(n, y, torch.zeros(n, device=self.device))
        x = self.start(noise)
        for _ in range(self.chain):
            x = self.sweep(x, noise, temperature)
        return x

    def start(self, noise: Noise) -> Tensor:
        """Return where sampling chains begin: levels evenly at random, or standard normals."""
        if self.spec.levels is None:
            return noise.normal(*self.spec.shape)
        return (noise.uniform(*self.spec.shape) * self.spec.levels).long()

    def _noise(self, n: int, generator: torch.Generator | None) -> ExampleNoise:
        return ExampleNoise(n, generator, device=self.device, dtype=self.dtype)

    def negatives(self, batch: Batch, noise: Noise) -> Tensor:
        """Return where the training chains end; persistent chains override this."""
        x = batch.x
        for _ in range(self.sweeps):
            x = self.sweep(x, noise)
        return x

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the contrastive divergence, whose gradient is followed and not its value."""
        self.check_inputs(batch.x, None)
        with torch.no_grad():
            end = self.negatives(batch, noise)
        data, model = self.energy(batch.x).mean(), self.energy(end).mean()
        return {"loss": data - model, "energy": data.detach()}

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: contrastive divergence on all parameters."""
        rate = self.learning_rate
        return (Objective("energy", list(self.parameters()), self.loss, learning_rate=rate),)

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` where the Spec has classes."""
        cls.require(spec.classes is None, "data without classes (spec.unconditional())", spec)
