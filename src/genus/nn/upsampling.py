"""From a small map to a large one.

References:
    | Pixel Recurrent Neural Networks, section 3.6 (van den Oord et al., 2016)
    | https://arxiv.org/abs/1601.06759
"""

# Shapes: B batch, I input features, G output features, h w the small map, H W the large one.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Upsampling(nn.Module):
    """A map of a large image from every s-th pixel of it: convolutions and a deconvolution.

    The convolutions are dilated by 1, 2, 4 and so on, so that every place of the map knows the
    whole small image.

    Args:
        inputs: features of the small image.
        features: of the map, and in between.
        scale: s, pixels of the large image for one of the small, along either side.
        reach: the longer side of the small image.

    Example:
        >>> Upsampling(3, 8, scale=2, reach=4)(torch.zeros(1, 3, 3, 4), 5, 8).shape
        torch.Size([1, 8, 5, 8])
    """

    def __init__(self, inputs: int, features: int, scale: int, reach: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(inputs, features, 3, padding=1)
        dilations = [2**k for k in range((reach - 1).bit_length())]
        self.wider = nn.ModuleList(
            nn.Conv2d(features, features, 3, padding=step, dilation=step) for step in dilations
        )
        # The kernel is centred on where the pixel was taken from, and reaches the next one.
        self.up = nn.ConvTranspose2d(
            features,
            features,
            2 * scale + 1,
            stride=scale,
            padding=scale,
            output_padding=scale - 1,
        )

    def forward(self, x_BIhw: Tensor, height: int, width: int) -> Tensor:
        """Return the map ``(B, G, H, W)``, not more than s times as large."""
        h_BGhw = self.inward(x_BIhw).contiguous(memory_format=torch.channels_last)
        for convolution in self.wider:
            h_BGhw = h_BGhw + convolution(F.silu(h_BGhw))
        out_BGHW = F.silu(self.up(F.silu(h_BGhw)))[:, :, :height, :width]
        return out_BGHW.contiguous(memory_format=torch.channels_last)
