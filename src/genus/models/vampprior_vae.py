r"""A variational autoencoder whose prior is a mixture of its own posteriors.

.. math:: p(z) = \frac1K \sum_{k=1}^K q_\phi(z \mid u_k), \qquad x \sim p_\theta(x \mid z)

References:
    | VAE with a VampPrior (Tomczak and Welling, 2018)
    | https://arxiv.org/abs/1705.07120
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from genus.distributions.priors import PriorName
from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.registry import register


@register("vampprior-vae")
class VampPriorVAE(VariationalAutoencoder):
    """A variational autoencoder with a prior that is where its posteriors are.

    The pseudo-examples :math:`u_k` are learned with the rest. The standard normal asks of all
    posteriors together to look like one round cloud, and what they do not reach is drawn from
    nevertheless; this prior goes where they are.

    Args:
        spec: any data; images may use convolutions.
        config: see `VampPriorVAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> from genus.spec import Spec
        >>> spec = Spec(shape=(1, 8, 8), levels=2)
        >>> model = VampPriorVAE(spec, VampPriorVAE.Config(latents=2, hidden=16, components=5))
        >>> model.prior().log_prob(model.features(model.sample(3))).shape
        torch.Size([3])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of the VAE with a VampPrior; the paper has 500 pseudo-examples for MNIST."""

        prior: PriorName = "vamp"
        """The mixture of posteriors, or another law of the latents."""
        components: int = 500
        """K, pseudo-examples."""
        warmup: float = 0.05
        """Share of the training over which the weight of the divergence rises from 0."""

    config: Config
    tiny: ClassVar[dict[str, Any]] = {**VariationalAutoencoder.tiny, "warmup": 0.0}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"network": "mlp", "hidden": 300, "depth": 2, "latents": 40, "components": 500}
    }
