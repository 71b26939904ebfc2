r"""PixelCNN++: two streams at three resolutions, and a mixture of logistics over whole pixels.

.. math:: p(x) = \prod_i p(x_i \mid x_{<i}), \qquad
    p(x_i \mid x_{<i}) = \sum_m \pi_m(x_{<i}) \prod_c P_m(x_{i,c} \mid x_{i,<c}, x_{<i})

References:
    | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
    | Modifications (Salimans et al., 2017), https://arxiv.org/abs/1701.05517
"""

# Shapes: B batch, C colours, H height, W width, F features.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.config import check_positive, check_share
from genus.families.base import evaluating
from genus.families.whole_pixel import PixelLaw, WholePixelNetwork
from genus.nn.cursor import Cursor, as_pixel
from genus.nn.position import PositionBias
from genus.nn.two_streams import Hints, TwoStreams
from genus.nn.weight_norm import NormedPixelConv2d, NormedRowConv2d, initialising
from genus.registry import register
from genus.spec import Batch, Spec


@register("pixelcnn++")
class PixelCNNPlusPlus(WholePixelNetwork):
    """A vertical and a horizontal stream of gated residual blocks, down and up again.

    A pixel sees all pixels before it, without a blind spot, and its colours see each other through
    the mixture alone, so the network runs once for a pixel. Weights are normalised, and their
    lengths are set by the first batch (`initialise`).

    Args:
        spec: images ``(C, H, W)`` with levels, of any size.
        config: see `PixelCNNPlusPlus.Config`.

    Raises:
        SpecError: the data are not images with levels.

    Example:
        >>> config = PixelCNNPlusPlus.Config(features=8, blocks=1, resolutions=2, mixtures=2)
        >>> model = PixelCNNPlusPlus(Spec(shape=(3, 4, 5), levels=256), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of PixelCNN++."""

        features: int = 32
        """Features of a map at every resolution."""
        blocks: int = 2
        """Gated residual blocks of either stream, at each resolution, down and up again."""
        resolutions: int = 3
        """How often the map is there, each half as large as the one before; 1 never halves it."""
        mixtures: int = 10
        """Components of the mixture."""
        positions: bool = True
        """Learn a bias for each row and each column of the image; the paper has none."""
        dropout: float = 0.0
        """Share of features dropped in each block in training; 0.5 for CIFAR-10 in the paper."""
        likelihood: PixelLaw = "auto"
        """A "mixture" of logistics, "categorical" (free), or "auto": free for two levels only."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "blocks", "resolutions", "mixtures")
            check_share(self, "dropout")

    config: Config
    learning_rate = 3e-3
    tiny: ClassVar = {"features": 6, "blocks": 1, "resolutions": 2, "mixtures": 2}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"features": 192, "blocks": 5, "positions": False, "dropout": 0.5},
        "cifar10-small": {"features": 64, "blocks": 2, "dropout": 0.1},
        "mnist": {"features": 64, "blocks": 2, "dropout": 0.1},
    }
    """Section 3 for "cifar10"; the paper has no other table, and the other two are ours."""

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        config, inputs = self.config, spec.shape[0] + 1
        features = config.features
        self.above = NormedRowConv2d(inputs, features, (2, 3), strict=True)
        size = features, *spec.shape[1:]
        self.position = PositionBias(*size) if config.positions else None
        self.above_beside = NormedRowConv2d(inputs, features, (1, 3), strict=True)
        self.left = NormedPixelConv2d(inputs, features, (2, 1), strict=True)
        self.streams = TwoStreams(
            features, config.blocks, config.resolutions, spec.classes, config.dropout
        )
        self.build_law(features, config.likelihood, config.mixtures)

    @torch.no_grad()
    def initialise(self, batch: Batch, given_BGHW: Tensor | None = None) -> None:
        """Set the lengths of all weights so that a first batch comes out with unit variance."""
        y = None if self.spec.classes is None else batch.y
        with evaluating(self), initialising(self):
            self.parameters_of(self.scaled(batch.x.to(self.device)), y, None, given_BGHW)

    def biased(self) -> tuple[int, Sequence[int]]:
        """Return the features of a map, and one bias for each block of the vertical stream."""
        return self.config.features, self.streams.biased()

    def maps(
        self,
        u_BCHW: Tensor,
        y_B: Tensor | None,
        cursor: Cursor | None = None,
        given_BGHW: Tensor | None = None,
    ) -> Tensor:
        """Return the features ``(B, F, H, W)`` of the horizontal stream."""
        # A map is told to the vertical stream, which tells the horizontal one in every block.
        told = self.told(cursor, given_BGHW)
        if cursor is None:
            # Features last in memory throughout: one layout change here, or one in every sum.
            marked = with_ones(u_BCHW).contiguous(memory_format=torch.channels_last)
            hints = self._rows(marked, y_B, told)
            x_BFHW = self.above_beside(marked) + self.left(marked)
            return F.elu(self.streams.pixels(x_BFHW, hints, y_B))

        def compute() -> list[Tensor]:
            marked_BI1W = with_ones(cursor.above(u_BCHW))
            hints = self._rows(marked_BI1W, y_B, told, cursor)
            return [row.squeeze(2) for row in (self.above_beside(marked_BI1W, cursor), *hints[0])]

        beside_BF, *own = cursor.once_a_row(self, compute)
        x_BF = beside_BF + self.left.step(with_ones(u_BCHW).flatten(1), cursor)
        return as_pixel(F.elu(self.streams.step(x_BF, own, y_B, cursor)))

    def _rows(
        self,
        marked_BIHW: Tensor,
        y_B: Tensor | None,
        told: Sequence[Tensor],
        cursor: Cursor | None = None,
    ) -> Hints:
        """Return what the vertical stream tells the horizontal one."""
        v_BFHW = self.above(marked_BIHW, cursor)
        if self.position is not None:  # told to one stream, known to both
            v_BFHW = self.position(v_BFHW, cursor)
        return self.streams.rows(v_BFHW, y_B, cursor, told)[1]

    def remember(self, u_BC11: Tensor, cursor: Cursor) -> None:
        """Take in the pixel: only the horizontal stream's first layer asks for it at once."""
        self.left.remember(with_ones(u_BC11).flatten(1), cursor)


def with_ones(u_BCHW: Tensor) -> Tensor:
    """Return ``(B, C + 1, H, W)``, with a map of ones that tells an image from its padding."""
    return torch.cat([u_BCHW, torch.ones_like(u_BCHW[:, :1])], 1)
