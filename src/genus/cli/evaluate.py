"""`genus evaluate`: likelihood, samples and cost of a run, or samples of anyone's model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genus.cli import datasets, output, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import Problems, UsageError, hinted
from genus.cli.evaluation_output import print_evaluation
from genus.cli.options import (
    Flag,
    check_device,
    check_output,
    check_seed,
    check_temperature,
    decimals,
    within,
)

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.evaluation import Evaluation
    from genus.evaluation.sweep import Sweep

MOST_SAMPLES = 100_000
"""The most samples that are drawn for the sample block, and the most of a bound."""
K, BUDGET = 64, 60.0
"""What --k and --sample-budget are when they are left out."""


def evaluate(
    run: Path,
    /,
    *,
    against: str | None = None,
    split: str = "test",
    k: Annotated[int, Parameter(name=("-k", "--k"))] = K,
    samples: int | None = None,
    sample_budget: float = BUDGET,
    temperatures: str | None = None,
    inception: Flag = False,
    neighbours: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    reading: DataOptions = datasets.PLAIN,
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Score a run on data that it has not seen, or samples of any model against data.

    Args:
        run: The run's folder; with --against, a folder of images, an .npy or .npz of samples.
        against: Data to compare the samples with: a name from `genus data`, or a path.
        split: test, or valid while you still choose between models.
        k: Samples per example of a bound; more give a tighter one.
        samples: How many to judge; as many as are held out when left out; 0 for none of a run.
        sample_budget: Seconds that drawing them may take by default.
        temperatures: Judge samples of a run at each of these, such as 0.5,0.75,1, and no
            likelihood.
        inception: Add Inception features (FID); takes torch-fidelity, which you install.
        neighbours: A .png to write, of the samples that lean most to the training data.
        seed: Seed of samples and bounds.
        device: Where a run is scored and draws: auto, cpu, cuda or cuda:1.
        reading: How the data are read; of a run, --data-root only.
        force: Replace that file if it exists.
        json: Print JSON to stdout.
    """
    _check_neighbours(neighbours, samples, temperatures, force)
    if against is not None:
        _check_given(run, k, samples, sample_budget, temperatures, seed, device)
        _evaluate_given(run, against, reading, split, samples, inception, neighbours, seed, json)
        return
    _check_is_run(run)
    runs.read(run)
    _check(k, samples, sample_budget, inception, seed, device, reading)
    judging = (samples, sample_budget, inception, seed, json)
    if temperatures is not None:
        _evaluate_sweep(run, device, reading, split, temperatures, *judging)
    else:
        _evaluate_run(run, device, reading, split, k, neighbours, *judging)


def _evaluate_run(
    run: Path,
    device: str,
    reading: DataOptions,
    split: str,
    k: int,
    neighbours: Path | None,
    samples: int | None,
    sample_budget: float,
    inception: bool,
    seed: int,
    json: bool,
) -> None:
    """Score a run of ours."""
    data = _data_of(run, reading, split)
    _check_shown(neighbours, data)
    from genus.capabilities import Samples, supports
    from genus.evaluation import evaluate as judge
    from genus.evaluation.doubts import troubles
    from genus.training import RunFolder, load

    manifest, model = RunFolder(run).read_manifest(), load(run, device)
    if neighbours is not None and not supports(model, Samples):
        raise UsageError(f"--neighbours: {model.name} draws no samples; leave it out")
    found = judge(
        model,
        data,
        split=split,
        k=k,
        samples=samples,
        sample_budget=sample_budget,
        inception=inception,
        seed=seed,
        training_seconds=manifest.get("seconds", {}).get("training"),
        progress=output.note,
    )
    told = troubles(manifest.get("rollbacks") or 0, manifest.get("ended_early"))
    found = dataclasses.replace(found, notes=(*told, *found.notes))
    _draw_neighbours(neighbours, found, data)
    if json:
        output.print_json({"run": str(run), **found.to_json()})
    else:
        print_evaluation(found)
    output.next_step(f"genus sample {run} -n 64 -o grid.png")


def _data_of(run: Path, reading: DataOptions, split: str) -> DataSet:
    """Return the data that a run was trained on, which have the split that is asked for."""
    data = datasets.load_again(runs.read(run).data, reading.data_root)
    data.split(split)
    return data


def _evaluate_sweep(
    run: Path,
    device: str,
    reading: DataOptions,
    split: str,
    temperatures: str,
    samples: int | None,
    sample_budget: float,
    inception: bool,
    seed: int,
    json: bool,
) -> None:
    """Judge samples of a run of ours at several temperatures."""
    points = decimals(temperatures, "--temperatures")
    problems = Problems()
    for point in points:
        with problems.collect():
            check_temperature(point, "--temperatures")
    problems.raise_any("cannot evaluate:")
    if samples == 0:
        raise UsageError("--samples 0 leaves nothing to judge at any of --temperatures")
    data = _data_of(run, reading, split)
    from genus.evaluation.sweep import sweep
    from genus.training import load

    found = sweep(
        load(run, device),
        data,
        points,
        split=split,
        samples=samples,
        inception=inception,
        seed=seed,
        sample_budget=sample_budget,
        progress=output.note,
    )
    if json:
        output.print_json({"run": str(run), **found.to_json()})
    else:
        _print_sweep(found)
    output.next_step(f"genus sample {run} -n 64 --temperature {points[0]:g} -o grid.png")


