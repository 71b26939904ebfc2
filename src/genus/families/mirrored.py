"""Two players that mirror each other: residual blocks for images, perceptrons for vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genus.config import check_positive, check_share
from genus.families.adversarial import Adversarial
from genus.nn.mirrored import decoder, encoder
from genus.nn.players import Critic, Generator
from genus.spec import Spec


@dataclass(frozen=True, kw_only=True)
class MirroredOptions:
    """Options of a game between networks that mirror each other."""

    latents: int = 64
    """Z, the size of the noise."""
    channels: int = 24
    """Feature maps at full resolution; doubled with every halving, up to fourfold."""
    blocks: int = 1
    """Residual blocks at each resolution below the full one."""
    hidden: int = 128
    """Units of a perceptron's layer, and of the critic's last hidden layer."""
    augment: float = 0.0
    """Probability of each change of images (moved, cut, lit) that the critic sees."""
    learning_rate: float = 2e-4
    """Of both players."""

    def __post_init__(self) -> None:
        check_share(self, "augment")
        check_positive(self, "latents", "channels", "blocks", "hidden", "learning_rate")


class Mirrored(Adversarial):
    """A model chooses the loss and what holds the critic's slope; both networks are here.

    Images are halved, rounding up, until no side is above 7, so 8x8, 28x28, 32x32 and 5x12 work
    as they are. There is no normalisation: no example sees another. Vectors get perceptrons.

    Raises:
        SpecError: augmentation of what is no image.
    """

    config: MirroredOptions
    tiny: ClassVar = {"latents": 4, "channels": 4, "hidden": 16}

    def __init__(self, spec: Spec, config: MirroredOptions | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.require(not c.augment or spec.is_image, f"images for augment={c.augment}", spec)
        self.latents, self.augment = c.latents, c.augment
        size = {"channels": c.channels, "blocks": c.blocks, "hidden": c.hidden}
        inputs = c.latents * (2 if spec.classes else 1)
        self.generator = Generator(decoder(inputs, spec.shape, **size), c.latents, spec.classes)
        self.critic = Critic(encoder(spec.shape, **size), c.hidden, spec.classes)
        self.learning_rates = (c.learning_rate, c.learning_rate)
