r"""The autoencoder: a code from which the example can be restored, learnt for its features.

.. math:: z = f_\phi(\tilde x), \qquad
    \min_{\phi, \theta} -\mathbb{E}\log p_\theta(x \mid z), \qquad \tilde x \sim c(\cdot \mid x)

The corruption c leaves the example as it is, or damages it, so that the code must hold what makes
the whole likely and not each entry by itself.

References:
    | Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006)
    | Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008)
    | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
    | https://arxiv.org/abs/1903.12436
"""

# Shapes: B batch, Z code, F features, P parameters of one entry; * the shape of an example.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genus.capabilities import Objective
from genus.config import check_positive, check_share
from genus.distributions import Likelihood, LikelihoodName
from genus.distributions.likelihoods import Law
from genus.distributions.point import Point
from genus.families.base import Model, check_temperature, evaluating
from genus.nn.coders import ImageDecoder, ImageEncoder, perceptron
from genus.nn.running_gaussian import RunningGaussian
from genus.nn.standardised import Standardised
from genus.random import Noise
from genus.registry import register
from genus.spec import Batch, Spec


@register("autoencoder")
class Autoencoder(Model):
    r"""An encoder to a code and a decoder back, trained to restore examples; a learner of features.

    It has no prior and no density, so nothing it says is a likelihood of x: the loss is the nats
    of an example *given its own code*. `sample` is a density estimate made afterwards: codes are
    drawn from a Gaussian with the mean and the covariance that the codes of the training data had
    in the last hundred or so batches (Ghosh et al., 2020), then entries given them.

    Args:
        spec: any data without classes; images may use convolutions.
        config: see `Autoencoder.Config`.

    Raises:
        SpecError: the data have classes, or the likelihood or the network does not fit them.

    Example:
        >>> model = Autoencoder(Spec(shape=(1, 8, 8), levels=17), Autoencoder.Config(latents=5))
        >>> x = torch.randint(17, (3, 1, 8, 8))
        >>> model.features(x).shape, model.reconstruct(x).mean.shape
        (torch.Size([3, 5]), torch.Size([3, 1, 8, 8]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the autoencoder."""

        latents: int = 64
        """Z, the size of the code."""
        network: Literal["auto", "mlp", "conv"] = "auto"
        """Perceptrons or convolutions; auto takes convolutions from 16 x 16 pixels."""
        hidden: int = 512
        """Units of a perceptron's hidden layer."""
        depth: int = 2
        """Hidden layers of a perceptron."""
        features: int = 32
        """Feature maps at the finest scale of convolutions."""
        likelihood: LikelihoodName = "auto"
        """Law of an entry given the code; auto: bernoulli, logistic (over 2 levels), gaussian."""
        corruption: Literal["none", "masking", "gaussian"] = "none"
        """What training does to inputs: entries at the lowest level (or mean), or noise added."""
        strength: float = 0.25
        """Share of masked entries, or deviation of the noise (levels run from -1 to 1 there)."""

        def __post_init__(self) -> None:
            check_positive(self, "latents", "hidden", "depth", "features", "strength")
            if self.corruption == "masking":
                check_share(self, "strength")

    family = "latent"
    config: Config
    tiny: ClassVar[dict[str, Any]] = {"latents": 2, "hidden": 16, "depth": 1, "features": 4}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        coarse = c.likelihood == "auto" and spec.levels is not None and spec.levels > 2
        self.likelihood = Likelihood("logistic" if coarse else c.likelihood, spec)
        P = self.likelihood.width
        if self.convolutional:
            self.encoder: nn.Module = ImageEncoder(spec.shape, 0, c.latents, c.features)
            self.decoder: nn.Module = ImageDecoder(c.latents, spec.shape, P, c.features)
        else:
            sizes = [c.hidden] * c.depth
            self.encoder = perceptron([spec.dims, *sizes, c.latents])
            self.decoder = perceptron([c.latents, *sizes[::-1], spec.dims * P])
        self.standardised = Standardised(spec)
        self.codes = RunningGaussian(c.latents)

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` where the Spec has classes: a code is of the example alone."""
        cls.require(spec.classes is None, "data without classes (spec.unconditional())", spec)

    @property
    def convolutional(self) -> bool:
        """Whether the networks are convolutional."""
        kind, spec = self.config.network, self.spec
        self.require(kind != "conv" or spec.is_image, "images for network='conv'", spec)
        return kind == "conv" or (kind == "auto" and spec.is_image and min(spec.shape[1:]) >= 16)

    def initialise(self, batch: Batch) -> None:
        """Take the location and scale of real data from a first batch; levels need neither."""
        self.standardised.take(batch.x)

    def corrupted(self, u: Tensor, noise: Noise) -> Tensor:
        """Return standardised examples damaged as the configuration says."""
        kind, strength = self.config.corruption, self.config.strength
        if kind == "masking":
            masked = noise.uniform(*self.spec.shape) < strength
            return u.masked_fill(masked, -1.0 if self.spec.is_discrete else 0.0)
        return u + strength * noise.normal(*self.spec.shape) if kind == "gaussian" else u

    def code(self, u: Tensor) -> Tensor:
        """Return the code ``(B, Z)`` of standardised examples."""
        inputs = (u, u.new_zeros(len(u), 0)) if self.convolutional else (u.flatten(1),)
        return self.encoder(*inputs).to(self.dtype)  # type: ignore[no-any-return]

    def encode(self, x: Tensor, y: Tensor | None = None) -> Point:
        """Return the code of examples, as the law over ``(B, Z)`` that is certain of it.

        Raises:
            SpecError: the input does not fit the Spec, or labels are given.
        """
        self.check_inputs(x, y)
        return Point(self.code(self.standardised(x)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Law:
        """Return the law of the entries ``(B, *shape)`` given codes ``(B, Z)``, differentiably."""
        if y is not None:
            self.spec.check_labels(y, len(z))
        out = self.decoder(z).view(-1, *self.spec.shape, self.likelihood.width)
        return self.standardised.law(self.likelihood(out))

    def reconstruct(self, x: Tensor) -> Law:
        """Return the law of the entries given the example's own code; its mean is the picture."""
        return self.decode(self.encode(x).mean)

    def features(self, x: Tensor) -> Tensor:
        """Return the code, ``(B, Z)``."""
        return self.encode(x).mean

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: nats per dimension of an example given its (damaged) code."""
        return (Objective("reconstruction", tuple(self.parameters()), self._loss),)

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        self.check_inputs(batch.x, None)
        code_BZ = self.code(self.corrupted(self.standardised(batch.x), noise))
        if self.training:
            self.codes.update(code_BZ.detach())
        nats = -self.decode(code_BZ).log_prob(batch.x).flatten(1).sum(1).mean()
        return {"loss": nats / self.spec.dims, "reconstruction": -nats.detach()}

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``n`` examples ``(n, *shape)``: codes from a fitted Gaussian, then entries.

        Args:
            n: how many; each is the same however many are drawn with it.
            y: not taken.
            generator: source of randomness.
            temperature: scales the Gaussian's deviations and divides the entries' logits.

        Raises:
            SpecError: labels, which the model does not take.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        if y is not None:
            self.spec.check_labels(y, n)
        noise = self.noise(n, generator)
        with evaluating(self):
            law = self.decode(self.codes.draw(noise, temperature))
            return law.tempered(temperature).icdf(noise.uniform(*self.spec.shape))
