r"""pix2pix: an image from an image, by a generator that is held to the pair and to a critic of it.

References:
    | Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2017)
    | https://arxiv.org/abs/1611.07004
    | U-Net (Ronneberger et al., 2015) https://arxiv.org/abs/1505.04597
"""

# Shapes: B batch, Z latents, F features, C H W an image.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.config import check_positive
from genus.errors import ConfigError
from genus.families.adversarial import Adversarial
from genus.families.adversarial_loss import LOSSES
from genus.nn.mirrored import SLOPE
from genus.nn.unet import UNet
from genus.registry import register
from genus.spec import Spec


def enlarged(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a condition at the size of the images: each pixel is repeated."""
    return y if tuple(y.shape[2:]) == size else F.interpolate(y, size, mode="nearest")


class Translator(nn.Module):
    """G(y, z): from a condition and noise to an image.

    Args:
        spec: what is made of what.
        channels: feature maps at full resolution.
        latents: Z.
    """

    def __init__(self, spec: Spec, channels: int, latents: int) -> None:
        super().__init__()
        self.size = (spec.shape[1], spec.shape[2])
        self.net = UNet(
            spec.of_conditions.shape[0], spec.shape[0], self.size, channels=channels, extra=latents
        )

    def forward(self, z_BZ: Tensor, y: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``."""
        out: Tensor = self.net(enlarged(y, self.size), z_BZ)
        return out


class PatchCritic(nn.Module):
    """D(y, x): whether each patch of an image looks real beside the same patch of its condition.

    Args:
        spec: what is made of what.
        channels: feature maps at half the resolution; doubled with every further halving.
        halvings: n; a patch has a side of ``2 ** (n + 2) - 1`` pixels.
    """

    def __init__(self, spec: Spec, channels: int, halvings: int) -> None:
        super().__init__()
        before, layers = spec.shape[0] + spec.of_conditions.shape[0], []
        for after in [channels * 2**i for i in range(halvings)]:
            layers += [nn.Conv2d(before, after, 3, 2, padding=1), nn.LeakyReLU(SLOPE)]
            before = after
        layers += [nn.Conv2d(before, 2 * before, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*layers)
        self.score = nn.Conv2d(2 * before, 1, 1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean score of the patches ``(B,)`` and their mean features ``(B, F)``."""
        h: Tensor = self.body(torch.cat([enlarged(y, (x.shape[2], x.shape[3])), x], 1))
        return self.score(h).mean((1, 2, 3)), h.mean((2, 3))


@register("pix2pix")
class Pix2Pix(Adversarial):
    r"""A U-Net makes the image, and a critic judges patches of it beside the condition.

    .. math:: L_D = E[\log(1 + e^{-D(y, x)})] + E[\log(1 + e^{D(y, G(y, z))})], \qquad
        L_G = E[\log(1 + e^{-D(y, G(y, z))})] + \lambda E\|x - G(y, z)\|_1

    The condition y is whatever the data say that an example is given: a smaller or grey copy of it
    makes an upscaler or a colorizer of the model (``load_data(..., given="downsample:2")``). It may
    be of another size, and is then enlarged to that of the images. The norm is a mean over
    entries of images on -1 .. 1, as in the paper, so that :math:`\lambda = 100` is its weight.

    What differs from the paper: noise is a vector z that joins at the bottom of the U-Net, and not
    dropout, so that a sample is a function of its condition and its noise. Examples are normalised
    by themselves, as the paper's are in batches of one. Sides of any length are halved rounding up,
    doubled by repeating pixels before a convolution, and there is no squashing function at the end
    (see `genus.families.adversarial`). The critic has no normalisation, and its loss is that of the
    mean score of all patches.

    With a weight of 100 the noise changes next to nothing, as the paper found as well: samples of
    one condition are nearly the same.

    Args:
        spec: images of levels with a condition.
        config: see `Pix2Pix.Config`.

    Raises:
        SpecError: other data, or data without a condition.

    Example:
        >>> spec = Spec(shape=(1, 28, 28), levels=256, condition=(1, 14, 14))
        >>> model = Pix2Pix(spec, Pix2Pix.Config(channels=4))
        >>> y = torch.randint(256, (2, 1, 14, 14), generator=torch.Generator().manual_seed(0))
        >>> x = model.sample(2, y=y, generator=torch.Generator().manual_seed(0))
        >>> x.shape, model.score(x, y).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of pix2pix."""

        l1: float = 100.0
        """Weight of the mean distance from the image that the condition belongs to; 0 for none."""
        latents: int = 8
        """Z, the size of the noise."""
        channels: int = 24
        """Feature maps of the generator at full resolution; doubled with every halving, up to
        fourfold."""
        critic_channels: int = 32
        """Feature maps of the critic at half resolution; doubled with every further halving."""
        halvings: int = 2
        """Halvings of the critic, for patches with a side of 7, 15 or 31 pixels for 1, 2 or 3."""
        learning_rate: float = 1e-3
        """Of both players; the paper's 2e-4 goes with batches of one example."""

        def __post_init__(self) -> None:
            names = ("latents", "channels", "critic_channels", "halvings", "learning_rate")
            check_positive(self, *names)
            if not self.l1 >= 0:
                raise ConfigError(f"l1={self.l1} must not be below zero")

    config: Config
    takes_condition = True
    loss = LOSSES["non-saturating"]
    betas = (0.5, 0.999)
    tiny: ClassVar[dict[str, Any]] = {"latents": 4, "channels": 4, "critic_channels": 4}
    features = None  # type: ignore[assignment]  # not to be had of x alone: the critic sees pairs

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.latents, self.l1 = c.latents, c.l1
        self.generator = Translator(spec, c.channels, c.latents)
        self.critic = PatchCritic(spec, c.critic_channels, c.halvings)
        self.learning_rates = (c.learning_rate, c.learning_rate)

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images of levels with images to go by."""
        cls.require(
            spec.condition is not None and spec.is_discrete,
            "images of levels that come with an image to go by, such as load_data(..., "
            'given="downsample:2") or --given downsample:2',
            spec,
        )
