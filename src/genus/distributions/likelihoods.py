"""Which law a network's outputs stand for: the likelihood objects of models over levels."""

# Shapes: ... any event, P parameters of one entry, K levels.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from genus.distributions.entry_mixture import EntryMixture
from genus.distributions.gaussian import EntryGaussian
from genus.distributions.level import Bernoulli, Categorical, DiscretizedLogistic, LevelLaw
from genus.distributions.logistic_mixture import LogisticMixture
from genus.errors import SpecError
from genus.spec import Spec

LikelihoodName = Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"]
Law = LevelLaw | LogisticMixture | EntryGaussian | EntryMixture


@dataclass(frozen=True)
class Likelihood:
    """Turns parameters ``(..., P)`` into one law for each entry.

    Args:
        name: "bernoulli" for two levels, "categorical" or "logistic" (discretized) for any
            number, "gaussian" (learned scale) for real numbers. "gaussian-mixture" is for models
            of real numbers that give its parameters in the unit of the data, as they are to be:
            all logits, then all locations, then all log scales.
        spec: what the data are.
        components: how many Gaussians a mixture has.

    Raises:
        SpecError: this law does not fit such data.

    Example:
        >>> import torch
        >>> law = Likelihood("categorical", Spec(shape=(1, 2, 2), levels=5))
        >>> law.width, law(torch.zeros(3, 1, 2, 2, 5)).mean[0, 0, 0, 0]
        (5, tensor(2.))
    """

    name: LikelihoodName | Literal["gaussian-mixture"]
    spec: Spec
    components: int = 1

    def __post_init__(self) -> None:
        levels = self.spec.levels
        if self.name == "auto":
            automatic = {None: "gaussian", 2: "bernoulli"}.get(levels, "categorical")
            object.__setattr__(self, "name", automatic)
        real = levels is None
        fits = {"bernoulli": levels == 2, "gaussian": real, "gaussian-mixture": real}
        if not fits.get(self.name, levels is not None):
            raise SpecError(
                f"likelihood={self.name!r} does not fit data with levels={levels}; choose "
                "bernoulli (2 levels), categorical or logistic (any levels) or gaussian (None)"
            )

    @property
    def width(self) -> int:
        """P, the number of parameters of one entry."""
        if self.name == "categorical":
            return self.spec.levels_or_raise
        widths = {"bernoulli": 1, "gaussian-mixture": 3 * self.components}
        return widths.get(self.name, 2)

    def __call__(self, parameters: Tensor) -> Law:
        """Return the law of events ``(...)`` from parameters ``(..., P)``, never below float32."""
        exact = parameters if parameters.element_size() > 2 else parameters.float()
        if self.name == "categorical":
            return Categorical(exact)
        if self.name == "bernoulli":
            return Bernoulli(exact.squeeze(-1))
        if self.name == "gaussian-mixture":
            return EntryMixture(*exact.chunk(3, -1))
        location, log_scale = exact.unbind(-1)
        if self.name == "gaussian":
            return EntryGaussian(location, log_scale.clamp(-7, 15))  # finite in float32
        # Raw outputs of order one stand for the middle and a tenth of the range of levels.
        half = (self.spec.levels_or_raise - 1) / 2
        log_scale = (log_scale + math.log(0.2 * half)).clamp(min=-7)
        return DiscretizedLogistic(half * (1 + location), log_scale, self.spec.levels_or_raise)
