r"""M2: a variational autoencoder with the class as a latent that some examples show.

.. math:: y \sim p(y), \quad z \sim \mathcal N(0, I), \quad x \sim p_\theta(x \mid y, z), \quad
    q_\phi(y, z \mid x) = q_\phi(y \mid x)\, q_\phi(z \mid x, y)

With :math:`\mathcal L(x, y)` the bound on :math:`\log p(x, y)`, an example with a label adds
:math:`w \mathcal L(x, y) + \alpha \log q_\phi(y \mid x)`, one without

.. math:: \mathcal U(x) = \sum_y q_\phi(y \mid x) \big(\mathcal L(x, y) - \log q_\phi(y \mid x)\big)
    \le \log p(x)

The sum over classes is exact; no class is drawn.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma et al., 2014)
    | https://arxiv.org/abs/1406.5298
"""

# Shapes: B batch, L of them labelled, U without, C H W an image, E latents, Y classes.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.capabilities import Elbo
from genus.errors import ConfigError
from genus.families.bound_loss import elbo_loss
from genus.families.variational import VariationalAutoencoder, VariationalOptions
from genus.nn.coders import ImageEncoder, perceptron
from genus.random import Noise
from genus.registry import register
from genus.spec import Batch, Spec


@register("m2")
class M2(VariationalAutoencoder):
    r"""A class-conditional variational autoencoder that learns from examples without labels too.

    The classifier :math:`q(y \mid x)` is what ``class_log_prob`` gives and ``features`` average
    by. A label of -1 says that an example has none; `genus.load_data` with ``labelled`` hides
    labels so. Where all examples have labels it is a conditional autoencoder with a classifier
    beside it.

    Args:
        spec: data with classes.
        config: see `M2.Config`.

    Raises:
        SpecError: the data have no classes, or the likelihood or the network does not fit them.

    Example:
        >>> import torch
        >>> from genus.spec import Spec
        >>> model = M2(Spec(shape=(8,), levels=2, classes=3), M2.Config(latents=2, hidden=16))
        >>> x = model.sample(5, y=torch.tensor([0, 1, 2, 2, 1]))
        >>> model.class_log_prob(x).shape, model.elbo(x).kl.shape  # of z, and of the class
        (torch.Size([5, 3]), torch.Size([5, 2]))
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(VariationalOptions):
        """Options of M2."""

        objective: Literal["elbo"] = "elbo"
        """The bound that is climbed; M2 has the evidence lower bound alone."""
        network: Literal["auto", "mlp", "conv"] = "mlp"
        """Perceptrons or convolutions; every class of an example without a label takes a pass."""
        shown: float = 0.01
        """w, weight of the bound of a labelled example, which is seen far more often."""
        dropout: float = 0.3
        """Share of hidden units dropped in training: few labels are soon learnt by heart."""
        alpha: float = 10.0
        """Weight of log q(y | x) of a labelled example, beside a bound of weight 1."""

        def __post_init__(self) -> None:
            super().__post_init__()
            weights = {"alpha": self.alpha, "shown": self.shown}
            wrong = [f"{k}={v} must not be below zero" for k, v in weights.items() if not v >= 0]
            if self.samples != 1:
                wrong.append(
                    f"samples={self.samples} must be 1: each class of an example has a draw"
                )
            if wrong:
                raise ConfigError("; ".join(wrong))

    config: Config
    semi_supervised = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"network": "mlp", "hidden": 500, "depth": 1, "latents": 50}
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, classes = self.config, spec.classes or 0
        self.classifier: nn.Module
        if self.convolutional:
            self.classifier = ImageEncoder(spec.shape, 0, classes, c.features, c.dropout)
        else:
            self.classifier = perceptron([spec.dims, *[c.hidden] * c.depth, classes], c.dropout)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return nothing: the defaults are for few labels, whatever the number of examples."""
        return {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless there are classes."""
        cls.require(spec.classes is not None, "data with classes (labels of some examples)", spec)

    @property
    def trained_bound(self) -> None:
        """No bound alone is descended: the classifier's term is no part of one."""
        return None

    def class_log_prob(self, x: Tensor) -> Tensor:
        r"""Return ``(B, Y)``, :math:`\log q(y \mid x)` of the classifier.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        self.check_inputs(x, None)
        u = self.standardised(x)
        if self.convolutional:
            logits_BY = self.classifier(u, u.new_zeros(len(u), 0))
        else:
            logits_BY = self.classifier(u.flatten(1))
        law: Tensor = logits_BY.to(self.dtype).log_softmax(1)
        return law

    def _class_law(self, x: Tensor) -> Tensor:
        return self.class_log_prob(x)

    def _class_share(self, x: Tensor) -> Tensor:
        return self.class_log_prob(x).exp()

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        x, y_B = batch.x, batch.y
        self.require(y_B is not None, "labels in training, -1 for an example without", self.spec)
        assert y_B is not None
        eps_B1E, shown_B = noise.normal(1, self.latent_size), y_B >= 0
        found, weights = [], []
        if bool(shown_B.any()):
            found.append(self._labelled_elbo(x[shown_B], y_B[shown_B], eps_B1E[shown_B]))
            weights.append(self.config.shown * len(found[-1].kl))
        if not bool(shown_B.all()):
            found.append(self._elbo(x[~shown_B], None, eps_B1E[~shown_B]))
            weights.append(len(found[-1].kl))
        nats = sum(w * self._descended(part) for w, part in zip(weights, found, strict=True))
        told = self._classifier_loss(x[shown_B], y_B[shown_B])
        loss = nats / max(sum(weights), 1e-9) + self.config.alpha * told["classifier"]
        kl_B = torch.cat([part.kl.sum(1) for part in found])
        return {
            "loss": loss / self.spec.dims,
            "reconstruction": torch.cat([part.reconstruction for part in found]).mean().detach(),
            "kl": kl_B.mean().detach(),
            **{name: value.detach() for name, value in told.items()},
        }

    def _descended(self, bound: Elbo) -> Tensor:
        """Return minus the mean bound in nats, its divergence weighed as the options say."""
        terms = bound.reconstruction.unsqueeze(1), bound.kl.unsqueeze(1)
        return elbo_loss(*terms, self.options, self.progress)

    def _labelled_elbo(self, x: Tensor, y_L: Tensor, eps_L1E: Tensor) -> Elbo:
        """Return the bound on log p(x, y); what the class costs is -log p(y)."""
        given = self._conditional_elbo(x, y_L, eps_L1E)
        cost_L1 = -self.log_prior_Y[y_L].unsqueeze(1)
        return Elbo(given.reconstruction, torch.cat([given.kl, cost_L1], 1))

    def _classifier_loss(self, x: Tensor, y_L: Tensor) -> dict[str, Tensor]:
        """Return -log q(y | x) of labelled examples and the share told right; 0 without any."""
        if not len(y_L):
            nothing = torch.zeros((), device=self.device, dtype=self.dtype)
            return {"classifier": nothing, "right": nothing}
        law_LY = self.class_log_prob(x)
        right_L = law_LY.argmax(1) == y_L
        return {"classifier": F.nll_loss(law_LY, y_L), "right": right_L.to(self.dtype).mean()}
