r"""The generative adversarial network: a small convolutional one, for any size of image.

References:
    | Generative Adversarial Networks (Goodfellow et al., 2014)
    | https://arxiv.org/abs/1406.2661
    | Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018)
    | https://arxiv.org/abs/1801.04406
    | cGANs with Projection Discriminator (Miyato and Koyama, 2018)
    | https://arxiv.org/abs/1802.05637
"""

# Shapes: B batch, Z latents, F features.
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genus.errors import ConfigError
from genus.families.adversarial_loss import LOSSES
from genus.families.mirrored import Mirrored, MirroredOptions
from genus.registry import register
from genus.spec import Spec


@register("gan")
class GAN(Mirrored):
    r"""A generator of residual blocks against a critic that mirrors it.

    .. math:: L_D = E[\log(1 + e^{-D(x)})] + E[\log(1 + e^{D(G(z))})]
        + \frac{\gamma_1}{2} E\|\nabla D(x)\|^2 + \frac{\gamma_2}{2} E\|\nabla D(G(z))\|^2,
        \qquad L_G = E[\log(1 + e^{-D(G(z))})]

    Images are halved, rounding up, until no side is above 7, so 8x8, 28x28, 32x32 and 5x12 work
    as they are. There is no normalisation: no example sees another. Vectors get perceptrons.

    Args:
        spec: any data.
        config: see `GAN.Config`.

    Example:
        >>> import torch
        >>> model = GAN(Spec(shape=(1, 28, 28), levels=256))
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> x.shape, x.dtype, model.score(x).shape
        (torch.Size([2, 1, 28, 28]), torch.int64, torch.Size([2]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(MirroredOptions):
        """Options of the adversarial network."""

        loss: Literal["non-saturating", "minimax"] = "non-saturating"
        """What the generator minimises: the paper's second loss, or its first."""
        r1: float = 1.0
        """Weight of the penalty on real examples, for 64 entries; it grows with their number,
        as the sum over entries falls when neighbours become alike."""
        r2: float = 0.0
        """The same on generated examples."""
        learning_rate: float = 2e-3
        """Of both players."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not (self.r1 >= 0 and self.r2 >= 0):
                raise ConfigError(f"r1={self.r1} and r2={self.r2} must not be below zero")

    config: Config
    representative = True

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.loss = LOSSES[c.loss]
        self.penalties = (c.r1 * spec.dims / 64, c.r2 * spec.dims / 64)
