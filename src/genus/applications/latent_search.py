r"""Which latents make a given example? A search through a generator, for models without an encoder.

.. math:: \hat z = \arg\max_z \log N(x;\, E[x' \mid z],\, s^2) + \log p(z)

with examples on the scale -1 to 1 (real columns standardised) and s the deviation that counts as a
good fit. What is left, the residual, says how near the model can come to the example at all: a kind
that it has never learned to make keeps a large one.

References:
    | Generative Visual Manipulation on the Natural Image Manifold (Zhu et al., 2016), section 3
    | https://arxiv.org/abs/1609.03552
    | Detecting Overfitting of Deep Generative Networks via Latent Recovery (Webster et al., 2019)
    | https://arxiv.org/abs/1901.03396
"""

# Shapes: N examples, B of them at once, S starts, E latents, D entries of an example.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Decodes, supports
from genus.config import check_positive
from genus.distributions.ordered import OrderedLaw
from genus.errors import ConfigError, SpecError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.nets import Scaler
from genus.registry import able

AT_ONCE = 64
"""Examples searched at a time."""
BETAS = (0.9, 0.99)
"""Of Adam, whose steps have the size of the learning rate whatever the gradient's."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How latents are searched.

    Args:
        starts: S, draws of the prior, of which the nearest to each example is where it begins.
        steps: of Adam from there.
        learning_rate: at first; it falls to zero by a cosine.
        spread: s, a deviation that counts as a good fit; the smaller, the less the prior counts.
        seed: of the starts.
    """

    starts: int = 64
    steps: int = 300
    learning_rate: float = 0.1
    spread: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "starts", "learning_rate", "spread")
        if self.steps < 0:
            raise ConfigError(f"steps={self.steps} must not be below zero")


@dataclass(frozen=True, eq=False)
class Found:
    """Examples as the latents that come nearest to them.

    Args:
        z_NE: the latents.
        mean: ``(N, *shape)`` what they are decoded to, in the unit of the data.
        residual_N: root mean squared difference from the example; a share of the range of levels,
            or of a column's standard deviation where data are real.
        begun_N: the same of the nearest of the draws, where the search began.
    """

    z_NE: Tensor
    mean: Tensor
    residual_N: Tensor
    begun_N: Tensor


def check_searchable(model: Any) -> None:
    """Raise `ConfigError` unless the model decodes latents that its prior draws."""
    if not supports(model, Decodes):
        raise ConfigError(
            f"{model.name} does not decode latents, which projection searches; train a model that "
            f"does: {able(Decodes)}"
        )


