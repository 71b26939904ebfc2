"""A log-likelihood that says what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["exact", "lower bound", "upper bound", "estimate", "n/a"]


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """Nats per example, with their kind.

    Args:
        nats: ``(N,)`` log-likelihood of each example in nats; empty when there is none to be had.
        kind: "exact", "lower bound" (ELBO, IWAE), "upper bound", "estimate" (AIS), or "n/a"
            (adversarial models: no density, and never a Parzen window).
        samples: how many samples a bound or an estimate used for each example.
        interval: where the mean may lie, as far as a constant common to all examples is known (the
            partition function of an energy model), or None where there is none.

    Example:
        >>> score = LogLikelihood(np.array([-2.0, -4.0]), "exact")
        >>> score.mean, score.standard_error
        (-3.0, 1.0)
    """

    nats: npt.NDArray[np.float64]
    kind: Kind
    samples: int | None = None
    interval: tuple[float, float] | None = None

    @classmethod
    def not_available(cls) -> LogLikelihood:
        """Return the likelihood of a model that has none."""
        return cls(np.empty(0), "n/a")

    @property
    def mean(self) -> float:
        """Mean over examples, in nats; NaN when there is none."""
        return float(self.nats.mean()) if self.nats.size else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, in nats; NaN for one example or an impossible one."""
        if self.nats.size < 2 or not np.isfinite(self.nats).all():
            return math.nan
        return float(self.nats.std(ddof=1) / math.sqrt(self.nats.size))

    @property
    def constant_error(self) -> float:
        """Standard error of the common constant, of which two reach to the interval's ends."""
        return 0.0 if self.interval is None else (self.interval[1] - self.interval[0]) / 4

    @property
    def label(self) -> str:
        """The kind as a table prints it, for instance ``lower bound (k=64)``."""
        return self.kind if self.samples is None else f"{self.kind} (k={self.samples})"
