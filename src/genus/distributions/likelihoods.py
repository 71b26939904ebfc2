"""Which law a network's outputs stand for: the likelihood objects of models over levels."""

# Shapes: ... any event, P parameters of one entry, K levels.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from genus.distributions.gaussian import EntryGaussian
from genus.distributions.level import Bernoulli, Categorical, DiscretizedLogistic, LevelLaw
from genus.errors import SpecError
from genus.spec import Spec

LikelihoodName = Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"]
Law = LevelLaw | EntryGaussian


@dataclass(frozen=True)
class Likelihood:
    """Turns parameters ``(..., P)`` into one law for each entry.

    Args:
        name: "bernoulli" for two levels, "categorical" or "logistic" (discretized) for any
            number, "gaussian" (learned scale) for real numbers.
        spec: what the data are.

    Raises:
        SpecError: this law does not fit such data.

    Example:
        >>> import torch
        >>> law = Likelihood("categorical", Spec(shape=(1, 2, 2), levels=5))
        >>> law.width, law(torch.zeros(3, 1, 2, 2, 5)).mean[0, 0, 0, 0]
        (5, tensor(2.))
    """

    name: LikelihoodName
    spec: Spec

    def __post_init__(self) -> None:
        levels = self.spec.levels
        if self.name == "auto":
            automatic = {None: "gaussian", 2: "bernoulli"}.get(levels, "categorical")
            object.__setattr__(self, "name", automatic)
        fits = {"bernoulli": levels == 2, "gaussian": levels is None}
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
        return 1 if self.name == "bernoulli" else 2

    def __call__(self, parameters: Tensor) -> Law:
        """Return the law of events ``(...)`` from parameters ``(..., P)``, never below float32."""
        exact = parameters if parameters.element_size() > 2 else parameters.float()
        if self.name == "categorical":
            return Categorical(exact)
        if self.name == "bernoulli":
            return Bernoulli(exact.squeeze(-1))
        location, log_scale = exact.unbind(-1)
        if self.name == "gaussian":
            return EntryGaussian(location, log_scale.clamp(min=-7))
        # Raw outputs of order one stand for the middle and a tenth of the range of levels.
        half = (self.spec.levels_or_raise - 1) / 2
        log_scale = (log_scale + math.log(0.2 * half)).clamp(min=-7)
        return DiscretizedLogistic(half * (1 + location), log_scale, self.spec.levels_or_raise)