def _print_sweep(found: Sweep) -> None:
    """Print what changes with temperature, and what real data get."""
    from genus.evaluation.inception import NAME as INCEPTION

    names = ("frechet", "precision", "recall", "density", "coverage")
    any_block = next(iter(found.blocks.values()))
    net, *others = any_block.scores
    extra = [name for name in others if name == INCEPTION]
    title = f"{found.model} on {found.data.name}, {found.data.split} split"
    output.say(f"{title}: {any_block.n} samples of each")
    rows: list[tuple[Any, ...]] = []
    for temperature, block in found.blocks.items():
        figures = [getattr(block.scores[net], name).value for name in names]
        figures += [block.scores[name].frechet.value for name in extra]
        audit = "" if block.audit is None else ", ".join(block.audit.verdict)
        rows.append((f"{temperature:g}", *figures, audit))
    floors = [getattr(any_block.scores[net], name).floor for name in names]  # of the reference
    floors += [any_block.scores[name].frechet.floor for name in extra]
    rows.append(("real data", *floors, ""))
    titles = [f"FD[{name}]" for name in extra]
    output.table(("temperature", f"FD[{net}]", *names[1:], *titles, "audit"), rows)
    for line in found.notes:
        output.say(f"note: {line}")


def _evaluate_given(
    path: Path,
    against: str,
    reading: DataOptions,
    split: str,
    samples: int | None,
    inception: bool,
    neighbours: Path | None,
    seed: int,
    json: bool,
) -> None:
    """Score samples that were drawn elsewhere."""
    data = datasets.load(against, reading)
    data.split(split)
    _check_shown(neighbours, data)
    from genus.data.samples import read_samples
    from genus.evaluation import evaluate_samples

    with output.bar() as bar:
        given = read_samples(path, data, bar)
    found = evaluate_samples(
        given.x,
        data,
        split=split,
        samples=samples,
        inception=inception,
        seed=seed,
        name=str(path),
        notes=given.notes,
        progress=output.note,
    )
    _draw_neighbours(neighbours, found, data)
    if json:
        output.print_json({"run": None, "path": str(path), **found.to_json()})
    else:
        print_evaluation(found)
    output.next_step(f"genus compare --data {against} --time-budget 60s")


def _check_neighbours(
    path: Path | None, samples: int | None, temperatures: str | None, force: bool
) -> None:
    """Check what can be checked of the picture before anything is read."""
    if path is None:
        return
    problems = Problems()
    with problems.collect():
        check_output(path, force)
    problems.require(path.suffix.lower() == ".png", f"--neighbours {path} must end with .png")
    problems.require(samples != 0, "--neighbours shows samples, and --samples 0 leaves none")
    problems.require(temperatures is None, "--neighbours is for one temperature; leave one out")
    problems.raise_any("cannot evaluate:")


def _check_shown(path: Path | None, data: DataSet) -> None:
    """Check that there will be images to show, all of them known."""
    if path is not None and not data.spec.is_image:
        raise UsageError(f"--neighbours shows images, but the data are {data.spec}; leave it out")
    if path is not None and data.missing is not None:
        raise UsageError(f"--neighbours: {data.missing}, so samples are not judged; leave it out")


def _draw_neighbours(path: Path | None, found: Evaluation, data: DataSet) -> None:
    """Write the picture of the most suspicious samples, if it was asked for."""
    if path is None:
        return
    from genus.applications.neighbours import plot_neighbours

    assert found.samples is not None
    plot_neighbours(found.samples, data.spec, name=found.model).save(path)
    output.note(f"wrote {path}")


def _check_is_run(path: Path) -> None:
    """Tell samples from a run; what is neither is told where runs are read.

    Raises:
        UsageError: the path may hold samples.
    """
    from genus.data.samples import looks_like_samples

    if path.exists() and not (path / "config.json").is_file() and looks_like_samples(path):
        raise hinted(
            UsageError(
                f"{str(path)!r} is not a run (it has no config.json); to judge it as samples of "
                "another model, say against which data: --against DATA"
            ),
            f"genus evaluate {path} --against digits",
        )


def _check_given(
    path: Path,
    k: int,
    samples: int | None,
    budget: float,
    temperatures: str | None,
    seed: int,
    device: str,
) -> None:
    if (path / "config.json").is_file():
        raise hinted(
            UsageError(
                f"{str(path)!r} is a run, which is scored on the data it was trained on: leave "
                f"--against out, or write its samples first (genus sample {path} -n 2000 -o "
                "samples.npz) and judge those"
            ),
            f"genus evaluate {path}",
        )
    problems = Problems()
    with problems.collect():
        check_seed(seed)
    if samples is not None:
        with problems.collect():
            within(samples, 6, MOST_SAMPLES, "--samples", "or leave it out")
    alone = "is for a run; leave it out beside --against"
    problems.require(k == K, f"--k {alone}: samples have no likelihood")
    problems.require(budget == BUDGET, f"--sample-budget {alone}: nothing is drawn")
    problems.require(temperatures is None, f"--temperatures {alone}: nothing is drawn")
    problems.require(device == "cpu", f"--device {alone}: no model is run")
    problems.raise_any("cannot evaluate:")


def _check(
    k: int,
    samples: int | None,
    budget: float,
    inception: bool,
    seed: int,
    device: str,
    reading: DataOptions,
) -> None:
    problems = Problems()
    only_root = DataOptions(data_root=reading.data_root)
    problems.require(
        reading == only_root,
        "--size, --gray, --levels and --label belong to --against; a run knows how its data are "
        "read",
    )
    with problems.collect():
        check_seed(seed)
    with problems.collect():
        check_device(device)
    with problems.collect():
        within(budget, 0.1, 86_400, "--sample-budget", "it is in seconds")
    with problems.collect():
        within(k, 1, MOST_SAMPLES, "--k", "64 is usual")
    if samples is not None:
        with problems.collect():
            within(samples, 0, MOST_SAMPLES, "--samples", "0 leaves the sample block out")
    problems.require(not (inception and samples == 0), "--inception has no samples to judge")
    problems.raise_any("cannot evaluate:")
