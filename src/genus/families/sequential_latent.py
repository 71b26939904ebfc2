r"""Latents in groups, each chosen given those before it, on one way that generates the example.

.. math:: p(x, z) = p(x \mid z) \prod_g p(z_g \mid z_{<g}), \qquad
    q(z \mid x) = \prod_g q(z_g \mid z_{<g}, x)

Posterior and prior are walked on the same way, so that whatever one costs the other shares.
"""

# Shapes: B batch, k draws for each example, N = B * k rows, e latents of a group, E of all groups,
# G groups.
from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from genus.distributions import DiagonalGaussian
from genus.distributions.ordered import ExampleLaw
from genus.families.bound_loss import Inference
from genus.families.latent import LatentVariable, each
from genus.random import Noise

Choose = Callable[[int, Any, DiagonalGaussian], Tensor]
"""From a group, where the way is, and the prior ``(N, e)`` of the group to its latents."""


class Observed(Protocol):
    """Examples as the posterior looks at them on one way."""

    def posterior(self, group: int, state: Any, prior: DiagonalGaussian) -> DiagonalGaussian:
        """Return the posterior ``(N, e)`` of a group; called once for each, in order."""
        ...


class SequentialLatent(LatentVariable):
    """A model writes `walk` and `observe`; bounds, prior and posterior are here.

    Attributes:
        splits: latents of each group, in the order of the way.
    """

    splits: Sequence[int]

    @abc.abstractmethod
    def walk(self, rows: int, y: Tensor | None, choose: Choose) -> ExampleLaw:
        """Return the law of ``rows`` examples, with the latents of each group chosen on the way.

        Latents must not depend on the labels ``y``, only the example may.
        """

    @abc.abstractmethod
    def observe(self, x: Tensor, y: Tensor | None) -> Callable[[int], Observed]:
        """Return what gives a way its examples ``(B, *shape)``, each so many times in turn."""

    @property
    def latent_size(self) -> int:
        """E, the latents of all groups."""
        return sum(self.splits)

    def unlabelled(self, rows: int) -> Tensor | None:
        """Return labels for a way on which only the latents matter."""
        if self.spec.classes is None:
            return None
        return torch.zeros(rows, dtype=torch.long, device=self.device)

    def infer(self, x: Tensor, y: Tensor | None, eps_BkE: Tensor) -> Inference:
        """Return latents drawn on one way, and their terms of a bound, group by group."""
        B, k, _ = eps_BkE.shape
        observed, log_p, log_q, kl, centre = self.observe(x, y)(k), [], [], [], []
        eps_Ne = torch.split(eps_BkE.flatten(0, 1), list(self.splits), 1)

        def choose(group: int, state: Any, p: DiagonalGaussian) -> Tensor:
            q = observed.posterior(group, state, p)
            z_Ne, log_q_N = _drawn(q, eps_Ne[group])
            log_p.append(p.log_prob(z_Ne))
            log_q.append(log_q_N)
            kl.append(q.kl(p))
            centre.append(q.mean)
            return z_Ne

        law = self.walk(B * k, each(y, k), choose)
        groups, latents = len(self.splits), self.latent_size
        log_p_BkG, log_q_BkG, kl_BkG = (
            torch.stack(part, -1).view(B, k, groups) for part in (log_p, log_q, kl)
        )
        centre_BE = torch.cat(centre, 1).view(B, k, latents)[:, 0]
        return Inference(law, log_p_BkG, log_q_BkG, kl_BkG, centre_BE)

    def encode(self, x: Tensor, y: Tensor | None = None) -> WalkedPosterior:
        """Return the posterior q(z | x) over ``(B, E)``.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        return WalkedPosterior(self, x, y)

    def decode(self, z: Tensor, y: Tensor | None = None) -> ExampleLaw:
        """Return the law p(x | z) over ``(B, *shape)``."""
        parts = torch.split(z, list(self.splits), 1)
        return self.walk(len(z), y, lambda group, state, prior: parts[group])

    def prior(self) -> WalkedPrior:
        """Return the law of all latents together, ``(..., E)``; it is the same for all classes."""
        return WalkedPrior(self)


def _drawn(law: DiagonalGaussian, eps_Ne: Tensor) -> tuple[Tensor, Tensor]:
    """Return one draw of each row and its log density."""
    z_N1e, log_prob_N1 = law.from_noise(eps_Ne.unsqueeze(1))
    return z_N1e.squeeze(1), log_prob_N1.squeeze(1)


@dataclass(frozen=True, eq=False)
class WalkedPosterior:
    """The posterior of all groups, each given those before it.

    Args:
        model: whose way is walked.
        x: examples ``(B, *shape)``.
        y: their labels, or None.
    """

    model: SequentialLatent
    x: Tensor
    y: Tensor | None

    @property
    def centre(self) -> Tensor:
        """The latents when every group takes its mean, ``(B, E)``."""
        size = (len(self.x), 1, self.model.latent_size)
        eps_B1E = torch.zeros(size, dtype=self.model.dtype, device=self.x.device)
        return self.from_noise(eps_B1E)[0].squeeze(1)

    def from_noise(self, eps_BkZ: Tensor) -> tuple[Tensor, Tensor]:
        """Return draws ``(B, k, E)`` and their log densities ``(B, k)``."""
        B, k, _ = eps_BkZ.shape
        eps_Ne = torch.split(eps_BkZ.flatten(0, 1), list(self.model.splits), 1)
        z, log_q_N = self._walk(k, lambda group, q: _drawn(q, eps_Ne[group]))
        return z.view(B, k, self.model.latent_size), log_q_N.view(B, k)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density ``(B,)`` of one vector ``(B, E)`` for each example."""
        parts = torch.split(z, list(self.model.splits), 1)
        return self._walk(1, lambda group, q: (parts[group], q.log_prob(parts[group])))[1]

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each example, ``(B, E)``."""
        eps_B1E = noise.normal(1, self.model.latent_size) * temperature
        return self.from_noise(eps_B1E)[0].squeeze(1)

    def _walk(
        self, k: int, take: Callable[[int, DiagonalGaussian], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return the latents ``(N, E)`` that are taken from each posterior, and their log q."""
        observed, taken = self.model.observe(self.x, self.y)(k), []

        def choose(group: int, state: Any, p: DiagonalGaussian) -> Tensor:
            taken.append(take(group, observed.posterior(group, state, p)))
            return taken[-1][0]

        rows = len(self.x) * k
        self.model.walk(rows, self.model.unlabelled(rows), choose)
        z, log_q = zip(*taken, strict=True)
        return torch.cat(z, 1), torch.stack(log_q, -1).sum(-1)


@dataclass(frozen=True, eq=False)
class WalkedPrior:
    """The prior of all groups, each given those before it.

    Args:
        model: whose way is walked.
    """

    model: SequentialLatent

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density in nats, ``(...)``, of vectors ``(..., E)``."""
        flat_NE = z.reshape(-1, z.shape[-1])
        parts, log_p = torch.split(flat_NE, list(self.model.splits), 1), []

        def choose(group: int, state: Any, p: DiagonalGaussian) -> Tensor:
            log_p.append(p.log_prob(parts[group]))
            return parts[group]

        self.model.walk(len(flat_NE), self.model.unlabelled(len(flat_NE)), choose)
        total_N: Tensor = torch.stack(log_p, -1).sum(-1)
        return total_N.view(z.shape[:-1])

    def draw(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Return one vector for each row of noise, ``(n, E)``; deviations times temperature."""
        drawn: list[Tensor] = []

        def choose(group: int, state: Any, p: DiagonalGaussian) -> Tensor:
            spread = p.log_scale.exp() * temperature
            drawn.append(p.mean + spread * noise.normal(p.mean.shape[1]))
            return drawn[-1]

        self.model.walk(noise.n, self.model.unlabelled(noise.n), choose)
        return torch.cat(drawn, 1)
