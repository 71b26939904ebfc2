"""Two players of strided convolutions, the networks of DCGAN, for any loss.

References:
    | Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks
    | (Radford et al., 2016) https://arxiv.org/abs/1511.06434
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genus.config import check_positive, check_share
from genus.families.adversarial import Adversarial
from genus.nn import strided
from genus.nn.players import Critic, Generator
from genus.spec import Spec


@dataclass(frozen=True, kw_only=True)
class StridedOptions:
    """Options of a game between networks of strided convolutions."""

    latents: int = 100
    """Z, the size of the noise."""
    channels: int = 32
    """Feature maps at half resolution, doubled with every further halving."""
    augment: float = 0.0
    """Probability of each change of images (moved, cut, lit) that the critic sees."""
    learning_rate: float = 2e-4
    """Of both players."""

    def __post_init__(self) -> None:
        check_share(self, "augment")
        check_positive(self, "latents", "channels", "learning_rate")


class Strided(Adversarial):
    """A model chooses the loss; both networks are here.

    Three things differ from the paper. A 28x28 image begins at 7x7 instead of being resized. The
    generator's last layer begins with outputs of unit size, not at nothing. And there is no
    squashing function after it, as in no game here: with the paper's, which these networks bear
    because they are normalised, the distance on MNIST was the same after two minutes.
    """

    config: StridedOptions
    betas = (0.5, 0.999)
    tiny: ClassVar = {"latents": 4, "channels": 4}

    def __init__(self, spec: Spec, config: StridedOptions | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latents = c.latents
        inputs = c.latents * (2 if spec.classes else 1)
        generator = strided.generator(inputs, spec.shape, c.channels)
        self.generator = Generator(generator, c.latents, spec.classes)
        features = strided.features_of(spec.shape, c.channels)
        self.critic = Critic(strided.critic(spec.shape, c.channels), features, spec.classes)
        self.augment = c.augment
        self.learning_rates = (c.learning_rate, c.learning_rate)

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images."""
        cls.require(spec.is_image, "images", spec)
