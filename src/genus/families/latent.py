r"""The latent-variable family: a likelihood as an integral over what is not seen.

.. math:: \log p(x) = \log \int p(z)\, p(x \mid z)\, dz
    \ge \mathbb{E}_{q(z \mid x)} \log p(x \mid z) - \mathrm{KL}(q(z \mid x) \,\|\, p(z))

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), https://arxiv.org/abs/1312.6114
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
"""

# Shapes: B batch, n samples, k importance samples, Z latents, Y classes, G groups of latents.
from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
from torch import Tensor

from genus.capabilities import Completion, Elbo, Objective
from genus.distributions import DiagonalGaussian
from genus.distributions.likelihoods import Law
from genus.families.base import Model, check_temperature, evaluating
from genus.random import ExampleNoise, Noise
from genus.spec import Batch

DECODED_AT_A_TIME = 2**21
"""Entries of decoded examples held at a time by importance sampling, to bound memory."""
SWEEPS = 20
"""Sweeps of pseudo-Gibbs completion."""


class LatentVariable(Model, abc.ABC):
    """A latent-variable model writes `encode`, `decode` and `prior`; the rest is here.

    Without labels, a class-conditional model bounds log p(x) by taking the class as one more
    latent with the best posterior that there is, q(y | x) in proportion to p(y) exp(bound given y).
    """

    family = "latent"

    @abc.abstractmethod
    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """Return the posterior over ``(B, Z)`` of examples ``(B, *shape)``."""

    @abc.abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> Law:
        """Return the law over ``(B, *shape)`` given latents ``(B, Z)``, differentiable in them."""

    @abc.abstractmethod
    def prior(self) -> DiagonalGaussian:
        """Return the law of the latents, ``(1, Z)``."""

    def elbo(
        self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Elbo:
        """Return the evidence lower bound from one reparameterised draw for each example.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels. Left out for a class-conditional model, the class is a latent and
                its divergence the last column of ``kl``.
            generator: source of randomness.

        Raises:
            SpecError: the inputs do not fit the Spec, or the model takes no labels.
        """
        self.check_inputs(x, y)
        return self._elbo(x, y, self._noise(len(x), generator))

    def iwae(
        self,
        x: Tensor,
        k: int,
        y: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Return the importance-weighted bound in nats, ``(B,)``.

        .. math:: \log \frac1k \sum_{i=1}^k \frac{p(x \mid z_i)\, p(z_i)}{q(z_i \mid x)}

        Args:
            x: ``(B, *shape)``.
            k: samples for each example; the bound rises to log p(x) with them.
            y: ``(B,)`` labels; left out, a class-conditional model sums over classes.
            generator: source of randomness.

        Raises:
            SpecError: the inputs do not fit the Spec, or k is not positive.
        """
        self.check_inputs(x, y)
        self.require(k >= 1, f"at least one importance sample, not k={k}", self.spec)
        eps_BkZ = self._noise(len(x), generator).normal(k, self.prior().mean.shape[-1])

        def bound(label_B: Tensor | None) -> Tensor:
            return self._importance_weighted(x, label_B, eps_BkZ)

        if y is None and self.spec.classes is not None:
            return self._over_classes(bound, len(x)).logsumexp(1)
        return bound(y)

    def _noise(self, n: int, generator: torch.Generator | None) -> ExampleNoise:
        return ExampleNoise(n, generator, device=self.device, dtype=self.dtype)

    def _importance_weighted(self, x: Tensor, y: Tensor | None, eps_BkZ: Tensor) -> Tensor:
        q, p = self.encode(x, y), self.prior()
        chunk = max(1, DECODED_AT_A_TIME // (len(x) * self.spec.dims or 1))
        weights = []
        for eps_BcZ in torch.split(eps_BkZ, chunk, 1):
            c = eps_BcZ.shape[1]
            z_BcZ = q.mean[:, None] + q.log_scale.exp()[:, None] * eps_BcZ
            wide = DiagonalGaussian(q.mean[:, None], q.log_scale[:, None])
            x_Nc = x.repeat_interleave(c, 0)
            y_Nc = None if y is None else y.repeat_interleave(c, 0)
            likelihood = self.decode(z_BcZ.flatten(0, 1), y_Nc).log_prob(x_Nc).flatten(1).sum(1)
            weights.append(likelihood.view(-1, c) + p.log_prob(z_BcZ) - wide.log_prob(z_BcZ))
        return torch.cat(weights, 1).logsumexp(1) - math.log(eps_BkZ.shape[1])

    def _elbo(self, x: Tensor, y: Tensor | None, noise: Noise) -> Elbo:
        if y is not None or self.spec.classes is None:
            return self._conditional_elbo(x, y, noise.normal(self.prior().mean.shape[-1]))
        eps_BZ = noise.normal(self.prior().mean.shape[-1])
        parts: list[Elbo] = []

        def bound(label_B: Tensor | None) -> Tensor:
            parts.append(self._conditional_elbo(x, label_B, eps_BZ))
            return parts[-1].value

        log_q_BY = self._over_classes(bound, len(x)).log_softmax(1)
        q_BY = log_q_BY.exp()
        kl_class_B1 = (q_BY * (log_q_BY - self.log_prior_Y)).sum(1, keepdim=True)
        reconstruction_B = (q_BY * torch.stack([p.reconstruction for p in parts], 1)).sum(1)
        kl_BG = (q_BY.unsqueeze(2) * torch.stack([p.kl for p in parts], 1)).sum(1)
        return Elbo(reconstruction_B, torch.cat([kl_BG, kl_class_B1], 1))

    def _over_classes(self, bound: Callable[[Tensor], Tensor], n: int) -> Tensor:
        """Return ``(B, Y)``, a bound on log p(x, y) for every class."""
        labels = (torch.full((n,), c, device=self.device) for c in range(len(self.log_prior_Y)))
        return torch.stack([bound(label_B) for label_B in labels], 1) + self.log_prior_Y

    def _conditional_elbo(self, x: Tensor, y: Tensor | None, eps_BZ: Tensor) -> Elbo:
        q = self.encode(x, y)
        z_BZ = q.mean + q.log_scale.exp() * eps_BZ
        reconstruction_B = self.decode(z_BZ, y).log_prob(x).flatten(1).sum(1)
        return Elbo(reconstruction_B, q.kl(self.prior()).unsqueeze(1))

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: the negative bound, in nats per dimension."""
        return (Objective("bound", tuple(self.parameters()), self._loss),)

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        y = batch.y if self.spec.classes is not None else None
        elbo = self._elbo(batch.x, y, noise)
        loss = -elbo.value.mean() / self.spec.dims
        parts = {"reconstruction": elbo.reconstruction.mean(), "kl": elbo.kl.sum(1).mean()}
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``n`` samples ``(n, *shape)``: latents from the prior, then entries given them.

        Args:
            n: how many; each is the same however many are drawn with it.
            y: ``(n,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.
            temperature: scales the prior's deviation and divides the entries' logits.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise, prior = self._noise(n, generator), self.prior()
        labels = self.labels_for(n, y, noise.uniform())
        eps_BZ = noise.normal(prior.mean.shape[-1])
        with evaluating(self):
            law = self.decode(prior.mean + temperature * prior.log_scale.exp() * eps_BZ, labels)
            return law.tempered(temperature).icdf(noise.uniform(*self.spec.shape))

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
        """Draw the entries where ``known`` is False by pseudo-Gibbs sampling; an approximation.

        Latents are drawn given the picture and missing entries given the latents, in turn; the
        first picture's missing entries are a sample's (Rezende et al. 2014, arXiv:1401.4082).

        Args:
            x: ``(B, *shape)``; what stands in missing entries does not matter.
            known: ``(B, *shape)`` boolean.
            y: ``(B,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.
            temperature: divides the entries' logits.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        self.check_inputs(torch.where(known, x, torch.zeros_like(x)), y)
        noise = self._noise(len(x), generator)
        labels = self.labels_for(len(x), y, noise.uniform())
        start = self.sample(len(x), y=labels, generator=generator, temperature=temperature)
        filled = torch.where(known, x, start.to(x))
        with evaluating(self):
            for _ in range(SWEEPS):
                z_BZ = self.encode(filled, labels).draw(noise)
                law = self.decode(z_BZ, labels).tempered(temperature)
                drawn = law.icdf(noise.uniform(*self.spec.shape)).to(x)
                filled = torch.where(known, x, drawn)
        return Completion(filled, False, f"pseudo-Gibbs, {SWEEPS} sweeps")

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, Z)``, the posterior's mean; averaged over classes by their prior."""
        self.check_inputs(x, None)
        if self.spec.classes is None:
            return self.encode(x).mean
        labels = [torch.full((len(x),), c, device=x.device) for c in range(self.spec.classes)]
        means_YBZ = torch.stack([self.encode(x, y_B).mean for y_B in labels])
        return torch.einsum("ybz,y->bz", means_YBZ, self.log_prior_Y.exp())
