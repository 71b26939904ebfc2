"""`genus complete`: fill in what is missing, with a run."""

# Shapes: I examples.
from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from genus.cli import examples, output, runs
from genus.cli.errors import Problems, UsageError, hinted
from genus.cli.holes import Holes
from genus.cli.options import (
    Flag,
    Out,
    check_device,
    check_output,
    check_seed,
    check_temperature,
    within,
)

if TYPE_CHECKING:
    from torch import Tensor

    from genus.cli.examples import Given
    from genus.spec import Spec

MOST_WAYS = 1_000
"""The most completions of one example."""
MOST_COMPLETIONS = 10_000
"""The most completions of one command."""
FEW = 4.0
"""Below so many effective particles a remark says how to have more."""
SUFFIXES = (".png", ".npz")
"""What a file of completions may end with."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How to complete.

    Args:
        n: Completions of each image.
        method: For models with an order; auto is exact where it can be.
        particles: Particles of each completion by smc; more are nearer to the truth.
        temperature: Below 1 safer completions, above 1 wilder ones; 1 is the model itself.
        seed: Seed of the noise; the first completions are the same however many are drawn.
        class_: The class of all images, inferred if left out; for runs trained with --conditional.
        device: Where to draw: auto, cpu, cuda or cuda:1.
    """

    n: Annotated[int, Parameter(name=("-n", "--n"))] = 4
    method: Literal["auto", "smc", "ancestral"] | None = None
    particles: int | None = None
    temperature: float = 1.0
    seed: int = 0
    class_: Annotated[int | None, Parameter(name="--class")] = None
    device: str = "cpu"

    def check(self) -> None:
        """Raise `UsageError` with all numbers that are out of range."""
        from genus.families.completion import MOST_PARTICLES

        problems = Problems()
        parts = "for more, complete in several parts, each with its own --seed"
        with problems.collect():
            within(self.n, 1, MOST_WAYS, "-n", parts)
        with problems.collect():
            check_seed(self.seed)
        with problems.collect():
            check_temperature(self.temperature)
        with problems.collect():
            check_device(self.device)
        if self.particles is not None:
            with problems.collect():
                within(self.particles, 1, MOST_PARTICLES, "--particles", "64 is usual")
        problems.raise_any("cannot complete:")

    def settings(self, model: Any) -> dict[str, Any]:
        """Return what the model's own verb is given besides what is missing.

        Raises:
            UsageError: it does not take one of the options.
        """
        takes = inspect.signature(model.complete).parameters
        given = {"method": self.method, "particles": self.particles}
        typed = {name: value for name, value in given.items() if value is not None}
        problems = Problems()
        for name in typed:
            problems.require(
                name in takes,
                f"--{name}: {model.name} has one way to complete and takes none; leave it out",
            )
        problems.raise_any("cannot complete:")
        return {"temperature": self.temperature, **typed}


NO_HOLES, USUAL = Holes(), DrawOptions()
"""What the options are where none is typed."""


@dataclass(frozen=True)
class Plan:
    """All that drawing needs, checked.

    Args:
        given: the examples.
        missing: ``(*shape)`` boolean.
        settings: arguments of the model's verb.
        path: where to write.
    """

    given: Given
    missing: Tensor
    settings: dict[str, Any]
    path: Path


