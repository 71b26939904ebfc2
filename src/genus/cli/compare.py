"""`genus compare`: several models at equal cost, on the same data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genus.cli import datasets, output, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import FAILED, OK, Problems, UsageError, hinted
from genus.cli.options import Flag, Out, Set, assignments, check_seed, duration, within
from genus.errors import SpecError

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.evaluation import Comparison
    from genus.families.base import Model

MOST_SAMPLES = 100_000
"""The most samples of each model, and the most of a bound."""
MOST_SEEDS = 100
"""The most training runs of one model."""


def compare(
    *models: str,
    data: str,
    time_budget: str = "60s",
    out: Out = None,
    seed: int = 0,
    seeds: int = 1,
    split: str = "test",
    samples: int | None = None,
    k: Annotated[int, Parameter(name=("-k", "--k"))] = 64,
    set_: Set = (),
    resume: Flag = False,
    inception: Flag = False,
    conditional: Flag = False,
    reading: DataOptions = datasets.PLAIN,
    csv: Flag = False,
    json: output.Json = False,
) -> int:
    """Train models for the same time, evaluate them on the same data and write a report.

    Args:
        models: Names from `genus models`, or the word all; some of each family when left out.
        data: A name from `genus data`, or a folder, .npy, .npz or .csv.
        time_budget: Time of training of each model: 60s, 5m, 1h30m.
        out: Folder for the runs and the report; runs/compare-<data> when left out.
        seed: Seed of everything random.
        seeds: How often each model is trained, by this and the next seeds.
        split: test, or valid while you still choose.
        samples: How many samples each model draws; by default as many as are held out.
        k: Samples per example of a bound.
        set_: Options of one model: --set pixelcnn.features=32 vae.latents=8.
        resume: Go on with a comparison that was interrupted.
        inception: Add Inception features (FID); takes torch-fidelity, which you install.
        conditional: Let all models go by classes, and judge the labels of samples too.
        reading: How the data are read.
        csv: Print the table as CSV to stdout.
        json: Print JSON to stdout.

    Returns:
        1 if every model failed, else 0.
    """
    problems = Problems()
    problems.require(not (csv and json), "--csv and --json both go to stdout; choose one")
    budget, sets = 0.0, {}
    with problems.collect():
        budget = duration(time_budget)
    with problems.collect():
        sets = by_model(assignments(set_))
    with problems.collect():
        check_seed(seed)
    with problems.collect():
        within(k, 1, MOST_SAMPLES, "--k", "64 is usual")
    with problems.collect():
        within(seeds, 1, MOST_SEEDS, "--seeds", "3 say how much runs differ")
    if samples is not None:
        with problems.collect():
            within(samples, 6, MOST_SAMPLES, "--samples", "or leave it out")
    problems.raise_any("cannot compare:")
    found = datasets.load(data, reading)
    found.split(split)
    folder = out or _default_folder(found.name, resume)
    from genus.evaluation import compare as run

    try:
        result = run(
            _takers(models, found, conditional),
            found,
            out=folder,
            time_budget=budget,
            seed=seed,
            seeds=seeds,
            split=split,
            samples=samples,
            k=k,
            options=sets,
            resume=resume,
            inception=inception,
            conditional=conditional,
            progress=output.note,
            command=output.typed(),
        )
    except KeyboardInterrupt as error:
        raise hinted(error, _again(folder, out is None, resume)) from None
    _print(result, csv, json)
    output.next_step(f"open {result.report}")
    return OK if any(r.evaluation for r in result.rows if r.kind == "model") else FAILED


def by_model(values: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return options sorted by the model that they are for.

    Raises:
        UsageError: a name has no model in front.

    Example:
        >>> by_model({"vae.latents": "8", "vae.hidden": "64"})
        {'vae': {'latents': '8', 'hidden': '64'}}
    """
    sorted_: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        model, dot, option = name.partition(".")
        if not dot:
            raise UsageError(f"--set {name} must say of which model: --set pixelcnn.{name}={value}")
        sorted_.setdefault(model, {})[option] = value
    return sorted_


def _takers(models: tuple[str, ...], data: DataSet, conditional: bool = False) -> list[str]:
    """Return the models that were named, or all, or some of each family, that take the data."""
    if models and models != ("all",):
        _check_given(models, data)
        return list(models)
    from genus.registry import check_missing, list_models

    spec, found = data.spec if conditional else data.spec.unconditional(), {}
    for name, cls in list_models().items():
        try:
            cls.check_spec(spec)
            check_missing(cls, data.missing, fit=True)
        except SpecError as error:
            if models or cls.representative:
                output.note(f"{name} is left out: {error}")
        else:
            found[name] = cls
    return list(found) if models else _of_each_family(found)


def _check_given(models: tuple[str, ...], data: DataSet) -> None:
    """Raise `UsageError` for models that must be given images, which a comparison gives to none."""
    from genus.registry import list_models

    problems, known = Problems(), list_models()
    for name in models:
        if name in known and known[name].takes_condition:
            try:
                known[name].check_spec(data.spec.unconditional())
            except SpecError:
                problems.found.append(
                    f"{name} makes images from images, and a comparison gives none; leave it out, "
                    "train it alone (--given) and see what genus evaluate says of the run"
                )
    problems.raise_any("cannot compare:")


def _of_each_family(found: dict[str, type[Model]]) -> list[str]:
    """Return the representatives, and of a family that has none here its first model."""
    chosen = {name: cls for name, cls in found.items() if cls.representative}
    for name, cls in found.items():
        if cls.family not in {other.family for other in chosen.values()}:
            chosen[name] = cls
    return sorted(chosen)


def _default_folder(data: str, resume: bool) -> Path:
    """Return runs/compare-<data>: the one that is there to go on with it, else a free one."""
    from genus.training import free_folder

    folder = runs.default_name("compare", data)
    if not resume:
        return free_folder(folder)
    return runs.to_resume(folder, lambda out: (out / "report.html").is_file())


def _again(folder: Path, unnamed: bool, resumed: bool) -> str:
    """Return how to go on with this comparison."""
    words = [output.typed(), *([f"--out {folder}"] if unnamed else [])]
    return " ".join([*words, *([] if resumed else ["--resume"])])


def _print(result: Comparison, csv: bool, json: bool) -> None:
    from genus.evaluation import render

    if json:
        output.print_json(result.to_json())
    elif csv:
        output.say(result.to_csv().rstrip("\n"))
    else:
        render(result, output.out())
