"""`genus features`: examples as vectors, and what a linear classifier reads off them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli import datasets, files, output, run_data, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import Problems, hinted
from genus.cli.options import Flag, Out, check_device, check_output, check_seed, within
from genus.errors import ConfigError

if TYPE_CHECKING:
    from genus.applications import Probe
    from genus.data import DataSet

MOST_LABELS = 10_000_000
"""The most labels that can be asked for."""


def features(
    run: Path,
    /,
    *,
    data: str | None = None,
    split: str | None = None,
    out: Out = None,
    probe: Flag = False,
    labels: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    reading: DataOptions = datasets.PLAIN,
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Write the features of every example, or probe them with a linear classifier.

    Args:
        run: The run's folder.
        data: Other data of the same kind; the run's own when left out.
        split: Write this part only: train, valid or test; all three when left out.
        out: An .npz; <run>-features.npz when left out, and no file with --probe.
        probe: Train a linear classifier on the features, and one on the values themselves.
        labels: Probe with so many labelled examples, in balance; with all when left out.
        seed: Seed of the choice of labels.
        device: Where the model is run: auto, cpu, cuda or cuda:1.
        reading: How other data are read.
        force: Replace the file if it exists.
        json: Print JSON to stdout.
    """
    record = runs.read(run)
    path = out or (None if probe else Path(f"{run.resolve().name}-features.npz"))
    _check(path, probe, split, labels, seed, device, force)
    from genus.applications.extract import check_features
    from genus.evaluation.scoring import check_match
    from genus.training import load

    model = load(run, device)
    try:
        check_features(model)
    except ConfigError as error:
        raise hinted(error, "genus models") from None
    found = run_data.of_run(record.data, data, reading)
    check_match(model, found)
    content: dict[str, Any] = {"run": str(run), "model": model.name, "data": _reference(found)}
    if path is not None:
        content |= _write(model, run, found, split, path)
    if probe:
        probes = _probe(model, found, labels, seed)
        content["probes"] = [each.to_json() for each in probes]
    if json:
        output.print_json(content)
    else:
        _print(content)
    step = f"genus train classifier --from {run}" if probe else f"genus features {run} --probe"
    output.next_step(step if found.spec.classes else f"genus evaluate {run}")


def _check(
    path: Path | None,
    probe: bool,
    split: str | None,
    labels: int | None,
    seed: int,
    device: str,
    force: bool,
) -> None:
    problems = Problems()
    with problems.collect():
        check_seed(seed)
    with problems.collect():
        check_device(device)
    if labels is not None:
        problems.require(probe, "--labels is for --probe; add it, or leave --labels out")
        with problems.collect():
            within(labels, 1, MOST_LABELS, "--labels", "leave it out to take all")
    unused = f"--split {split} says what is written, and --probe alone writes nothing; add -o FILE"
    problems.require(split is None or path is not None, unused)
    if path is not None:
        with problems.collect():
            check_output(path, force)
        npz = path.suffix.lower() == ".npz"
        problems.require(npz, f"--out {path} must end with .npz")
    problems.raise_any("cannot take features:")


def _reference(data: DataSet) -> dict[str, Any]:
    return {"name": data.name, "digest": data.digest}


def _write(model: Any, run: Path, data: DataSet, split: str | None, path: Path) -> dict[str, Any]:
    """Write the archive and return what is told of it."""
    from genus.applications import extract_features
    from genus.cli.sample import identity
    from genus.training.atomic import write_bytes

    names = [split] if split else [name for name, part in data.splits.items() if len(part)]
    total = sum(len(data.split(name)) for name in names)
    arrays: dict[str, Any] = {}
    with output.progress(f"features by {model.name}", total) as advance:
        for name in names:
            ending, done = "" if split else f"_{name}", 0

            def moved(count: int) -> None:
                nonlocal done
                advance(count - done)
                done = count

            table = extract_features(model, data.split(name), progress=moved)
            arrays[f"x{ending}"] = table.x
            if table.y is not None:
                arrays[f"y{ending}"] = table.y
    recipe = {**identity(model.name, run), **_reference(data), "split": split}
    digest = write_bytes(path, files.npz(arrays, recipe))
    return {
        "out": str(path),
        "features": int(next(iter(arrays.values())).shape[1]),
        "examples": {name: len(data.split(name)) for name in names},
        "labelled": any(key.startswith("y") for key in arrays),
        "recipe": {**recipe, "file_sha256": digest},
    }


def _probe(model: Any, data: DataSet, labels: int | None, seed: int) -> tuple[Probe, Probe]:
    from genus.applications import linear_probe, value_probe

    ours = linear_probe(model, data, labels=labels, seed=seed, progress=output.note)
    return ours, value_probe(data, labels=labels, seed=seed, progress=output.note)


def _print(content: dict[str, Any]) -> None:
    if "out" in content:
        counts = ", ".join(f"{count:,} {name}" for name, count in content["examples"].items())
        labels = "with labels" if content["labelled"] else "without labels"
        output.say(f"{content['out']}: {content['features']:,} features of {counts}, {labels}")
    if "probes" not in content:
        return
    rows = []
    for found in content["probes"]:
        test = f"{found['accuracy']:.2%} ± {found['standard_error']:.2%}"
        valid = f"{max(found['valid'].values()):.2%}"
        scaling = "whitened" if found["whitened"] else "standardised"
        rows.append((found["of"], found["features"], scaling, found["strength"], valid, test))
    headings = ("linear probe of", "columns", "scaling", "strength", "valid", "test accuracy")
    output.table(headings, rows)
    first = content["probes"][0]
    output.say(
        f"{first['labels']:,} labels of {first['classes']} classes; scaling and strength chosen on "
        f"valid; standard error over {first['tested']:,} test examples"
    )
    for found in content["probes"]:
        if not found["converged"]:
            output.note(f"note: the probe of {found['of']} stopped before it had converged")
