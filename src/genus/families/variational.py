r"""Variational autoencoders by composition: networks, a likelihood, a prior and a posterior.

.. math:: z \sim p(z), \quad x \sim p_\theta(x \mid z), \quad z \mid x \approx q_\phi(z \mid x)

Each part is an object. A model of this family chooses them, and the bounds follow.

With a pixel network at the end of the decoder, entries are no longer independent given the latents
(PixelVAE).

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), https://arxiv.org/abs/1312.6114
    | PixelVAE: A Latent Variable Model for Natural Images (Gulrajani et al., 2016)
    | https://arxiv.org/abs/1611.05013
"""

# Shapes: B batch, C H W an image, E latents, Y classes, P parameters of one entry.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genus import registry
from genus.config import check_positive, check_share
from genus.distributions.latent_law import LatentLaw, Posterior
from genus.distributions.ordered import ExampleLaw
from genus.distributions.posteriors import PosteriorName, posterior_part
from genus.distributions.priors import (
    FlowPrior,
    MixturePrior,
    NormalPrior,
    OrderedPrior,
    PriorName,
    PriorPart,
    VampPrior,
)
from genus.errors import ConfigError
from genus.families.bound_loss import BoundOptions
from genus.families.conditioned import DecoderOptions, PixelDecoder
from genus.families.latent import LatentVariable
from genus.nn.coders import ImageDecoder, ImageEncoder, first_filters, perceptron
from genus.nn.standardised import Standardised
from genus.spec import Batch, Spec


