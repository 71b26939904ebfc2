"""Which latents a model uses: what tells a posterior collapse early."""

# Shapes: B batch, G groups of latents, Z latents.
from __future__ import annotations

from typing import Any

import torch

from genus.capabilities import Features, supports
from genus.distributions.latent_law import in_use
from genus.spec import Batch


@torch.no_grad()
def latents_in_use(model: Any, batch: Batch, generator: torch.Generator) -> dict[str, float]:
    """Return the divergence of each group of latents, and how many latents are in use.

    Args:
        model: has an evidence lower bound.
        batch: held-out examples.
        generator: source of the posterior's draws.

    Returns:
        ``kl_1``, ``kl_2``, ... in nats per example where there are several groups; ``active`` and
        ``latents``, numbers of latents, for models whose features are the posterior's mean.
    """
    kl_G = model.elbo(batch.x, batch.y, generator=generator).kl.double().mean(0)
    found = {f"kl_{g + 1}": float(kl) for g, kl in enumerate(kl_G)} if len(kl_G) > 1 else {}
    if supports(model, Features) and len(batch) > 1:
        variance_Z = model.features(batch.x).double().var(0, correction=0)
        found |= {"active": float(in_use(variance_Z)), "latents": float(len(variance_Z))}
    return found
