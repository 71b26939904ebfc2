r"""A variational autoencoder with a posterior of inverse autoregressive flow.

.. math:: z_0 = \mu(x) + \sigma(x)\, \epsilon, \quad
    z_t = \mu_t(z_{t-1}, h(x)) + \sigma_t(z_{t-1}, h(x)) \odot z_{t-1}, \quad
    \log q(z_T \mid x) = \log N(\epsilon; 0, I) - \sum_t \sum_d \log \sigma_{t,d}

References:
    | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
    | https://arxiv.org/abs/1606.04934
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from genus.distributions.posteriors import PosteriorName
from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.registry import register


@register("iaf-vae")
class IAFVAE(VariationalAutoencoder):
    """A variational autoencoder whose posterior may have any correlations, and several modes.

    Every map depends on the latents before, in an order that is reversed from one to the next, so
    all of them are drawn in one pass for each map.

    Args:
        spec: any data; images may use convolutions.
        config: see `IAFVAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> from genus.spec import Spec
        >>> spec = Spec(shape=(1, 8, 8), levels=2)
        >>> model = IAFVAE(spec, IAFVAE.Config(latents=2, hidden=16, flow_hidden=8))
        >>> model.elbo(model.sample(3)).kl.shape
        torch.Size([3, 1])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of the VAE with inverse autoregressive flow."""

        posterior: PosteriorName = "iaf"
        """The flow, or Gaussians."""
        flow_steps: int = 4
        """Autoregressive maps of the posterior."""

    config: Config
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"latents": 32, "flow_steps": 8, "flow_hidden": 1920}
    }
