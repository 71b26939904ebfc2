"""`genus train`: begin a run, or go on with one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli import datasets, output, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import Problems, UsageError, hinted
from genus.cli.options import Flag, Out, Set, assignments, within
from genus.cli.training_options import TrainOptions
from genus.cli.training_output import print_plan, print_result
from genus.cli.training_plan import Goes, Plan

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.families.base import Model
    from genus.spec import Spec
    from genus.training import RunResult, TrainConfig

MOST_EXAMPLES = 65_536
"""The largest batch."""


def train(
    model: str | None = None,
    /,
    *,
    data: str | None = None,
    set_: Set = (),
    preset: str | None = None,
    out: Out = None,
    resume: Flag = False,
    conditional: Flag = False,
    labelled: int | None = None,
    given: str | None = None,
    dry_run: Flag = False,
    options: TrainOptions = TrainOptions(),  # noqa: B008  (frozen)
    reading: DataOptions = datasets.PLAIN,
    json: output.Json = False,
) -> None:
    """Train a model on a data set, or go on with a run.

    Args:
        model: A name from `genus models`; the run says it with --resume.
        data: A name from `genus data`, or a folder, .npy, .npz or .csv.
        set_: Options of the model: --set features=32 layers=4.
        preset: Options of a paper's table, as `genus models MODEL` lists them; --set overrides.
        out: The run's folder; runs/<model>-<data> when left out.
        resume: Go on with the run in --out, or with the last one.
        conditional: Learn p(x | class) from the labels.
        labelled: Keep so many labels of the train split, and hide the others; for m2.
        given: What is given of each image to make it from, for pix2pix: grayscale, downsample:2,
            blur:1.5, or hide:lower (upper, left, right, centre).
        dry_run: Print the whole configuration and stop.
        options: How to train.
        reading: How data are read.
        json: Print JSON to stdout.
    """
    prepare = _resumed if resume else _fresh
    goes = Goes(conditional, labelled, given)
    plan = prepare(model, data, (preset, set_), out, goes, options, reading)
    if dry_run:
        print_plan(plan, json)
        return
    result = _run(plan)
    print_result(plan, result, json)
    output.next_step(f"genus evaluate {plan.out}   or   genus sample {plan.out} -n 64 -o grid.png")


def _fresh(
    model: str | None,
    data: str | None,
    chosen: tuple[str | None, tuple[str, ...]],
    out: Path | None,
    goes: Goes,
    options: TrainOptions,
    reading: DataOptions,
) -> Plan:
    """Return the plan of a new run, or raise one error with all that is wrong."""
    from genus.registry import check_condition, check_labelled, check_missing, get

    problems = Problems()
    cls, found, sets, config = None, None, None, None
    with problems.collect():
        cls = get(_needed(model, "a model, for example pixelcnn (genus models lists them)"))
    with problems.collect():
        goes.check()
        name = _needed(data, "--data, for example --data digits")
        found = datasets.load(name, reading, goes.labelled, goes.given)
    with problems.collect():
        sets = _options(cls, *chosen)
    with problems.collect():
        config = train_config(options.given(), cls)
    _check_batch(options, problems)
    if out is not None:
        problems.require(not _is_taken(out), _taken(out))
    problems.raise_any("cannot train:")
    assert cls is not None
    assert found is not None
    assert config is not None
    spec = found.spec if goes.by_labels or goes.given else found.spec.unconditional()
    if goes.by_labels and spec.classes is None:
        raise UsageError(f"--conditional needs labels, but {found.name} has none; leave it out")
    check_condition(cls, spec)
    _check_spec(cls, spec, found)
    check_missing(cls, found.missing, fit=True)
    check_labelled(cls, spec, found.labelled)
    suited = _suited(cls.name, spec, len(found.train), sets or {})
    built = build_model(cls.name, spec, suited, config.seed)
    return Plan(built, found, config, out or _free(cls.name, found.name), False)


def _check_spec(cls: type[Model], spec: Spec, data: DataSet) -> None:
    """Raise `SpecError` if the model cannot work on such data, and say if labels would help."""
    from genus.errors import SpecError

    try:
        cls.check_spec(spec)
    except SpecError as error:
        try:
            cls.check_spec(data.spec)
        except SpecError:
            raise error from None
        again = f"genus train {cls.name} --data {data.name} --conditional"
        raise hinted(error, again) from None


def _options(
    cls: type[Model] | None, preset: str | None, set_: tuple[str, ...]
) -> dict[str, Any] | None:
    """Return the options that were typed and those of a preset; None if the model is unknown."""
    from genus import registry
    from genus.config import build_config

    typed = assignments(set_)
    if cls is None:
        return None
    values = {**(registry.preset(cls.name, preset) if preset else {}), **typed}
    checked = vars(build_config(cls.Config, values, cls.name))
    return {name: checked[name] for name in values}


def _needed(value: str | None, what: str) -> str:
    if value is None:
        raise UsageError(f"name {what}")
    return value


def _check_batch(options: TrainOptions, problems: Problems) -> None:
    if options.batch_size is not None and options.batch_size > 0:
        with problems.collect():
            remedy = "take more --steps instead"
            within(options.batch_size, 1, MOST_EXAMPLES, "--batch-size", remedy)


def _is_taken(out: Path) -> bool:
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


def _taken(out: Path) -> str:
    return (
        f"--out {out} exists and is not empty; go on with it by genus train --resume --out {out}, "
        "or choose another folder"
    )


def _free(model: str, data: str) -> Path:
    from genus.training import free_folder

    return free_folder(runs.default_name(model, data))


def train_config(values: dict[str, Any], cls: type[Model] | None) -> TrainConfig:
    """Return a `TrainConfig`; a model that is fitted needs no budget.

    Raises:
        ConfigError: values out of range, all of them at once.
    """
    from genus.training import TrainConfig

    if cls is not None:  # and so torch is loaded already
        from genus.training.fitting import with_budget

        values = with_budget(values, cls)
    return TrainConfig(**values)


def _suited(name: str, spec: Any, examples: int, sets: dict[str, Any]) -> dict[str, Any]:
    """Return the model's options for such a training set, and say what was not the default."""
    from genus.registry import suited

    options = suited(name, spec, examples, sets)
    for option in sorted(set(options) - set(sets)):
        value = f"{option}={options[option]}"
        output.note(
            f"{value} suits {examples:,} training examples; --set {option}=... overrides it"
        )
    return options


