r"""The variational autoencoder: amortised inference by stochastic gradients (SGVB).

.. math:: z \sim \mathcal N(0, I), \quad x \sim p_\theta(x \mid z), \quad
    q_\phi(z \mid x) = \mathcal N(\mu_\phi(x), \operatorname{diag} \sigma_\phi^2(x))

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
    | https://arxiv.org/abs/1312.6114
"""

# Shapes: B batch, C H W an image, Z latents, F features, P parameters of one entry.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genus.config import check_positive, check_share
from genus.distributions import DiagonalGaussian, EntryGaussian, Likelihood, LikelihoodName
from genus.distributions.likelihoods import Law
from genus.families.latent import LatentVariable
from genus.nn.coders import ImageDecoder, ImageEncoder, perceptron
from genus.registry import register
from genus.spec import Batch, Spec


@register("vae")
class VAE(LatentVariable):
    """An encoder, a standard normal prior and a decoder, trained by the evidence lower bound.

    Args:
        spec: any data; images may use convolutions.
        config: see `VAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> model = VAE(Spec(shape=(1, 8, 8), levels=17), VAE.Config(latents=2, hidden=16))
        >>> x = model.sample(3)
        >>> bool((model.iwae(x, 64) <= 0).all()), model.elbo(x).kl.shape
        (True, torch.Size([3, 1]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the variational autoencoder."""

        latents: int = 32
        """Z, the size of the latent vector."""
        network: Literal["auto", "mlp", "conv"] = "auto"
        """Perceptrons or convolutions; auto takes convolutions from 16 x 16 pixels."""
        hidden: int = 512
        """Units of a perceptron's hidden layer."""
        depth: int = 2
        """Hidden layers of a perceptron."""
        features: int = 32
        """Feature maps at the finest scale of convolutions."""
        likelihood: LikelihoodName = "auto"
        """Law of an entry: bernoulli, categorical, logistic (discretized) or gaussian."""
        dropout: float = 0.0
        """Share of hidden units dropped in training, in encoder and decoder."""

        def __post_init__(self) -> None:
            check_positive(self, "latents", "hidden", "depth", "features")
            check_share(self, "dropout")

    config: Config
    shift: Tensor
    scale: Tensor
    representative = True
    tiny: ClassVar = {"latents": 2, "hidden": 16, "depth": 1, "features": 4}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.likelihood = Likelihood(c.likelihood, spec)
        outputs = self.likelihood.width
        labels = spec.classes or 0
        if self.convolutional:
            self.encoder: nn.Module = ImageEncoder(spec.shape, labels, 2 * c.latents, c.features)
            self.decoder: nn.Module = ImageDecoder(
                c.latents + labels, spec.shape, outputs, c.features
            )
        else:
            sizes = [c.hidden] * c.depth
            self.encoder = perceptron([spec.dims + labels, *sizes, 2 * c.latents], c.dropout)
            self.decoder = perceptron([c.latents + labels, *sizes, spec.dims * outputs], c.dropout)
        # Real data are standardised inside, by the first batch, and likelihoods account for it.
        self.register_buffer("shift", torch.zeros(spec.shape))
        self.register_buffer("scale", torch.ones(spec.shape))

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return some dropout for small sets."""
        return {"dropout": 0.2} if examples < 10_000 else {}

    @property
    def convolutional(self) -> bool:
        """Whether the networks are convolutional."""
        c, spec = self.config, self.spec
        self.require(c.network != "conv" or spec.is_image, "images for network='conv'", spec)
        if c.network == "auto":
            return spec.is_image and min(spec.shape[1:]) >= 16
        return c.network == "conv"

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Take the location and scale of real data from a first batch; levels need neither."""
        if not self.spec.is_discrete:
            self.shift.copy_(batch.x.mean(0))
            self.scale.copy_(batch.x.std(0, correction=0).clamp(min=1e-6))

    def standardised(self, x: Tensor) -> Tensor:
        """Return ``(B, *shape)``: levels on [-1, 1], real data in units of their deviation."""
        if self.spec.levels is None:
            return (x - self.shift) / self.scale
        return x.to(self.dtype) * (2 / (self.spec.levels - 1)) - 1

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """Return the posterior q(z | x) over ``(B, Z)``.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        u, label_BY = self.standardised(x), self.one_hot(y, len(x))
        if self.convolutional:
            out_BZ2 = self.encoder(u, label_BY)
        else:
            out_BZ2 = self.encoder(torch.cat([u.flatten(1), label_BY], 1))
        mean_BZ, log_scale_BZ = out_BZ2.to(self.dtype).chunk(2, 1)
        return DiagonalGaussian(mean_BZ, log_scale_BZ.clamp(-7, 7))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Law:
        """Return the law p(x | z) over ``(B, *shape)``."""
        out = self.decoder(torch.cat([z, self.one_hot(y, len(z))], 1))
        law = self.likelihood(out.view(-1, *self.spec.shape, self.likelihood.width))
        if isinstance(law, EntryGaussian):
            return EntryGaussian(
                self.shift + self.scale * law.mean, law.log_scale + self.scale.log()
            )
        return law

    def prior(self) -> DiagonalGaussian:
        """Return the standard normal over ``(1, Z)``."""
        zero_1Z = torch.zeros(1, self.config.latents, device=self.device, dtype=self.dtype)
        return DiagonalGaussian(zero_1Z, zero_1Z)

    def one_hot(self, y: Tensor | None, n: int) -> Tensor:
        """Return ``(n, Y)``, the labels as unit vectors; without classes Y is zero."""
        if self.spec.classes is None:
            return torch.zeros(n, 0, device=self.device, dtype=self.dtype)
        self.require(y is not None, "labels y here", self.spec)
        assert y is not None
        return nn.functional.one_hot(y, self.spec.classes).to(self.dtype)
