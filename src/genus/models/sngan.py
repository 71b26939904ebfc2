r"""SNGAN: a critic whose layers are divided by their largest singular value.

References:
    | Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018)
    | https://arxiv.org/abs/1802.05957
    | cGANs with Projection Discriminator (Miyato and Koyama, 2018)
    | https://arxiv.org/abs/1802.05637
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from genus.config import check_positive
from genus.families.adversarial_loss import LOSSES
from genus.families.mirrored import Mirrored, MirroredOptions
from genus.registry import register
from genus.spec import Spec


@register("sngan")
class SNGAN(Mirrored):
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
    class Config(MirroredOptions):
        """Options of SNGAN."""

        latents: int = 128
        """Z, the size of the noise."""
        critic_steps: int = 2
        """Updates of the critic for each of the generator."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_positive(self, "critic_steps")

    config: Config
    betas = (0.0, 0.9)
    loss = LOSSES["hinge"]

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.critic_steps = self.config.critic_steps
        normalise(self.critic)


def normalise(network: nn.Module) -> None:
    """Divide every layer's weight by its largest singular value from now on.

    Weights are drawn anew, since a layer that begins at zero has no direction to be scaled in.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.xavier_uniform_(module.weight)
            spectral_norm(module)
