r"""The latent-variable family: a likelihood as an integral over what is not seen.

.. math:: \log p(x) = \log \int p(z)\, p(x \mid z)\, dz
    \ge \mathbb{E}_{q(z \mid x)} \log p(x \mid z) - \mathrm{KL}(q(z \mid x) \,\|\, p(z))

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), https://arxiv.org/abs/1312.6114
    | Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
"""

# Shapes: B batch, n samples, k importance samples, Z or E latents, Y classes, G groups of latents.
from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Completion, Elbo, Objective
from genus.distributions import DiagonalGaussian
from genus.distributions.full_gaussian import FullGaussian
from genus.distributions.latent_law import LatentLaw, Posterior
from genus.distributions.ordered import ExampleLaw, OrderedLaw
from genus.families.base import Model, check_temperature, evaluating
from genus.families.bound_loss import (
    BoundOptions,
    Inference,
    doubly_reparameterised,
    elbo_loss,
    log_mean_exp,
    report,
)
from genus.families.conditioned import DecoderOptions
from genus.random import Noise
from genus.spec import Batch, Spec

DECODED_AT_A_TIME = 2**16
"""Numbers of one example's decoded draws held at a time by importance sampling. It bounds memory,
and does not depend on the batch, nor does the noise that a draw gets."""
ENTRIES_AT_A_TIME = 2**20
"""Entries held at a time where every example is taken with every class."""
SWEEPS = 20
"""Sweeps of pseudo-Gibbs completion."""