@dataclass(frozen=True, kw_only=True)
class VariationalOptions(BoundOptions, DecoderOptions):
    """Options of all variational autoencoders of one group of latents."""

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
    dropout: float = 0.0
    """Share of hidden units dropped in training, in encoder and decoder."""
    posterior: PosteriorName = "diagonal"
    """Gaussians that are independent or have a full covariance; inverse autoregressive flow, or a
    flow of splines."""
    prior: PriorName = "normal"
    """Standard normal, a mixture of Gaussians, VampPrior, masked autoregressive flow, or MADE."""
    components: int = 100
    """Components of a mixture, pseudo-examples of a VampPrior."""
    flow_steps: int = 2
    """Maps of a flow, in posterior and prior."""
    flow_hidden: int = 128
    """Units of the two hidden layers of each map, or of MADE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = ("latents", "hidden", "depth", "features", "components")
        check_positive(self, *sizes, "flow_steps", "flow_hidden")
        self.check_decoder()
        check_share(self, "dropout")
        if self.prior == "vamp" and self.posterior != "diagonal":
            raise ConfigError(
                f"prior='vamp' is a mixture of posteriors, with posterior={self.posterior!r} it "
                "has no density that is quick; take posterior='diagonal' or another prior"
            )
        if self.objective == "dreg" and self.posterior not in ("diagonal", "full"):
            raise ConfigError(
                "objective='dreg' needs the density of a Gaussian that is held fixed, which "
                f"posterior={self.posterior!r} is not; take objective='iwae', or "
                "posterior='diagonal' or 'full'"
            )


class VariationalAutoencoder(LatentVariable):
    """An encoder, a posterior, a prior, a decoder and a likelihood.

    Args:
        spec: any data; images may use convolutions.
        config: see `VariationalOptions`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.
    """

    Config: ClassVar[type[VariationalOptions]] = VariationalOptions
    config: VariationalOptions
    tiny: ClassVar[dict[str, Any]] = {
        "latents": 2, "hidden": 16, "depth": 1, "features": 4, "components": 3, "flow_hidden": 8,
        "decoder_features": 6, "decoder_layers": 1, "conditioning": 6,
    }  # fmt: skip

    def __init__(self, spec: Spec, config: VariationalOptions | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.likelihood = c.likelihood_of(spec)
        self.posterior_part = posterior_part(
            c.posterior, c.latents, steps=c.flow_steps, hidden=c.flow_hidden
        )
        self.prior_part = self._prior_part()
        self.pixels = c.pixel_decoder(self.likelihood, c.dropout)
        self.encoder, self.decoder = self._coders(self.posterior_part.width)
        self.standardised = Standardised(spec)

    def _prior_part(self) -> PriorPart:
        c = self.config
        if c.prior == "mixture":
            return MixturePrior(c.latents, c.components)
        if c.prior == "vamp":
            return VampPrior(c.components, self.spec.shape, 1.0 if self.spec.is_discrete else None)
        if c.prior == "flow":
            return FlowPrior(c.latents, c.flow_steps, c.flow_hidden)
        if c.prior == "autoregressive":
            made = registry.create("made", Spec(shape=(c.latents,)), hidden=c.flow_hidden)
            return OrderedPrior(c.latents, made)
        return NormalPrior(c.latents)

    def _coders(self, width: int) -> tuple[nn.Module, nn.Module]:
        """Return the encoder, with so many outputs, and the decoder."""
        c, spec, labels = self.config, self.spec, self.spec.classes or 0
        shape, P = self._decoded
        if self.convolutional:
            return (
                ImageEncoder(spec.shape, labels, width, c.features, c.dropout),
                ImageDecoder(c.latents + labels, shape, P, c.features, c.dropout),
            )
        sizes = [c.hidden] * c.depth
        return (
            perceptron([spec.dims + labels, *sizes, width], c.dropout),
            perceptron([c.latents + labels, *sizes, math.prod(shape) * P], c.dropout),
        )

    @property
    def _decoded(self) -> tuple[tuple[int, ...], int]:
        """Shape of what the decoder gives and the numbers of an entry: parameters, or a map."""
        if self.pixels is None:
            return self.spec.shape, self.likelihood.width
        return (self.pixels.given, *self.spec.shape[1:]), 1

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return some dropout for small sets."""
        return {"dropout": 0.2} if examples < 10_000 else {}

    @property
    def latent_size(self) -> int:
        """Z, the size of the latent vector."""
        return self.config.latents

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
        """Take location and scale of real data, and first pseudo-examples, from a first batch."""
        self.standardised.take(batch.x)
        self.prior_part.begin(self.standardised(batch.x))
        if isinstance(self.pixels, PixelDecoder):
            self.pixels.initialise(batch)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """Return the posterior q(z | x) over ``(B, Z)``.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        return self._posterior(self.standardised(x), self.one_hot(y, len(x)))

    def _posterior(self, u: Tensor, label_BY: Tensor) -> Posterior:
        """Return the posterior of examples in the network's own scale."""
        if self.convolutional:
            out_BW = self.encoder(u, label_BY)
        else:
            out_BW = self.encoder(torch.cat([u.flatten(1), label_BY], 1))
        law: Posterior = self.posterior_part(out_BW.to(self.dtype))
        return law

    def decode(self, z: Tensor, y: Tensor | None = None) -> ExampleLaw:
        """Return the law p(x | z) over ``(B, *shape)``."""
        out = self.decoder(torch.cat([z, self.one_hot(y, len(z))], 1))
        shape, P = self._decoded
        if self.pixels is not None:
            law: ExampleLaw = self.pixels(out.view(-1, *shape))
            return law
        parameters = out.view(-1, *shape, P)
        return self.standardised.law(self.likelihood(parameters))

    def filters(self) -> Tensor:
        """Return ``(H, *shape)``, the weights of the encoder's first units, if it is a perceptron.

        Raises:
            ConfigError: it is convolutional.
        """
        return first_filters(self.encoder, self.spec.shape)

    def prior(self) -> LatentLaw:
        """Return the law of the latents, over ``(..., Z)``; it is the same for all classes."""

        def encoder(u_K: Tensor) -> Posterior:
            evenly_KY = torch.zeros(len(u_K), self.spec.classes or 0).to(u_K)
            if self.spec.classes:
                evenly_KY = evenly_KY + self.log_prior_Y.exp()
            return self._posterior(u_K, evenly_KY)

        law: LatentLaw = self.prior_part(encoder)
        return law

    def one_hot(self, y: Tensor | None, n: int) -> Tensor:
        """Return ``(n, Y)``, the labels as unit vectors; without classes Y is zero."""
        if self.spec.classes is None:
            return torch.zeros(n, 0, device=self.device, dtype=self.dtype)
        self.require(y is not None, "labels y here", self.spec)
        assert y is not None
        return nn.functional.one_hot(y, self.spec.classes).to(self.dtype)