def search_latents(
    model: Any,
    x: Tensor,
    *,
    y: Tensor | None = None,
    scaler: Scaler | None = None,
    options: SearchOptions | None = None,
) -> Found:
    """Return the latents that a model needs to come near to examples.

    Every example is searched by itself: what is found does not depend on the others but for the
    last bits of a convolution.

    Args:
        model: one that decodes.
        x: ``(N, *shape)`` examples.
        y: their labels, for a class-conditional model.
        scaler: of the training data, where data are real.
        options: of the search.

    Raises:
        ConfigError: the model does not decode latents, or an option is out of range.
        SpecError: the examples do not fit the model, or labels are missing.

    Example:
        >>> import genus
        >>> spec = genus.Spec(shape=(1, 8, 8), levels=17)
        >>> model = genus.create("gan", spec, latents=4, channels=4, hidden=16)
        >>> x = model.sample(3, generator=torch.Generator().manual_seed(0))
        >>> found = search_latents(model, x, options=SearchOptions(steps=50))
        >>> found.z_NE.shape, bool((found.residual_N <= found.begun_N).all())
        (torch.Size([3, 4]), True)
    """
    options = options or SearchOptions()
    check_searchable(model)
    model.spec.unconditional().check(x)
    _check_labels(model, x, y)
    scaler = Scaler.of(model.spec, x) if scaler is None else scaler
    if not len(x):
        raise SpecError("there are no examples to search latents for")
    parts = []
    with scoring_mode(model) as ready:
        starts_SE = _starts(ready, options)
        if options.steps:
            _check_slope(ready, starts_SE, y)
        for begin in range(0, len(x), AT_ONCE):
            rows = slice(begin, begin + AT_ONCE)
            target_BD = place(ready, scaler(x[rows]).flatten(1))
            y_B = None if y is None else place(ready, y[rows])
            search = _Search(ready, target_BD, y_B, scaler, options)
            parts.append(search.run(starts_SE))
    return Found(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _check_labels(model: Any, x: Tensor, y: Tensor | None) -> None:
    if model.spec.classes is None:
        return
    if y is None:
        raise SpecError(f"this {model.name} is class-conditional; give the labels of the examples")
    model.spec.check_labels(y, len(x))


def _check_slope(model: Any, starts_SE: Tensor, y: Tensor | None) -> None:
    """Raise `ConfigError` if the mean of what is decoded does not lead anywhere."""
    label_1 = None if y is None else place(model, y[:1])
    if isinstance(model.decode(starts_SE[:1], label_1), OrderedLaw):
        raise ConfigError(
            f"this {model.name} draws an example entry after entry, so that its mean has no slope "
            "to search along; take a model with decoder='independent' and without "
            "likelihood='mixture'"
        )


def _starts(model: Any, options: SearchOptions) -> Tensor:
    noise = model.noise(options.starts, torch.Generator().manual_seed(options.seed))
    drawn: Tensor = place(model, model.prior().draw(noise))
    return drawn


class _Search:
    """The search for a few examples at once."""

    def __init__(
        self,
        model: Any,
        target_BD: Tensor,
        y_B: Tensor | None,
        scaler: Scaler,
        options: SearchOptions,
    ) -> None:
        self.model, self.target_BD, self.y_B = model, target_BD, y_B
        self.scaler, self.options = scaler, options
        # What lies beyond the range is shown at its end, which is right where the example is there;
        # elsewhere the gradient has to lead back.
        levels, inf = model.spec.is_discrete, torch.full_like(target_BD, math.inf)
        self.low_BD = torch.where(levels & (target_BD <= -1), target_BD, -inf)
        self.high_BD = torch.where(levels & (target_BD >= 1), target_BD, inf)

    def run(self, starts_SE: Tensor) -> Found:
        """Return the best latents that were passed on the way, the start among them."""
        begun_BE, least_B = self._nearest(starts_SE)
        best_BE, z_BE = begun_BE, begun_BE.clone().requires_grad_()
        adam = torch.optim.Adam([z_BE], lr=self.options.learning_rate, betas=BETAS)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, self.options.steps))
        for _ in range(self.options.steps):
            adam.zero_grad()
            with torch.enable_grad():
                loss_B = self._loss(z_BE)
                (z_BE.grad,) = torch.autograd.grad(loss_B.sum(), z_BE)
            best_BE, least_B = _better(best_BE, least_B, z_BE.detach(), loss_B.detach())
            adam.step()
            cosine.step()
        last_BE = z_BE.detach()
        best_BE, _ = _better(best_BE, least_B, last_BE, self._loss(last_BE))
        mean, begun = (self._mean(z) for z in (best_BE, begun_BE))
        residuals = (self._residual(part).cpu() for part in (mean, begun))
        return Found(best_BE.cpu(), mean.cpu(), *residuals)

    def _nearest(self, starts_SE: Tensor) -> tuple[Tensor, Tensor]:
        """Return the start of each example with the least loss, and that."""
        loss_SB = torch.stack([self._loss(z.expand(len(self.target_BD), -1)) for z in starts_SE])
        least = loss_SB.min(0)
        return starts_SE[least.indices], least.values

    def _loss(self, z_BE: Tensor) -> Tensor:
        r"""Return :math:`|E[x' \mid z] - x|^2 / 2 s^2 - \log p(z)` of each example."""
        scaled_BD = self.scaler(self._mean(z_BE)).flatten(1).clamp(self.low_BD, self.high_BD)
        misfit_B = (scaled_BD - self.target_BD).square().sum(1)
        log_p_B = self.model.prior().log_prob(z_BE)
        loss_B: Tensor = misfit_B / (2 * self.options.spread**2) - log_p_B
        return loss_B

    def _mean(self, z_BE: Tensor) -> Tensor:
        mean: Tensor = self.model.decode(z_BE, self.y_B).mean
        return mean

    def _residual(self, mean: Tensor) -> Tensor:
        """Return the root mean squared difference, as a share of the range where there is one."""
        spec, scaled_BD = self.model.spec, self.scaler(mean).flatten(1)
        if spec.is_discrete:  # from -1 to 1, so the range is 2
            scaled_BD = scaled_BD.clamp(-1, 1)
        unit = 2.0 if spec.is_discrete else 1.0
        left_B: Tensor = (scaled_BD - self.target_BD).norm(dim=1)
        return left_B / (math.sqrt(spec.dims) * unit)


def _better(
    best_BE: Tensor, least_B: Tensor, z_BE: Tensor, loss_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Return of each example whichever latents have the smaller loss."""
    won_B = loss_B < least_B
    return torch.where(won_B[:, None], z_BE, best_BE), torch.where(won_B, loss_B, least_B)