class LatentVariable(Model, abc.ABC):
    """A latent-variable model writes `encode`, `decode` and `prior`; the rest is here.

    One whose inference and generation share their work writes `infer` as well. Without labels, a
    class-conditional model bounds log p(x) by taking the class as one more latent, with
    q(y | x) in proportion to p(y) exp(bound given y, at the centre of the posterior).

    Attributes:
        options: how the bound is descended; from the Config, where it has these options.
        progress: share of the training that is over; the loop tells it.
    """

    family = "latent"
    learning_rate: float = 1e-3
    batch_size: int = 64
    progress: float = 1.0

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        own = isinstance(self.config, BoundOptions)
        self.options: BoundOptions = self.config if own else BoundOptions()

    @property
    def bound_samples(self) -> int:
        """The k of the bound that training climbs, by which it chooses weights as well."""
        return 1 if self.options.objective == "elbo" else self.options.samples

    @abc.abstractmethod
    def encode(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """Return the posterior over ``(B, E)`` of examples ``(B, *shape)``."""

    @abc.abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> ExampleLaw:
        """Return the law over ``(B, *shape)`` given latents ``(B, E)``, differentiable in them."""

    @abc.abstractmethod
    def prior(self) -> LatentLaw:
        """Return the law of the latents ``(..., E)``."""

    @property
    def decoded_numbers(self) -> int:
        """Numbers of one entry that a decoding holds; they bound how many are held at a time."""
        return self.config.decoded_numbers if isinstance(self.config, DecoderOptions) else 1

    @property
    @abc.abstractmethod
    def latent_size(self) -> int:
        """E, the number of all latents of an example."""

    def infer(self, x: Tensor, y: Tensor | None, eps_BkE: Tensor) -> Inference:
        """Return latents drawn from the posterior by noise, and their terms of a bound.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels, or None for a model without classes.
            eps_BkE: standard normal.
        """
        q, p = self.encode(x, y), self.prior()
        z_BkE, log_q_Bk = q.from_noise(eps_BkE)
        log_p_Bk = p.log_prob(z_BkE)
        kl_Bk = log_q_Bk - log_p_Bk
        if hasattr(q, "kl") and isinstance(p, DiagonalGaussian):
            kl_Bk = q.kl(p).unsqueeze(1).expand_as(kl_Bk)
        law = self.decode(z_BkE.flatten(0, 1), each(y, eps_BkE.shape[1]))
        log_p_Bk1, log_q_Bk1, kl_Bk1 = (t.unsqueeze(-1) for t in (log_p_Bk, log_q_Bk, kl_Bk))
        return Inference(law, log_p_Bk1, log_q_Bk1, kl_Bk1, q.centre)

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
        noise = self.noise(len(x), generator)
        return self._elbo(x, y, noise.normal(1, self.latent_size))

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
        noise = self.noise(len(x), generator)

        def bound(label_B: Tensor | None) -> Tensor:
            same = noise.take(range(len(x)))  # every class gets the same noise
            return self._importance_weighted(x, label_B, k, same)

        if y is None and self.spec.classes is not None:
            return self._over_classes(bound, len(x)).logsumexp(1)
        return bound(y)

    def _importance_weighted(self, x: Tensor, y: Tensor | None, k: int, noise: Noise) -> Tensor:
        at_once = max(1, DECODED_AT_A_TIME // (self.spec.dims * self.decoded_numbers))
        parts = []
        for start in range(0, k, at_once):
            eps_BcE = noise.normal(min(at_once, k - start), self.latent_size)
            parts.append(self.infer(x, y, eps_BcE).log_weights(x))
        return log_mean_exp(torch.cat(parts, 1))

    def _elbo(self, x: Tensor, y: Tensor | None, eps_B1E: Tensor) -> Elbo:
        if y is not None or self.spec.classes is None:
            return self._conditional_elbo(x, y, eps_B1E)
        bounds = list(self._conditional_elbos(x, eps_B1E))
        log_q_BY = self._class_law(x)
        q_BY = log_q_BY.exp()
        kl_class_B1 = (q_BY * (log_q_BY - self.log_prior_Y)).sum(1, keepdim=True)
        reconstruction_BY = torch.cat([p.reconstruction.view(len(x), -1) for p in bounds], 1)
        kl_BYG = torch.cat([p.kl.view(len(x), -1, p.kl.shape[1]) for p in bounds], 1)
        kl_BG = (q_BY.unsqueeze(2) * kl_BYG).sum(1)
        return Elbo((q_BY * reconstruction_BY).sum(1), torch.cat([kl_BG, kl_class_B1], 1))

    def _conditional_elbos(self, x: Tensor, eps_B1E: Tensor) -> Iterator[Elbo]:
        """Yield bounds given some classes at a time, with a row for every example and class."""
        classes = len(self.log_prior_Y)
        at_once = max(1, ENTRIES_AT_A_TIME // max(1, x.numel()))
        for start in range(0, classes, at_once):
            some = torch.arange(start, min(start + at_once, classes), device=x.device)
            rows = x.repeat_interleave(len(some), 0)
            yield self._conditional_elbo(
                rows, some.repeat(len(x)), eps_B1E.repeat_interleave(len(some), 0)
            )

    def _class_law(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, log q(y | x), by default by the bounds at the posteriors' centres.

        It must not look at the noise of the bound: with divergences by formula the best law for
        each draw would give more than log p(x) in the mean.
        """
        centre_B1E = torch.zeros(len(x), 1, self.latent_size, dtype=self.dtype, device=self.device)
        bounds = self._conditional_elbos(x, centre_B1E)
        value_BY = torch.cat([part.value.view(len(x), -1) for part in bounds], 1)
        return (value_BY + self.log_prior_Y).log_softmax(1)

    def _over_classes(self, bound: Callable[[Tensor], Tensor], n: int) -> Tensor:
        """Return ``(B, Y)``, a bound on log p(x, y) for every class."""
        labels = (torch.full((n,), c, device=self.device) for c in range(len(self.log_prior_Y)))
        return torch.stack([bound(label_B) for label_B in labels], 1) + self.log_prior_Y

    def _conditional_elbo(self, x: Tensor, y: Tensor | None, eps_B1E: Tensor) -> Elbo:
        found = self.infer(x, y, eps_B1E)
        return Elbo(found.reconstruction(x).squeeze(1), found.kl_BkG.squeeze(1))

    @property
    def trained_bound(self) -> int | None:
        """How many samples the bound has that training descends; None where parts are weighed."""
        if self.options.weighs:
            return None
        return 1 if self.options.objective == "elbo" else self.options.samples

    def anneal(self, progress: float) -> None:
        """Take note of the share of the training that is over; warm-up and rise depend on it."""
        self.progress = progress

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: minus the bound, in nats per dimension."""
        return (
            Objective(
                "bound",
                tuple(self.parameters()),
                self._loss,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
            ),
        )

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        x, y = batch.x, batch.y if self.spec.classes is not None else None
        self.require(self.spec.classes is None or y is not None, "labels in training", self.spec)
        eps_BkE = noise.normal(self.options.draws(self.progress), self.latent_size)
        if self.options.objective == "dreg":
            return self._dreg_loss(x, y, eps_BkE)
        found = self.infer(x, y, eps_BkE)
        reconstruction_Bk = found.reconstruction(x)
        if self.options.objective == "elbo":
            nats = elbo_loss(reconstruction_Bk, found.kl_BkG, self.options, self.progress)
        else:
            ratio_Bk = (found.log_p_BkG - found.log_q_BkG).sum(-1)
            weight = self.options.weight(self.progress)
            nats = -log_mean_exp(reconstruction_Bk + weight * ratio_Bk).mean()
        said = report(reconstruction_Bk, found.kl_BkG, found.centre_BE)
        return {"loss": nats / self.spec.dims, **said}

    def _dreg_loss(self, x: Tensor, y: Tensor | None, eps_BkE: Tensor) -> dict[str, Tensor]:
        q = self.encode(x, y)
        assert isinstance(q, DiagonalGaussian | FullGaussian)
        z_BkE, _ = q.from_noise(eps_BkE)
        log_q_Bk = q.frozen().log_prob(z_BkE)
        log_p_Bk = self.prior().log_prob(z_BkE)
        law = self.decode(z_BkE.flatten(0, 1), each(y, eps_BkE.shape[1]))
        kl_Bk = log_q_Bk - log_p_Bk
        log_p_Bk1, log_q_Bk1, kl_Bk1 = (t.unsqueeze(-1) for t in (log_p_Bk, log_q_Bk, kl_Bk))
        found = Inference(law, log_p_Bk1, log_q_Bk1, kl_Bk1, q.centre)
        weight = self.options.weight(self.progress)
        reconstruction_Bk = found.reconstruction(x)
        nats = doubly_reparameterised(z_BkE, reconstruction_Bk - weight * kl_Bk)
        said = report(reconstruction_Bk, found.kl_BkG, found.centre_BE)
        return {"loss": nats / self.spec.dims, **said}

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
        noise = self.noise(n, generator)
        labels = self.labels_for(n, y, noise.uniform())
        return self._draw(noise, labels, temperature)

    def _draw(self, noise: Noise, labels: Tensor | None, temperature: float) -> Tensor:
        with evaluating(self):
            law = self.decode(self.prior().draw(noise, temperature), labels)
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
        Where the decoder is a pixel network, a missing entry is told those before it by the
        network, and those that are known after it by the latents alone.

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
        noise = self.noise(len(x), generator)
        labels = self.labels_for(len(x), y, noise.uniform())
        own = x if self.spec.is_discrete else x.to(self.dtype)  # sweeps must not round to x's type
        filled = torch.where(known, own, self._draw(noise, labels, temperature).to(own))
        with evaluating(self):
            for _ in range(SWEEPS):
                z_BE = self.encode(filled, labels).draw(noise)
                law = self.decode(z_BE, labels).tempered(temperature)
                u = noise.uniform(*self.spec.shape)
                if isinstance(law, OrderedLaw):  # what is known tells the entries after it
                    filled = law.fill(own, known, u)
                else:
                    filled = torch.where(known, own, law.icdf(u).to(own))
        filled = torch.where(known, x, filled.to(x))
        method = f"pseudo-Gibbs, {SWEEPS} sweeps"
        if isinstance(law, OrderedLaw):
            method += ", each in the order of the pixels"
        return Completion(filled, False, method, y=labels)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, E)``, the posterior's centre, with classes averaged over them.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        if self.spec.classes is None:
            return self.encode(x).centre
        labels = [torch.full((len(x),), c, device=x.device) for c in range(self.spec.classes)]
        means_YBE = torch.stack([self.encode(x, y_B).centre for y_B in labels])
        return torch.einsum("ybe,by->be", means_YBE, self._class_share(x))

    def _class_share(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, the weights of classes where something is averaged over them."""
        return self.log_prior_Y.exp().expand(len(x), -1)


def each(y: Tensor | None, k: int) -> Tensor | None:
    """Return the labels of ``k`` draws for each example, or None."""
    return None if y is None else y.repeat_interleave(k)
