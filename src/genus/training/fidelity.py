r"""How far samples are from the valid split: the score of models without a likelihood.

The Frechet distance between samples and as many valid examples, in the features of a network of
fixed random weights: no labels, no download, no training. Noise and examples are always the same,
so that two moments of a run differ by the model alone. The test split is not read.

References:
    | GANs Trained by a Two Time-Scale Update Rule (Heusel et al., 2017)
    | https://arxiv.org/abs/1706.08500
    | Reliable Fidelity and Diversity Metrics (Naeem et al., 2020): random networks
    | https://arxiv.org/abs/2002.09797
"""

# Shapes: N examples, D features.
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.training.sampler import generator_of

if TYPE_CHECKING:
    from genus.data.base import DataSet
    from genus.training.config import TrainConfig

MOST, LEAST = 1000, 200
"""Samples of one evaluation."""
_SCALE_ROWS = 2000
FIELDS = ("frechet_distance", "frechet_floor", "rows", "feature_spread", "distinct")
"""What is measured, in this order."""


def samples_for(config: TrainConfig, per_step: int, valid: int) -> int:
    """Return how many samples an evaluation takes.

    Under a budget of steps no more than were generated in training since the last one: a sample
    costs about a tenth of one in training, forth and back through both players. Under a time
    budget the next evaluation waits instead, see `Session.evaluated`. So evaluation stays near a
    tenth of the training, and their number does not depend on a clock.

    Args:
        config: budget, interval and size of a batch.
        per_step: updates of all players in a step.
        valid: examples of the valid split.
    """
    most = MOST
    if config.steps is not None:
        assert config.batch_size is not None
        most = int(config.evaluation_interval) * per_step * config.batch_size
    return min(max(LEAST, min(MOST, most)), valid, config.valid_limit)


class Fidelity:
    """Compares samples of a model with the valid split, in random features.

    Args:
        data: the data; train fixes the unit of the features, valid is compared with.
        n: how many samples, and how many valid examples.
        seed: of the choice of the examples, and of the noise of the samples.
    """

    def __init__(self, data: DataSet, n: int, seed: int) -> None:
        self.data, self.n, self.seed = data, n, seed
        self._reference: tuple[Any, Tensor, Tensor | None] | None = None

    def _ready(self) -> tuple[Any, Tensor, Tensor | None]:
        """Return the network, the features ``(N, D)`` of valid examples, and their conditions."""
        if self._reference is None:
            # Evaluation knows training, so at the top of the file this import would be a circle.
            from genus.evaluation.features import random_net

            data = self.data
            train = data.train.batch(_some(len(data.train), _SCALE_ROWS, self.seed))
            net = random_net(data.spec, train.x)
            valid = data.valid.batch(_some(len(data.valid), self.n, self.seed))
            self._reference = net, net(valid.x), valid.y
        return self._reference

    def __call__(self, model: Any) -> dict[str, float]:
        """Return the distance and what tells a collapse, for a model in evaluation mode.

        Returns:
            ``frechet_distance``: infinity where a sample is not finite; ``frechet_floor``: what
            as many real examples would get on average; ``rows``: how many samples;
            ``feature_spread``: deviation of the samples as a share of that of the data;
            ``distinct``: how far a sample is from the nearest other one, on average, as a share
            of the same for the data.
        """
        net, real_ND, y_N = self._ready()
        y = y_N.to(model.device) if model.spec.is_conditional and y_N is not None else None
        x = model.sample(self.n, y=y, generator=generator_of(self.seed, 9)).cpu()
        if not bool(x.isfinite().all()):
            return dict(zip(FIELDS, (math.inf, 0.0, float(self.n), 1.0, 1.0), strict=True))
        return compared(net(x), real_ND)


def compared(fake_ND: Tensor, real_ND: Tensor) -> dict[str, float]:
    """Return what `Fidelity` measures, from features ``(N, D)`` of samples and of real examples."""
    from genus.evaluation.frechet import Moments, frechet_distance, null_floor

    fake, real = Moments.of(fake_ND), Moments.of(real_ND)
    spread = _share(float(fake.covariance.trace()), float(real.covariance.trace()))
    values = (
        frechet_distance(fake, real),
        null_floor(real.covariance, len(fake_ND), len(real_ND)),
        float(len(fake_ND)),
        math.sqrt(spread),
        _share(_to_nearest(fake_ND), _to_nearest(real_ND)),
    )
    return dict(zip(FIELDS, values, strict=True))


def _to_nearest(features_ND: Tensor) -> float:
    """Return the mean distance of an example from the one that is nearest to it."""
    distance_NN = torch.cdist(features_ND, features_ND)
    distance_NN.fill_diagonal_(math.inf)
    return float(distance_NN.amin(1).mean())


def _share(part: float, whole: float) -> float:
    """Return a ratio; 1 where the data themselves do not vary, so that nothing can be said."""
    return part / whole if whole > 0 else 1.0


def _some(count: int, n: int, seed: int) -> Tensor:
    """Return ``n`` of ``count`` rows at most, in order, always the same ones."""
    return torch.randperm(count, generator=generator_of(seed, 5))[:n].sort().values
