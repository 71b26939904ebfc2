"""What `genus train` prints: the configuration of a run, and what it cost and how it scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genus.cli import output
from genus.cli.training_plan import Plan

if TYPE_CHECKING:
    from genus.training import RunResult


def print_plan(plan: Plan, json: bool) -> None:
    """Print what config.json would say."""
    from genus.training.optim import settled
    from genus.training.run_folder import describe

    config = settled(plan.config, plan.model)
    found = {"out": str(plan.out), **describe(plan.model, plan.data, config)}
    if json:
        output.print_json(found)
    else:
        output.tree(found)
    output.next_step("the same without --dry-run")


def print_result(plan: Plan, result: RunResult, json: bool) -> None:
    """Print what the run cost and how it scored."""
    spec = plan.model.spec
    bits, partly = None, getattr(plan.data.valid, "known", None) is not None
    if result.score is not None and spec.is_discrete:
        bits = result.score / math.log(2)
    found = {
        "run": str(result.path),
        "model": plan.model.name,
        "data": {"name": plan.data.name, "digest": plan.data.digest},
        "steps": result.steps,
        "best_step": result.best_step,
        "seconds": dict(result.seconds),
        "parameters": result.parameters,
        "valid": {
            "nats_per_dim": result.score,
            "bits_per_dim": bits,
            "known_entries": partly,
            "frechet_distance": result.distance,
            "frechet_floor": result.floor,
        },
        "rollbacks": result.rollbacks,
        "ended_early": result.ended,
    }
    if json:
        output.print_json(found)
        return
    told = [
        ("run", result.path),
        ("steps", f"{result.steps:,}, weights of step {result.best_step:,} kept"),
        ("time", _times(result.seconds)),
        ("parameters", result.parameters),
        ("valid", _score(plan, result, bits, "known entry" if partly else "dim")),
    ]
    if result.rollbacks:
        ended = f", then ended early because of {result.ended}" if result.ended else ""
        told.append(("rollbacks", f"{result.rollbacks}{ended}"))
    output.pairs(told)


def _score(plan: Plan, result: RunResult, bits: float | None, entry: str) -> str:
    """Return the score on valid with what it is."""
    from genus.capabilities import Energy, EnergyBounded, supports

    if result.distance is not None:
        return (
            f"Frechet distance {result.distance:.4g} in random features (real examples: "
            f"{result.floor:.2g})"
        )
    if result.score is None:
        return "none: this model has no likelihood"
    score = f"{result.score:.4f} nats/{entry}" + (f" = {bits:.4f} bits/{entry}" if bits else "")
    if supports(plan.model, Energy) or supports(plan.model, EnergyBounded):
        score += ", a rough estimate; genus evaluate gives the interval"
    return score


def _times(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{kind} {output.seconds(value)}" for kind, value in seconds.items())
