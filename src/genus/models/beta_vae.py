r"""The beta-VAE: latents that each say one thing, because saying anything is dear.

.. math:: \mathbb E_{q(z \mid x)} \log p(x \mid z) - \beta\, \mathrm{KL}(q(z \mid x) \,\|\, p(z))

References:
    | beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework
    | (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.registry import register


@register("beta-vae")
class BetaVAE(VariationalAutoencoder):
    """A variational autoencoder whose divergence weighs more than one.

    The weight is for training. Scores are those of the bound itself, which such a model trades
    for latents that can be read; its likelihood is lower than a `vae`'s.

    Args:
        spec: any data; images may use convolutions.
        config: see `BetaVAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> from genus.spec import Spec
        >>> model = BetaVAE(Spec(shape=(1, 8, 8), levels=2), BetaVAE.Config(latents=2, hidden=16))
        >>> model.features(model.sample(3)).shape, model.options.beta
        (torch.Size([3, 2]), 4.0)
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of the beta-VAE."""

        latents: int = 10
        """Z, the size of the latent vector."""
        beta: float = 4.0
        """Weight of the divergence in the ELBO; above 1 latents say less, each on its own."""

    config: Config
    tiny: ClassVar[dict[str, Any]] = {**VariationalAutoencoder.tiny, "beta": 1.0}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "dsprites": {"latents": 10, "hidden": 1200, "depth": 2, "network": "mlp"}
    }
