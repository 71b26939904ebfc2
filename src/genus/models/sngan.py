r"""SNGAN: a critic whose layers are divided by their largest singular value.

References:
    | Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018)
    | https://arxiv.org/abs/1802.05957
    | cGANs with Projection Discriminator (Miyato and Koyama, 2018)
    | https://arxiv.org/abs/1802.05637
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from genus.config import check_positive, check_share
from genus.families.adversarial import Adversarial
from genus.families.adversarial_loss import LOSSES
from genus.nn.mirrored import decoder, encoder
from genus.nn.players import Critic, Generator
from genus.registry import register
from genus.spec import Spec


@register("sngan")
class SNGAN(Adversarial):
    r"""The hinge game against a critic of bounded slope.

    .. math:: L_D = E[\max(0, 1 - D(x))] + E[\max(0, 1 + D(G(z)))], \qquad L_G = -E[D(G(z))],
        \qquad \bar W = W / \sigma(W)

    The singular value of each layer is followed by one power iteration for each pass in training;
    a score later takes it as it is.

    Args:
        spec: any data.
        config: see `SNGAN.Config`.

    Raises:
        SpecError: augmentation of what is no image.

    Example:
        >>> model = SNGAN(Spec(shape=(1, 8, 8), levels=17), SNGAN.Config(channels=8))
        >>> model.sample(2).shape
        torch.Size([2, 1, 8, 8])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of SNGAN."""

        latents: int = 128
        """Z, the size of the noise."""
        channels: int = 24
        """Feature maps at full resolution; doubled with every halving, up to fourfold."""
        blocks: int = 1
        """Residual blocks at each resolution below the full one."""
        hidden: int = 128
        """Units of a perceptron's layer, and of the critic's last hidden layer."""
        critic_steps: int = 2
        """Updates of the critic for each of the generator."""
        augment: float = 0.0
        """Probability of each change of images (moved, cut, lit) that the critic sees."""
        learning_rate: float = 2e-4
        """Of both players."""

        def __post_init__(self) -> None:
            check_share(self, "augment")
            names = ("latents", "channels", "blocks", "hidden", "critic_steps", "learning_rate")
            check_positive(self, *names)

    config: Config
    betas = (0.0, 0.9)
    loss = LOSSES["hinge"]
    tiny: ClassVar = {"latents": 4, "channels": 4, "hidden": 16}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latents, self.critic_steps = c.latents, c.critic_steps
        size = {"channels": c.channels, "blocks": c.blocks, "hidden": c.hidden}
        inputs = c.latents * (2 if spec.classes else 1)
        self.generator = Generator(decoder(inputs, spec.shape, **size), c.latents, spec.classes)
        self.critic = Critic(encoder(spec.shape, **size), c.hidden, spec.classes)
        normalise(self.critic)
        self.require(not c.augment or spec.is_image, f"images for augment={c.augment}", spec)
        self.augment = c.augment
        self.learning_rates = (c.learning_rate, c.learning_rate)


def normalise(network: nn.Module) -> None:
    """Divide every layer's weight by its largest singular value from now on.

    Weights are drawn anew, since a layer that begins at zero has no direction to be scaled in.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.xavier_uniform_(module.weight)
            spectral_norm(module)
