r"""WGAN-GP: a critic whose slope is held at 1, so that its scores estimate a distance.

References:
    | Wasserstein GAN (Arjovsky et al., 2017) https://arxiv.org/abs/1701.07875
    | Improved Training of Wasserstein GANs (Gulrajani et al., 2017)
    | https://arxiv.org/abs/1704.00028
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genus.config import check_positive
from genus.families.adversarial_loss import LOSSES
from genus.families.mirrored import Mirrored, MirroredOptions
from genus.registry import register
from genus.spec import Spec


@register("wgan-gp")
class WGANGP(Mirrored):
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
    class Config(MirroredOptions):
        """Options of WGAN-GP."""

        penalty: float = 10.0
        """Weight of the penalty on slopes other than 1."""
        critic_steps: int = 5
        """Updates of the critic for each of the generator."""
        learning_rate: float = 1e-4
        """Of both players."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_positive(self, "penalty", "critic_steps")

    config: Config
    betas = (0.0, 0.9)
    loss = LOSSES["wasserstein"]
    tiny: ClassVar = {**Mirrored.tiny, "critic_steps": 2}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.unit_slope, self.critic_steps = self.config.penalty, self.config.critic_steps
