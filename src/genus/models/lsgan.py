r"""LSGAN: DCGAN's networks, with scores that are drawn to targets.

References:
    | Least Squares Generative Adversarial Networks (Mao et al., 2017)
    | https://arxiv.org/abs/1611.04076
"""

from __future__ import annotations

from dataclasses import dataclass

from genus.families.adversarial_loss import LOSSES
from genus.families.strided import Strided, StridedOptions
from genus.registry import register


@register("lsgan")
class LSGAN(Strided):
    r"""The least-squares game between the networks of DCGAN.

    .. math:: L_D = \tfrac12 E[(D(x) - 1)^2] + \tfrac12 E[D(G(z))^2], \qquad
        L_G = \tfrac12 E[(D(G(z)) - 1)^2]

    An example far on the right side of the boundary still is pulled towards it, where the logistic
    loss is content.

    Args:
        spec: images.
        config: see `LSGAN.Config`.

    Raises:
        SpecError: the data are not images.

    Example:
        >>> from genus.spec import Spec
        >>> model = LSGAN(Spec(shape=(1, 8, 8), levels=17), LSGAN.Config(channels=8))
        >>> model.sample(2).shape
        torch.Size([2, 1, 8, 8])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(StridedOptions):
        """Options of LSGAN."""

    config: Config
    loss = LOSSES["least-squares"]
