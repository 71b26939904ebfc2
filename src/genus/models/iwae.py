r"""The importance-weighted autoencoder: a tighter bound, from several draws for each example.

.. math:: \log p(x) \ge \mathbb E_{z_1 \dots z_k \sim q(z \mid x)}
    \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}

References:
    | Importance Weighted Autoencoders (Burda et al., 2016)
    | https://arxiv.org/abs/1509.00519
    | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019)
    | https://arxiv.org/abs/1810.04152
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.registry import register


@register("iwae")
class IWAE(VariationalAutoencoder):
    """A variational autoencoder that is trained by the importance-weighted bound.

    A draw that explains the example badly costs little as long as another explains it well, so the
    posterior may be wider than the encoder can say, and more latents stay in use. With many draws
    the signal of the encoder's gradient drowns in noise; "dreg" gives the same gradient with less.

    Args:
        spec: any data; images may use convolutions.
        config: see `IWAE.Config`.

    Raises:
        SpecError: the likelihood or the network does not fit the data.

    Example:
        >>> from genus.spec import Spec
        >>> model = IWAE(Spec(shape=(1, 8, 8), levels=2), IWAE.Config(latents=2, hidden=16))
        >>> model.iwae(model.sample(3), 50).shape, model.options.samples
        (torch.Size([3]), 50)
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of the importance-weighted autoencoder; the paper has up to 50 draws."""

        objective: Literal["elbo", "iwae", "dreg"] = "iwae"
        """The bound that is climbed, or that with doubly reparameterised gradients."""
        samples: int = 50
        """k, draws for each example and step."""

    config: Config
    tiny: ClassVar[dict[str, Any]] = {**VariationalAutoencoder.tiny, "samples": 3}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"network": "mlp", "hidden": 200, "depth": 2, "latents": 50}
    }
