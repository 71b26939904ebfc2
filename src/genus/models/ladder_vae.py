r"""The ladder VAE: groups of latents from coarse to fine, inferred on the way that generates them.

.. math:: p(x, z) = p(x \mid z_{1 \dots G}) \prod_{g=G}^{1} p(z_g \mid z_{>g}), \qquad
    q(z \mid x) = \prod_{g=G}^{1} q(z_g \mid z_{>g}, x)

Prior and posterior of a group are Gaussians; the posterior is said relative to the prior, so that a
group that does not help costs nothing. Both go down the same network, which passes on what it
knows beside the latents (skips). The prior of the coarsest group is learned. Given the latents the
entries are independent, or follow one another in a pixel network (PixelVAE).

References:
    | Ladder Variational Autoencoders (Sonderby et al., 2016), https://arxiv.org/abs/1602.02282
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934 (top-down inference, free bits)
    | NVAE: A Deep Hierarchical Variational Autoencoder (Vahdat and Kautz, 2020)
    | https://arxiv.org/abs/2007.03898 (posteriors relative to the prior)
    | PixelVAE: A Latent Variable Model for Natural Images (Gulrajani et al., 2016)
    | https://arxiv.org/abs/1611.05013 (pixel networks as decoders)
"""

# Shapes: B batch, k draws for each example, N rows, C H W an image, F features, P parameters of one
# entry, c latents at a position, G groups.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genus.config import check_positive, check_share
from genus.distributions import DiagonalGaussian
from genus.distributions.ordered import ExampleLaw
from genus.errors import ConfigError
from genus.families.bound_loss import BoundOptions
from genus.families.conditioned import DecoderOptions, PixelDecoder
from genus.families.sequential_latent import Choose, Observed, SequentialLatent
from genus.nn.ladder import BottomUp, TopDown, bounded, group_sizes
from genus.nn.standardised import Standardised
from genus.registry import register
from genus.spec import Batch, Spec


@register("ladder-vae")
class LadderVAE(SequentialLatent):
    """A hierarchy of latent maps, the finest at half the resolution of the image.

    Args:
        spec: any data; a vector is taken as an image of one position.
        config: see `LadderVAE.Config`.

    Raises:
        SpecError: the likelihood or the decoder does not fit the data.
        ConfigError: a likelihood that the decoder cannot have.

    Example:
        >>> spec = Spec(shape=(1, 8, 8), levels=2)
        >>> model = LadderVAE(spec, LadderVAE.Config(groups=2, latents=3, features=8, blocks=1))
        >>> model.elbo(model.sample(3)).kl.shape, model.latent_size
        (torch.Size([3, 2]), 96)
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BoundOptions, DecoderOptions):
        """Options of the ladder VAE."""

        groups: int = 3
        """G, groups of latents, each at half the resolution of the one before, down to 4 x 4."""
        latents: int = 8
        """c, latents at each position of a group."""
        features: int = 48
        """F, feature maps of both networks."""
        blocks: int = 2
        """Residual blocks of each group, up and down."""
        dropout: float = 0.0
        """Share of hidden features dropped in training."""
        free_bits: float = 0.5
        """Nats of each group's mean divergence that cost nothing, so that the group is used."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_positive(self, "groups", "latents", "features", "blocks")
            self.check_decoder()
            check_share(self, "dropout")
            if self.objective == "dreg":
                raise ConfigError(
                    "objective='dreg' is for one group of latents; take 'elbo' or 'iwae'"
                )

    config: Config
    batch_size = 32
    learning_rate = 2e-3
    tiny: ClassVar[dict[str, Any]] = {
        "groups": 2,
        "latents": 1,
        "features": 4,
        "blocks": 1,
        "free_bits": 0.0,
        "decoder_features": 6,
        "decoder_layers": 1,
        "conditioning": 6,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.likelihood = c.likelihood_of(spec)
        self.image = spec.shape if spec.is_image else (spec.dims, 1, 1)
        C, size = self.image[0], (self.image[1], self.image[2])
        self.sizes = group_sizes(*size, c.groups)
        self.splits = [c.latents * h * w for h, w in self.sizes]
        self.up = BottomUp(C, size, self.sizes, c.features, c.blocks, c.dropout)
        self.pixels = c.pixel_decoder(self.likelihood, c.dropout)
        outputs = self.pixels.given if self.pixels else C * self.likelihood.width
        self.down = TopDown(outputs, size, self.sizes, c.features, c.latents, c.blocks, c.dropout)
        self.posteriors = nn.ModuleList(self._posterior_layer() for _ in self.sizes)
        self.label_up = nn.Embedding(spec.classes, C) if spec.classes else None
        self.label_down = nn.Embedding(spec.classes, c.features) if spec.classes else None
        self.standardised = Standardised(spec)

    def _posterior_layer(self) -> nn.Sequential:
        """Return what says how a posterior differs from the prior; at first not at all."""
        c = self.config
        last = nn.Conv2d(c.features, 2 * c.latents, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        return nn.Sequential(nn.SiLU(), nn.Conv2d(2 * c.features, c.features, 1), nn.SiLU(), last)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return some dropout for small sets."""
        return {"dropout": 0.2} if examples < 10_000 else {}

    def initialise(self, batch: Batch) -> None:
        """Take from a first batch the unit of real data, and what a pixel network wants of it."""
        self.standardised.take(batch.x)
        if isinstance(self.pixels, PixelDecoder):
            self.pixels.initialise(batch)

    def observe(self, x: Tensor, y: Tensor | None) -> Callable[[int], Observed]:
        """Return what gives a way down the maps of the examples."""
        u_BCHW = self.standardised(x).view(-1, *self.image)
        if self.label_up is not None:
            self.require(y is not None, "labels y here", self.spec)
            u_BCHW = u_BCHW + self.label_up(y)[:, :, None, None]
        maps = self.up(u_BCHW)

        def observed(k: int) -> Observed:
            return _Maps(self, maps if k == 1 else [m.repeat_interleave(k, 0) for m in maps])

        return observed

    def walk(self, rows: int, y: Tensor | None, choose: Choose) -> ExampleLaw:
        """Return the law of the entries, with latents chosen on the way down."""
        label_NF = None
        if self.label_down is not None:
            self.require(y is not None, "labels y here", self.spec)
            label_NF = self.label_down(y)

        def pick(group: int, h_NFHW: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
            prior = DiagonalGaussian(mean.flatten(1), log_scale.flatten(1))
            return choose(group, h_NFHW, prior).view(mean.shape)

        out = self.down(rows, pick, label_NF)
        if self.pixels is not None:
            law: ExampleLaw = self.pixels(out)
            return law
        P = self.likelihood.width
        parameters = out.unflatten(1, (-1, P)).movedim(2, -1).reshape(rows, *self.spec.shape, P)
        return self.standardised.law(self.likelihood(parameters))


class _Maps:
    """Examples as maps, one for each group in the order of the way down."""

    def __init__(self, model: LadderVAE, maps: list[Tensor]) -> None:
        self.model, self.maps = model, maps

    def posterior(self, group: int, state: Tensor, prior: DiagonalGaussian) -> DiagonalGaussian:
        """Return the posterior of a group, said in units of its prior."""
        both = torch.cat([state, self.maps[group].to(state.dtype)], 1)
        out = self.model.posteriors[group](both).to(prior.mean.dtype)
        shift, log_ratio = (part.flatten(1) for part in bounded(out).chunk(2, 1))
        mean = prior.mean + prior.log_scale.exp() * shift
        return DiagonalGaussian(mean, prior.log_scale + log_ratio)