def build_model(name: str, spec: Any, options: dict[str, Any], seed: int) -> Any:
    """Return a model with the weights that a seed gives.

    Raises:
        SpecError: the model cannot work on such data.
        ConfigError: the options do not fit each other or the data.
    """
    import torch

    from genus.registry import create

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(name, spec, **options)


def _resumed(
    model: str | None,
    data: str | None,
    chosen: tuple[str | None, tuple[str, ...]],
    out: Path | None,
    goes: Goes,
    options: TrainOptions,
    reading: DataOptions,
) -> Plan:
    """Return the plan of going on with a run; what was typed must agree with what it says."""
    if out is None and model and data:
        out = runs.to_resume(runs.default_name(model, goes.named(data)), _is_finished)
    out = out or runs.latest_run()
    record = runs.read(out)
    problems = Problems()
    told = model is None or model == record.model
    problems.require(told, f"the run is of {record.model}, not {model}; leave the model out")
    knows = not goes.conditional or record.spec.classes is not None
    problems.require(knows, "the run is unconditional; leave --conditional out")
    source = record.data["source"]
    told_labels = goes.labelled in (None, source.get("labelled"))
    problems.require(told_labels, "a run has its labels already; leave --labelled out")
    with problems.collect():
        told_given = goes.named("") in ("", f":{source.get('given')}")
        problems.require(told_given, "a run knows already what is given; leave --given out")
    preset, set_ = chosen
    problems.require(preset is None, "a run has its options already; leave --preset out")
    with problems.collect():
        sets = {**record.options, **assignments(set_)}
        config = dataclasses.replace(record.training, **options.given())
    problems.raise_any(f"cannot resume {out}:")
    known = (None, record.data["name"], source.get("name_or_path"))
    if data in known and reading in (datasets.PLAIN, DataOptions(data_root=reading.data_root)):
        found = datasets.load_again(record.data, reading.data_root, training=True)
    else:
        found = datasets.load(
            data or record.data["name"], reading, goes.labelled, source.get("given")
        )
    return Plan(build_model(record.model, record.spec, sets, config.seed), found, config, out, True)


def _is_finished(run: Path) -> bool:
    from genus.training import RunFolder

    return RunFolder(run).status == "finished"


def _run(plan: Plan) -> RunResult:
    """Train, and say how to go on if it is interrupted or fails."""
    from genus.errors import TrainingError
    from genus.training import train as run

    doing = "going on with" if plan.resume else "training"
    output.note(f"{doing} {plan.model.name} on {plan.data.name}, in {plan.out}")
    try:
        return run(plan.model, plan.data, plan.out, plan.config, resume=plan.resume)
    except (KeyboardInterrupt, TrainingError) as error:
        raise hinted(error, f"genus train --resume --out {plan.out}") from None
