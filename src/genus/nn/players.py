"""What makes the two networks of a game of any two bodies: where noise, classes and scores go.

References:
    | cGANs with Projection Discriminator (Miyato and Koyama, 2018)
    | https://arxiv.org/abs/1802.05637
"""

# Shapes: B batch, Z latents, F features.
from __future__ import annotations

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """From noise, and the class as a learned vector beside it, to an example.

    Args:
        body: from vectors to examples; of size Z, or 2 Z with classes.
        latents: Z.
        classes: how many there are, if any.
    """

    def __init__(self, body: nn.Module, latents: int, classes: int | None) -> None:
        super().__init__()
        self.embed = nn.Embedding(classes, latents) if classes else None
        self.body = body

    def forward(self, z_BZ: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B, *shape)``."""
        if self.embed is not None:
            z_BZ = torch.cat([z_BZ, self.embed(y)], 1)
        out: Tensor = self.body(z_BZ)
        return out


class Critic(nn.Module):
    """From an example to a score and features; the class enters by an inner product with them.

    Args:
        body: from examples to vectors of size F.
        features: F.
        classes: how many there are, if any.
        score: the layer from features to the score, where it is to be a special one.
    """

    def __init__(
        self, body: nn.Module, features: int, classes: int | None, score: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.body = body
        self.score = nn.Linear(features, 1) if score is None else score
        self.embed = nn.Embedding(classes, features) if classes else None
        if self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return scores ``(B,)`` and features ``(B, F)``."""
        h_BF = self.body(x)
        score_B = self.score(h_BF).squeeze(1)
        if self.embed is not None:
            score_B = score_B + (h_BF * self.embed(y)).sum(1) * h_BF.shape[1] ** -0.5
        return score_B, h_BF
