"""The score on the valid split by which weights are chosen: always in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Density, supports
from genus.spec import Batch, Spec
from genus.training.sampler import generator_of
from genus.training.weights import SCORE

if TYPE_CHECKING:
    from genus.training.session import Session

_ROOM = 2**25
"""Numbers that one batch of logits may hold, 128 MiB."""


def rows_at_once(spec: Spec) -> int:
    """Return how many examples to score together: fewer of large ones, 512 at most."""
    return max(1, min(512, _ROOM // (spec.dims * (spec.levels or 1))))


@torch.no_grad()
def score(session: Session) -> dict[str, float]:
    """Return the mean loss of the valid split, or nothing for models without a likelihood.

    The examples are always the same, and so is the noise of a bound. With several processes each
    scores a part.

    Returns:
        ``nats_per_dim``: minus the log-likelihood per dimension, or minus the lower bound on it;
        ``kl``: nats per example between posterior and prior, for bounds; ``rows``: how many
        examples were scored.
    """
    measure = _measure(session.model)
    split = session.data.splits.get("valid")
    if measure is None or split is None or not len(split):
        return {}
    chosen = torch.randperm(len(split), generator=generator_of(session.config.seed, 5))
    rows = chosen[: session.config.valid_limit].sort().values
    engine, total = session.engine, torch.zeros(3, dtype=torch.float64)
    mine = rows[engine.rank :: engine.world]
    for index, part in enumerate(torch.split(mine, rows_at_once(session.model.spec))):
        batch = session.to_model(split.batch(part))
        total += measure(session.model, batch, generator_of(session.config.seed, 6, index)).cpu()
    count, nats, kl = engine.sum(total.to(engine.device)).tolist()
    scores = {SCORE: nats / count / session.model.spec.dims, "rows": count}
    return scores | ({"kl": kl / count} if measure is _bound else {})


Measure = Callable[[Any, Batch, torch.Generator], Tensor]


def _measure(model: object) -> Measure | None:
    if supports(model, Density):
        return _density
    return _bound if supports(model, Bounded) else None


def _density(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of their nats, and nothing."""
    nats = -model.log_prob(batch.x, batch.y).double().sum()
    return torch.stack((torch.full_like(nats, len(batch)), nats, torch.zeros_like(nats)))


def _bound(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of their nats, and the sum of their divergences."""
    elbo = model.elbo(batch.x, batch.y, generator=generator)
    nats = -elbo.value.double().sum()
    return torch.stack((torch.full_like(nats, len(batch)), nats, elbo.kl.double().sum()))
