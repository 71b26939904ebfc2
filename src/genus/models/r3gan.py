r"""R3GAN: relativistic pairs, and the critic's slope held on real and on generated examples.

References:
    | The GAN is dead; long live the GAN! A Modern Baseline GAN (Huang et al., 2024)
    | https://arxiv.org/abs/2501.05441
    | Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018)
    | https://arxiv.org/abs/1801.04406
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from genus.config import check_positive, check_share
from genus.errors import ConfigError
from genus.families.adversarial import Adversarial
from genus.families.adversarial_loss import LOSSES
from genus.nn import inverted
from genus.nn.players import Critic, Generator
from genus.registry import register
from genus.spec import Spec


@register("r3gan")
class R3GAN(Adversarial):
    r"""The relativistic game with both zero-centred penalties, at every step.

    .. math:: L_D = E[\log(1 + e^{D(G(z)) - D(x)})]
        + \tfrac\gamma2 E\|\nabla D(x)\|^2 + \tfrac\gamma2 E\|\nabla D(G(z))\|^2, \qquad
        L_G = E[\log(1 + e^{D(x) - D(G(z))})]

    With both penalties the game converges near its solution, and pairing leaves no minima where
    modes are missing, so no tricks are needed: no normalisation, residual blocks that begin at
    zero, an average of the generator's weights. The penalties' weight falls by a cosine from
    `Config.gamma` to its share `Config.rest` in the first half of the training.

    Images are halved, rounding up, until no side is above 7, so a 28x28 one begins at 7x7. One with
    a side above 16 has its first blocks at half its resolution; the paper's has some at the full
    one, which would be most of the work on a processor. Width, step size and batches of 32 are
    those that came nearest to MNIST in four minutes of a core; the paper's step is 2e-4, for
    batches of 512.

    Args:
        spec: images.
        config: see `R3GAN.Config`.

    Raises:
        SpecError: the data are not images.

    Example:
        >>> import torch
        >>> model = R3GAN(Spec(shape=(1, 28, 28), levels=256), R3GAN.Config(channels=8))
        >>> model.sample(2, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 28, 28])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of R3GAN."""

        latents: int = 64
        """Z, the size of the noise."""
        channels: int = 32
        """Feature maps at the highest resolution; doubled with every halving, up to fourfold."""
        blocks: int = 1
        """Residual blocks at each resolution."""
        expansion: int = 2
        """Times as many maps inside a block."""
        gamma: float = 0.5
        """Weight of both penalties at first, for 1024 entries; it grows with their number."""
        rest: float = 0.1
        """Share of that weight that is left after half of the training."""
        augment: float = 0.0
        """Probability of each change of images (moved, cut, lit) that the critic sees; from one
        half on it shows in what is generated."""
        learning_rate: float = 4e-3
        """Of both players."""

        def __post_init__(self) -> None:
            names = ("latents", "channels", "blocks", "expansion", "learning_rate")
            check_positive(self, *names)
            check_share(self, "rest", "augment")
            if not self.gamma >= 0:
                raise ConfigError(f"gamma={self.gamma} must not be below zero")

    config: Config
    betas = (0.0, 0.99)
    batch_size = 32
    loss = LOSSES["relativistic"]
    tiny: ClassVar = {"latents": 4, "channels": 4}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latents = c.latents
        inputs = c.latents * (2 if spec.classes else 1)
        size = {"channels": c.channels, "blocks": c.blocks, "expansion": c.expansion}
        generator = inverted.generator(inputs, spec.shape, **size)
        self.generator = Generator(generator, c.latents, spec.classes)
        features = inverted.features_of(spec.shape, c.channels)
        self.critic = Critic(inverted.critic(spec.shape, **size), features, spec.classes)
        self.augment = c.augment
        self.learning_rates = (c.learning_rate, c.learning_rate)
        self.anneal(0.0)

    def anneal(self, progress: float) -> None:
        """Set the weight of the penalties for the share of the training that is over."""
        c = self.config
        first, last = c.gamma, c.gamma * c.rest
        weight = last + (first - last) * (1 + math.cos(math.pi * min(1.0, 2 * progress))) / 2
        self.penalties = (weight * self.spec.dims / 1024,) * 2

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images."""
        cls.require(spec.is_image, "images", spec)
