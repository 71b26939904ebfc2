r"""WGAN-GP: a critic whose slope is held at 1, so that its scores estimate a distance.

References:
    | Wasserstein GAN (Arjovsky et al., 2017) https://arxiv.org/abs/1701.07875
    | Improved Training of Wasserstein GANs (Gulrajani et al., 2017)
    | https://arxiv.org/abs/1704.00028
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genus.config import check_positive, check_share
from genus.families.adversarial import Adversarial
from genus.families.adversarial_loss import LOSSES
from genus.nn.mirrored import decoder, encoder
from genus.nn.players import Critic, Generator
from genus.registry import register
from genus.spec import Spec


@register("wgan-gp")
class WGANGP(Adversarial):
    r"""The game for the Wasserstein distance, with a penalty on slopes between the two kinds.

    .. math:: L_D = E[D(G(z))] - E[D(x)] + \lambda E[(\|\nabla D(\hat x)\| - 1)^2], \qquad
        L_G = -E[D(G(z))], \qquad \hat x = (1 - u)\, x + u\, G(z)

    With u uniform for each pair. Minus the critic's loss, without the penalty, is an estimate of
    the distance that falls as samples improve.

    Args:
        spec: any data.
        config: see `WGANGP.Config`.

    Raises:
        SpecError: augmentation of what is no image.

    Example:
        >>> model = WGANGP(Spec(shape=(1, 8, 8), levels=17), WGANGP.Config(channels=8))
        >>> [objective.repeats for objective in model.objectives()]
        [5, 1]
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of WGAN-GP."""

        latents: int = 64
        """Z, the size of the noise."""
        channels: int = 24
        """Feature maps at full resolution; doubled with every halving, up to fourfold."""
        blocks: int = 1
        """Residual blocks at each resolution below the full one."""
        hidden: int = 128
        """Units of a perceptron's layer, and of the critic's last hidden layer."""
        penalty: float = 10.0
        """Weight of the penalty on slopes other than 1."""
        critic_steps: int = 5
        """Updates of the critic for each of the generator."""
        augment: float = 0.0
        """Probability of each change of images (moved, cut, lit) that the critic sees."""
        learning_rate: float = 1e-4
        """Of both players."""

        def __post_init__(self) -> None:
            check_share(self, "augment")
            names = ("latents", "channels", "blocks", "hidden", "penalty", "critic_steps")
            check_positive(self, *names, "learning_rate")

    config: Config
    betas = (0.0, 0.9)
    loss = LOSSES["wasserstein"]
    tiny: ClassVar = {"latents": 4, "channels": 4, "hidden": 16, "critic_steps": 2}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latents, self.unit_slope, self.critic_steps = c.latents, c.penalty, c.critic_steps
        size = {"channels": c.channels, "blocks": c.blocks, "hidden": c.hidden}
        inputs = c.latents * (2 if spec.classes else 1)
        self.generator = Generator(decoder(inputs, spec.shape, **size), c.latents, spec.classes)
        self.critic = Critic(encoder(spec.shape, **size), c.hidden, spec.classes)
        self.require(not c.augment or spec.is_image, f"images for augment={c.augment}", spec)
        self.augment = c.augment
        self.learning_rates = (c.learning_rate, c.learning_rate)
