r"""Latents that are symbols on a map, certain given the example, with an autoregressive prior.

.. math:: \log p(x) \ge \log p(x \mid c(x)) + \log P(c(x))

The symbols of an example are a function of it, so the posterior has all its mass on them, and what
a bound pays for them is minus their log-probability under the prior.

References:
    | Neural Discrete Representation Learning (van den Oord et al., 2017)
    | https://arxiv.org/abs/1711.00937
"""

# Shapes: B batch, n samples, h w the map of symbols, D positions of the map.
from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from genus import registry
from genus.capabilities import Elbo, Objective
from genus.distributions.likelihoods import Law
from genus.errors import ConfigError
from genus.families.autoregressive import Autoregressive
from genus.families.base import Model, check_temperature, evaluating
from genus.random import Noise
from genus.spec import Batch, Spec


def symbol_prior(name: str, spec: Spec, options: dict[str, Any]) -> Autoregressive:
    """Return a model of the map of symbols.

    Args:
        name: of a registered autoregressive model.
        spec: the map, with the symbols as levels.
        options: those that the model has are taken.

    Raises:
        ConfigError: there is no such model, or it is not autoregressive.
    """
    known = registry.get(name).Config.__dataclass_fields__
    made = registry.create(name, spec, **{k: v for k, v in options.items() if k in known})
    if isinstance(made, Autoregressive):
        return made
    raise ConfigError(
        f"prior={name!r} has no order of entries; choose an autoregressive model such as "
        "gated-pixelcnn or made"
    )


class SymbolLatent(Model, abc.ABC):
    """A model writes `codes`, `decoded` and its own objective; the prior's is here.

    Classes are the prior's: symbols depend on the class, and entries on the symbols.

    Attributes:
        symbols: the prior, over maps ``(1, h, w)`` of symbols.
        learning_rate: default step size of both objectives.
    """

    family = "latent"
    learning_rate: float = 1e-3
    symbols: Autoregressive

    @abc.abstractmethod
    def codes(self, x: Tensor) -> Tensor:
        """Return the map of symbols ``(B, 1, h, w)`` of examples ``(B, *shape)``."""

    @abc.abstractmethod
    def decoded(self, code_B1hw: Tensor) -> Law:
        """Return the law of the entries ``(B, *shape)`` given symbols."""

    @abc.abstractmethod
    def autoencoder_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the loss of everything but the prior."""

    def set_class_prior(self, counts_Y: Tensor) -> None:
        """Take p(y) from label counts, for the prior over symbols as well."""
        super().set_class_prior(counts_Y)
        self.symbols.set_class_prior(counts_Y)

    def reconstruct(self, x: Tensor) -> Law:
        """Return the law of the entries given the example's own symbols."""
        return self.decoded(self.codes(x))

    def elbo(
        self, x: Tensor, y: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Elbo:
        """Return the evidence lower bound; symbols are certain, so it has no noise.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels. Left out for a class-conditional model, it is that of log p(x).
            generator: not used.

        Raises:
            SpecError: the inputs do not fit the Spec, or the model takes no labels.
        """
        self.check_inputs(x, y)
        code_B1hw = self.codes(x)
        reconstruction_B = self.decoded(code_B1hw).log_prob(x).flatten(1).sum(1)
        return Elbo(reconstruction_B, -self.symbols.log_prob(code_B1hw, y).unsqueeze(1))

    def iwae(
        self,
        x: Tensor,
        k: int,
        y: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the bound ``(B,)``; all ``k`` samples are the same symbols, so it is the ELBO.

        Raises:
            SpecError: the inputs do not fit the Spec, or k is not positive.
        """
        self.require(k >= 1, f"at least one importance sample, not k={k}", self.spec)
        return self.elbo(x, y).value

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``n`` samples ``(n, *shape)``: symbols from the prior, then entries given them.

        Args:
            n: how many; each is the same however many are drawn with it.
            y: ``(n,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.
            temperature: divides the logits of symbols and entries.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = self.noise(n, generator)
        labels = self.labels_for(n, y, noise.uniform())
        u_BD = noise.uniform(self.symbols.spec.dims)
        with evaluating(self):
            code_B1hw = self.symbols.from_uniform(u_BD, labels, temperature)
            law = self.decoded(code_B1hw).tempered(temperature)
            return law.icdf(noise.uniform(*self.spec.shape))

    def objectives(self) -> tuple[Objective, ...]:
        """Return two: the autoencoder's, and minus the log-probability of symbols."""
        prior = list(self.symbols.parameters())
        others = {id(p) for p in prior}
        own = [p for p in self.parameters() if id(p) not in others]
        rate = self.learning_rate
        return (
            Objective("autoencoder", own, self.autoencoder_loss, learning_rate=rate),
            Objective("symbols", prior, self._symbol_loss, learning_rate=rate),
        )

    def _symbol_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        with torch.no_grad():
            code_B1hw = self.codes(batch.x)
        y = batch.y if self.spec.classes is not None else None
        nats = -self.symbols.log_prob(code_B1hw, y).mean()
        return {"loss": nats / self.spec.dims, "kl": nats.detach()}