def complete(
    run: Path,
    images: Path | None = None,
    /,
    *,
    holes: Holes = NO_HOLES,
    data: str | None = None,
    split: str = "test",
    index: str | None = None,
    options: DrawOptions = USUAL,
    out: Out = None,
    data_root: Path | None = None,
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Fill in what is missing of images, several ways each.

    Args:
        run: The run's folder.
        images: A picture, a folder of pictures, .npy or .npz; rows of data when left out.
        holes: What is missing.
        data: Rows of this data set; the run's own when left out.
        split: Which part of the data: train, valid or test.
        index: Which rows or files, such as 0-3,7; 0-7 of a data set, all files, when left out.
        options: How to complete.
        out: A .png (original, masked and completions side by side) or .npz;
            <run>-completed.png, or .npz for data that are no images, when left out. A .csv is the
            table of --data with its missing cells filled in, once.
        data_root: Folder of published data sets, if it is another one by now.
        force: Replace the file if it exists.
        json: Print JSON to stdout.
    """
    folder = runs.run_folder(run)
    if out is not None and out.suffix.lower() == ".csv":
        from genus.cli import fill

        typed = {"IMAGES": images, "--index": index, "--mask and other holes": holes != NO_HOLES}
        fill.check({name for name, value in typed.items() if value}, data, options, out, force)
        report = fill.fill(folder, Path(data or ""), out, options)
        fill.report(report, json)
        output.next_step(f"genus data {out}")
        return
    _check(images, data, index, holes, options, out, force)
    from genus.cli import completions
    from genus.training import load

    model = load(folder, options.device)
    check_able(model)

    def read() -> Given:
        if images is not None:
            return examples.read(images, index, model.spec)
        record = runs.read(folder).data
        return examples.from_data(record, data, split, index, data_root, model.spec)

    path = out or _default_name(folder, model.spec)
    plan = _plan(model, read, holes, options, path, force)
    started = time.perf_counter()
    with output.progress(f"completing with {model.name}", options.n * len(plan.given.x)) as advance:
        done = completions.draw(model, plan, options, advance)
    seconds = time.perf_counter() - started
    recipe = _recipe(model.name, folder, plan, holes, options)
    digest = completions.save(done, plan, model.spec, recipe)
    facts = {"seconds": seconds, "recipe": {**recipe, "file_sha256": digest}}
    what = counted(len(plan.given.x), model.spec)
    _report({**completions.facts(done, plan, options.n, model.spec), **facts}, what, json)
    output.next_step(f"genus sample {run} -n 64 -o grid.png")


def _check(
    images: Path | None,
    data: str | None,
    index: str | None,
    holes: Holes,
    options: DrawOptions,
    out: Path | None,
    force: bool,
) -> None:
    """Check all that can be checked before the run is loaded."""
    problems = Problems()
    with problems.collect():
        examples.check_path(images, index)
    both = f"{images} and --data {data} both say which images; keep one"
    problems.require(images is None or data is None, both)
    with problems.collect():
        holes.check()
    with problems.collect():
        options.check()
    if out is not None:
        with problems.collect():
            check_output(out, force)
        known = out.suffix.lower() in SUFFIXES
        kinds = f"{', '.join(SUFFIXES)}, or .csv for a table with missing cells"
        problems.require(known, f"--out {out} must end with {kinds}")
    problems.raise_any("cannot complete:")


def check_able(model: Any) -> None:
    """Raise `UsageError` for a model without the capability, naming those that have it."""
    from genus.capabilities import Completes, supports
    from genus.registry import list_models

    if not supports(model, Completes):
        able = [name for name, cls in list_models().items() if supports(cls, Completes)]
        problem = f"{model.name} cannot complete; train one that can: {', '.join(able)}"
        raise hinted(UsageError(problem), "genus models")


def _plan(
    model: Any,
    read: Callable[[], Given],
    holes: Holes,
    options: DrawOptions,
    path: Path,
    force: bool,
) -> Plan:
    """Return the plan, or raise one error with all that does not fit the run."""
    from genus.cli.sample import labels

    problems = Problems()
    found: dict[str, Any] = {"path": path}
    with problems.collect():
        found["settings"] = options.settings(model)
    with problems.collect():
        labels(1, options.class_, model.spec)
    with problems.collect():
        found["missing"] = holes.missing(model.spec)
    with problems.collect():
        found["given"] = read()
        _check_amount(path, len(found["given"].x), options.n, model.spec)
    with problems.collect():
        check_output(path, force)
    problems.raise_any("cannot complete:")
    return Plan(**found)


def _check_amount(path: Path, count: int, n: int, spec: Spec) -> None:
    from genus.cli import files

    if count * n > MOST_COMPLETIONS:
        raise UsageError(
            f"-n {n:,} for {counted(count, spec)} makes {count * n:,} completions, above "
            f"{MOST_COMPLETIONS:,}; complete fewer at a time (--index)"
        )
    if path.suffix.lower() == ".png":
        files.check_drawable(count * (n + 2), spec)


def _default_name(run: Path, spec: Spec) -> Path:
    return Path(f"{run.resolve().name}-completed{'.png' if spec.is_image else '.npz'}")


def _recipe(
    model: str, run: Path, plan: Plan, holes: Holes, options: DrawOptions
) -> dict[str, Any]:
    """Return what makes the same file again; no path, which would tell of the machine."""
    from genus.cli.sample import identity

    return {
        **identity(model, run),
        **plan.given.source,
        "missing": holes.recipe(),
        "n": options.n,
        "seed": options.seed,
        "class": options.class_,
        **plan.settings,
    }


def counted(count: int, spec: Spec) -> str:
    """Return how many examples there are, in words."""
    return f"{count:,} {'image' if spec.is_image else 'example'}{'s' if count != 1 else ''}"


def _report(found: dict[str, Any], what: str, json: bool) -> None:
    finite = [e for row in found["effective"] or [] for e in row if math.isfinite(e)]
    if finite and min(finite) < FEW:
        from genus.families.completion import MOST_PARTICLES, PARTICLES

        more = min(MOST_PARTICLES, 8 * found["recipe"].get("particles", PARTICLES))
        output.note(
            f"note: at the worst moment the particles of one completion were worth "
            f"{min(finite):.1f}, so it may be far from a draw of the model's conditional; "
            f"--particles {more} comes nearer"
        )
    if json:
        output.print_json(found)
        return
    kind = "exact" if found["exact"] else "approximate"
    output.say(
        f"{found['out']}: {what}, {found['n']} completions each, "
        f"{found['missing']} of {found['entries']} entries missing, "
        f"in {output.seconds(found['seconds'])}"
    )
    output.say(f"{kind}: {found['method']}")
    if found["bits"] is not None:
        every = [bits for row in found["bits"] for bits in row]
        mean = sum(every) / len(every)
        output.say(f"{mean:.3f} bits for each missing entry, given the known ones")
