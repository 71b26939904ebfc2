"""Criteria that weigh a likelihood against the number of parameters that it took."""

# Shapes: N examples.
from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from genus.capabilities import Marginalises, supports
from genus.errors import DataError
from genus.families.base import DensityModel
from genus.spec import Batch


class Criteria(DensityModel):
    """A density that knows how many of its parameters are free.

    The criteria are for the data that a model was fitted to by maximum likelihood: where there are
    pseudo-examples or a floor, fewer parameters are free than are counted.
    """

    def free_parameters(self) -> int:
        """Return how many numbers a fit is free to choose, those of the class prior included."""
        raise NotImplementedError(f"{type(self).__name__} must write free_parameters()")

    def aic(self, data: Any) -> float:
        r"""Return Akaike's criterion, :math:`2 q - 2 \sum_n \log p(x_n)`; lower is better.

        Args:
            data: examples ``(N, *shape)``, a batch or a split; where they have labels and the
                model has classes, what is scored is p(x, y).

        Raises:
            DataError: there are no examples.

        References:
            | A new look at the statistical model identification (Akaike, 1974)
        """
        nats, _ = self._log_likelihood(data)
        return 2 * self.free_parameters() - 2 * nats

    def bic(self, data: Any) -> float:
        r"""Return the Bayesian criterion, :math:`q \log N - 2 \sum_n \log p(x_n)`.

        Args:
            data: as for `aic`.

        Raises:
            DataError: there are no examples.

        References:
            | Estimating the dimension of a model (Schwarz, 1978)
        """
        nats, count = self._log_likelihood(data)
        return self.free_parameters() * math.log(count) - 2 * nats

    @torch.no_grad()
    def _log_likelihood(self, data: Any, rows: int = 256) -> tuple[float, int]:
        """Return the log-likelihood of all examples, and how many there are."""
        x, y = (data, None) if isinstance(data, Tensor) else (data.x, data.y)
        batch = Batch(x, y if self.spec.classes else None, getattr(data, "known", None))
        total = 0.0
        if not len(batch):
            raise DataError("a criterion needs at least one example")
        for start in range(0, len(batch), rows):
            part = batch[slice(start, start + rows)].to(self.device)
            total += float(self._part_log_prob(part).double().sum())
            if part.y is not None:
                total += float(self.log_prior_Y.double()[part.y].sum())
        return total, len(batch)

    def _part_log_prob(self, part: Batch) -> Tensor:
        """Return the log-likelihood of what is known of each example."""
        if part.known is None:
            return self.log_prob(part.x, part.y)
        if not supports(self, Marginalises):
            raise DataError(f"{self.name} cannot score examples with missing entries")
        nats_B: Tensor = cast(Marginalises, self).marginal_log_prob(part.x, part.known, part.y)
        return nats_B
