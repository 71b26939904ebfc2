r"""The VQ-VAE: latents that are symbols of a learned codebook, and a prior that knows their order.

.. math:: c_i(x) = \arg\min_k \| z^e_i(x) - e_k \|^2, \qquad
    \log p(x) \ge \log p(x \mid e_{c(x)}) + \log P(c(x))

Given an image its symbols are certain, so what a bound pays for them is minus their log-probability
under the prior: an autoregressive model of this library over the map of symbols, trained beside the
autoencoder and not through it.

References:
    | Neural Discrete Representation Learning (van den Oord et al., 2017)
    | https://arxiv.org/abs/1711.00937
"""

# Shapes: B batch, h w the map of symbols, V size of a symbol's vector, K symbols, F features,
# P parameters of one entry.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.config import check_positive
from genus.distributions import Likelihood, LikelihoodName
from genus.distributions.likelihoods import Law
from genus.errors import ConfigError
from genus.families.symbols import SymbolLatent, symbol_prior
from genus.nn.codebook import Codebook
from genus.nn.ladder import BottomUp, MapDecoder, group_sizes
from genus.nn.standardised import Standardised
from genus.random import Noise
from genus.registry import register
from genus.spec import Batch, Spec


@register("vq-vae")
class VQVAE(SymbolLatent):
    r"""An encoder, a codebook, a decoder, and a prior over the map of symbols.

    The autoencoder descends :math:`-\log p(x \mid z) + \| \mathrm{sg}[z^e] - e \|^2 +
    \beta \| z^e - \mathrm{sg}[e] \|^2`, where sg stops gradients, summed over the map; the
    decoder's gradient passes to the encoder as if nothing had been rounded (straight-through).

    Args:
        spec: any data; a vector is taken as an image of one position, with one symbol.
        config: see `VQVAE.Config`.

    Raises:
        SpecError: the likelihood or the prior does not fit the data.
        ConfigError: the prior is no autoregressive model.

    Example:
        >>> spec = Spec(shape=(1, 8, 8), levels=2)
        >>> model = VQVAE(spec, VQVAE.Config(symbols=16, halvings=1, features=8))
        >>> x = model.sample(3)
        >>> model.codes(x).shape, model.elbo(x).kl.shape
        (torch.Size([3, 1, 4, 4]), torch.Size([3, 1]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the VQ-VAE."""

        symbols: int = 64
        """K, symbols of the codebook."""
        vector: int = 16
        """V, size of a symbol's vector."""
        halvings: int = 2
        """How often the image is halved, down to 4 x 4 at most."""
        features: int = 48
        """F, feature maps of encoder and decoder."""
        blocks: int = 2
        """Residual blocks of each resolution."""
        commitment: float = 0.25
        """beta, weight of what keeps the encoder near its symbols."""
        likelihood: LikelihoodName = "auto"
        """Law of an entry: bernoulli, categorical, logistic (discretized) or gaussian."""
        prior: str = "gated-pixelcnn"
        """The model of the map of symbols, by name."""
        prior_features: int = 48
        """Its features."""
        prior_layers: int = 4
        """Its layers."""

        def __post_init__(self) -> None:
            check_positive(self, "symbols", "vector", "halvings", "features", "blocks")
            check_positive(self, "prior_features", "prior_layers")
            if self.symbols < 2:
                raise ConfigError(f"symbols={self.symbols} must be at least 2, or nothing is said")
            if not self.commitment >= 0:
                raise ConfigError(f"commitment={self.commitment} must not be below zero")

    config: Config
    learning_rate = 2e-3
    tiny: ClassVar[dict[str, Any]] = {
        "symbols": 6, "vector": 2, "halvings": 1, "features": 4, "blocks": 1,
        "prior_features": 8, "prior_layers": 2,
    }  # fmt: skip
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"symbols": 512, "vector": 64, "features": 256}
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.likelihood = Likelihood(c.likelihood, spec)
        self.image = spec.shape if spec.is_image else (spec.dims, 1, 1)
        size = (self.image[1], self.image[2])
        self.sizes = list(dict.fromkeys(group_sizes(*size, c.halvings)))
        self.standardised = Standardised(spec)
        self.up = BottomUp(self.image[0], size, self.sizes, c.features, c.blocks, 0.0)
        self.to_vector = nn.Conv2d(c.features, c.vector, 1)
        self.codebook = Codebook(c.symbols, c.vector)
        outputs = self.image[0] * self.likelihood.width
        self.down = MapDecoder(c.vector, outputs, size, self.sizes, c.features, c.blocks)
        options = {"features": c.prior_features, "layers": c.prior_layers}
        self.symbols = symbol_prior(
            c.prior, Spec((1, *self.sizes[0]), c.symbols, spec.classes), options
        )

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Take the scale of real data, and first symbols among the vectors of a first batch."""
        self.standardised.take(batch.x)
        self.codebook.begin(self.vectors(batch.x))

    def vectors(self, x: Tensor) -> Tensor:
        """Return the encoder's vectors ``(B, V, h, w)``, before they are rounded to symbols."""
        u_BCHW = self.standardised(x).view(-1, *self.image)
        vectors: Tensor = self.to_vector(F.silu(self.up(u_BCHW)[0])).to(self.dtype)
        return vectors

    def codes(self, x: Tensor) -> Tensor:
        """Return the map of symbols ``(B, 1, h, w)``.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        return self.codebook.nearest(self.vectors(x))

    def decoded(self, code_B1hw: Tensor) -> Law:
        """Return the law of the entries ``(B, *shape)`` given symbols."""
        return self.law(self.codebook(code_B1hw))

    def law(self, vector_BVhw: Tensor) -> Law:
        """Return the law of the entries given vectors at each position."""
        out, P = self.down(vector_BVhw), self.likelihood.width
        parameters = out.unflatten(1, (-1, P)).movedim(2, -1)
        flat = parameters.reshape(len(out), *self.spec.shape, P)
        return self.standardised.law(self.likelihood(flat))

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, V * h * w)``, the encoder's vectors before they are rounded."""
        self.check_inputs(x, None)
        return self.vectors(x).flatten(1)

    def autoencoder_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return nats per dimension of reconstruction, and what brings vectors to symbols."""
        self.check_inputs(batch.x, None)
        vector = self.vectors(batch.x)
        code_B1hw = self.codebook.nearest(vector)
        rounded = self.codebook(code_B1hw)
        towards_symbols = (vector - rounded.detach()).square().flatten(1).sum(1).mean()
        towards_vectors = (vector.detach() - rounded).square().flatten(1).sum(1).mean()
        through = vector + (rounded - vector).detach()
        nats = -self.law(through).log_prob(batch.x).flatten(1).sum(1).mean()
        total = nats + towards_vectors + self.config.commitment * towards_symbols
        said = {"reconstruction": -nats.detach(), "commitment": towards_symbols.detach()}
        perplexity = self.codebook.perplexity(code_B1hw)
        return {"loss": total / self.spec.dims, **said, "perplexity": perplexity}
