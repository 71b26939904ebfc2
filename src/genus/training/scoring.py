"""The score on the valid split by which weights are chosen: always in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.capabilities import Bounded, Density, Energy, EnergyBounded, supports
from genus.spec import Batch, Spec
from genus.training.fidelity import FIELDS, Fidelity
from genus.training.latents import latents_in_use
from genus.training.sampler import generator_of
from genus.training.weights import SCORE

if TYPE_CHECKING:
    from genus.training.session import Session

_ROOM = 2**25
"""Numbers that one batch of logits may hold, 128 MiB."""
BOUND_SAMPLES = 4
"""Samples of each example where the energy itself is bounded."""


def rows_at_once(spec: Spec) -> int:
    """Return how many examples to score together: fewer of large ones, 512 at most."""
    return max(1, min(512, _ROOM // (spec.dims * (spec.levels or 1))))


@torch.no_grad()
def score(session: Session) -> dict[str, float]:
    """Return the mean loss of the valid split, or how far samples are from it.

    Adversarial models have no likelihood and are scored by `genus.training.fidelity`; others
    without one are not scored.

    The examples are always the same, and so is the noise of a bound. With several processes each
    scores a part.

    Returns:
        ``nats_per_dim``: minus the log-likelihood per dimension, or minus the lower bound on it,
        the importance-weighted one (``k`` says with how many samples) where that is climbed;
        where entries are missing, that of the known ones, per known entry;
        for energy models an estimate, with ``nats_per_dim_low`` and ``nats_per_dim_high`` beside
        it, from a bracket of log Z by few and short runs;
        for adversarial models what `Fidelity` measures instead;
        ``kl``: nats per example between posterior and prior, for bounds, and what
        `latents_in_use` says of the first rows; ``rows``: how many examples were scored.
    """
    measure = _measure(session.model)
    split = session.data.splits.get("valid")
    if session.fidelity is not None:
        return _of_samples(session, session.fidelity)
    if measure is None or split is None or not len(split):
        return {}
    chosen = torch.randperm(len(split), generator=generator_of(session.config.seed, 5))
    rows = chosen[: session.config.valid_limit].sort().values
    engine, total = session.engine, torch.zeros(4, dtype=torch.float64)
    mine = rows[engine.rank :: engine.world]
    for index, part in enumerate(torch.split(mine, rows_at_once(session.model.spec))):
        batch = session.to_model(split.batch(part))
        found = measure(session.model, batch, generator_of(session.config.seed, 6, index)).cpu()
        entries = batch.x.numel() if batch.known is None else int(batch.known.sum())
        total += torch.cat((found, found.new_tensor([entries])))
    count, nats, kl, entries = engine.sum(total.to(engine.device)).tolist()
    scores = {SCORE: nats / entries, "rows": count}
    if measure in (_energy, _energy_bound):
        scores |= _normalised(session, scores[SCORE])
    if measure is _bound:
        few = session.to_model(split.batch(rows[: rows_at_once(session.model.spec)]))
        use = latents_in_use(session.model, few, generator_of(session.config.seed, 8))
        samples = _samples_of(session.model)
        scores |= {"kl": kl / count, **use, **({"k": samples} if samples > 1 else {})}
    return scores


def _of_samples(session: Session, fidelity: Fidelity) -> dict[str, float]:
    """Return what the first process finds, on every process."""
    found = fidelity(session.model) if session.engine.is_first else dict.fromkeys(FIELDS, 0.0)
    return dict(zip(FIELDS, session.engine.agree([found[name] for name in FIELDS]), strict=True))


def _normalised(session: Session, energy: float) -> dict[str, float]:
    """Return the score with log Z, bracketed cheaply, given the mean energy per dimension."""
    generator, dims = generator_of(session.config.seed, 7), session.model.spec.dims
    constant = session.model.log_partition(chains=50, steps=300, generator=generator)
    return {
        SCORE: energy + constant.estimate / dims,
        f"{SCORE}_low": energy + constant.lower / dims,
        f"{SCORE}_high": energy + constant.upper / dims,
    }


Measure = Callable[[Any, Batch, torch.Generator], Tensor]


def _measure(model: object) -> Measure | None:
    if supports(model, Density):
        return _density
    if supports(model, Bounded):
        return _bound
    if supports(model, Energy):
        return _energy
    return _energy_bound if supports(model, EnergyBounded) else None


def _density(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of their nats, and nothing."""
    if batch.known is None:
        log_prob = model.log_prob(batch.x, batch.y)
    else:
        log_prob = model.marginal_log_prob(batch.x, batch.known, batch.y)
    nats = -log_prob.double().sum()
    return torch.stack((torch.full_like(nats, len(batch)), nats, torch.zeros_like(nats)))


def _bound(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of their nats, and the sum of their divergences."""
    elbo, samples = model.elbo(batch.x, batch.y, generator=generator), _samples_of(model)
    bound = elbo.value
    if samples > 1:  # weights that are best for it may be worse for the other
        bound = model.iwae(batch.x, samples, batch.y, generator=generator)
    nats = -bound.double().sum()
    return torch.stack((torch.full_like(nats, len(batch)), nats, elbo.kl.double().sum()))


def _samples_of(model: Any) -> int:
    """Return the k of the bound by which weights of a model are chosen."""
    return int(getattr(model, "bound_samples", 1))


def _energy(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of their free energies, and nothing."""
    energy = model.free_energy(batch.x).double().sum()
    return torch.stack((torch.full_like(energy, len(batch)), energy, torch.zeros_like(energy)))


def _energy_bound(model: Any, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return the number of rows, the sum of bounds on their free energies, and nothing."""
    bound = model.free_energy_bound(batch.x, BOUND_SAMPLES, generator=generator)
    energy = bound.double().sum()
    return torch.stack((torch.full_like(energy, len(batch)), energy, torch.zeros_like(energy)))
