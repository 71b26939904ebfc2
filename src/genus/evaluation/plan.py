"""What a comparison is about to do: checked before any time is spent, and kept in its folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.errors import ConfigError, DataError, near, raise_all
from genus.evaluation.cache import write_atomic
from genus.evaluation.drawing import default_count
from genus.evaluation.outcome import Settings

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.training import TrainConfig

Options = Mapping[str, Mapping[str, Any]]
"""Options of a model by its name."""


def check_plan(labels: Sequence[str], settings: Settings, data: DataSet, options: Options) -> None:
    """Check the names, the settings and the data.

    Raises:
        ConfigError: with all that is wrong with names and settings.
        DataError: too few held-out examples to say anything.
    """
    from genus import registry

    known = registry.list_models()
    problems = [
        f"there is no model {name!r}; {near(name, known)}" for name in labels if name not in known
    ]
    problems += [
        f"options are given for {name!r}, which is not compared; {near(name, labels)}"
        for name in options
        if name not in labels
    ]
    limits = {"time_budget": 0.0, "sample_budget": 0.0, "k": 0, "samples": 5, "seeds": 0}
    for name, limit in limits.items():
        value = getattr(settings, name)
        if value is not None and not value > limit:
            problems.append(f"{name}={value} must be above {limit:g}")
    if not labels:
        problems.append("there are no models to compare; name at least one")
    if settings.conditional and (data.spec.classes is None or data.labelled is not None):
        problems.append(
            f"conditional=True (--conditional) takes a class for every example, which {data.name} "
            "does not have; leave it out"
        )
    raise_all(ConfigError, "cannot compare:", problems)
    if default_count(data, settings.split) <= 5:
        raise DataError(
            f"{data.name} has {len(data.split(settings.split))} examples in "
            f"{settings.split!r}; a comparison needs at least 6, and hundreds to say much"
        )


def planned(
    settings: Settings, data: DataSet, options: Options, training: TrainConfig | None
) -> dict[str, Any]:
    """Return what two comparisons must share for the one to go on with the other's runs.

    The number of seeds is not in it: more may be added later.
    """
    conditional = {"conditional": True} if settings.conditional else {}
    return {
        **conditional,
        "data": data.digest,
        "time_budget": settings.time_budget,
        "seed": settings.seed,
        "options": {name: dict(values) for name, values in options.items()},
        "training": None if training is None else dataclasses.asdict(training),
    }


def claim_folder(out: Path, runs: Sequence[str], plan: dict[str, Any], *, resume: bool) -> None:
    """Take a folder that is new, or holds this very comparison, and write the plan into it.

    Raises:
        ConfigError: it holds runs that are not to be resumed, or were planned otherwise.
    """
    path = out / "plan.json"
    busy = [run for run in runs if (out / run).exists()]
    if busy and not resume:
        raise ConfigError(
            f"{out} already holds runs of {', '.join(busy)}; go on with them by "
            "resume=True (--resume), or choose another folder (--out)"
        )
    if busy and path.is_file() and json.loads(path.read_text()) != json.loads(dumps(plan)):
        raise ConfigError(
            f"{out} holds a comparison with other data, budget, seed or options, which "
            "cannot be resumed with these; choose another folder (--out)"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(path, dumps(plan).encode())


def dumps(value: Any) -> str:
    """Return JSON that two equal values share; what JSON lacks becomes a string."""
    return json.dumps(value, indent=1, sort_keys=True, default=str)
