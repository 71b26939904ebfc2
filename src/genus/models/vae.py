r"""The variational autoencoder: amortised inference by stochastic gradients (SGVB).

.. math:: z \sim \mathcal N(0, I), \quad x \sim p_\theta(x \mid z), \quad
    q_\phi(z \mid x) = \mathcal N(\mu_\phi(x), \operatorname{diag} \sigma_\phi^2(x))

References:
    | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
    | https://arxiv.org/abs/1312.6114
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.registry import register


@register("vae")
class VAE(VariationalAutoencoder):
    """An encoder, a standard normal prior and a decoder, trained by the evidence lower bound.

    Prior, posterior and objective can be exchanged: the family's other models are this one with
    other choices.

    Args:
        spec: any data; images may use convolutions.
        config: see `VAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> from genus.spec import Spec
        >>> model = VAE(Spec(shape=(1, 8, 8), levels=17), VAE.Config(latents=2, hidden=16))
        >>> x = model.sample(3)
        >>> bool((model.iwae(x, 64) <= 0).all()), model.elbo(x).kl.shape
        (True, torch.Size([3, 1]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of the variational autoencoder."""

    config: Config
    representative = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
