"""`genus plot`: pictures of what a run has learned."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli import datasets, output, run_data, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import UsageError, hinted
from genus.cli.options import Flag, Out, numbers
from genus.cli.plot_options import KINDS, USUAL, Kind, PlotOptions, check, suffix_of
from genus.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from genus.applications.picture import Picture
    from genus.data import DataSet
    from genus.spec import Spec

MOST_PIXELS = 2**24
"""The most pixels of data in one picture."""
SAID = 8
"""The most items of a list that are told in words; JSON holds them all."""


def plot(
    run: Path,
    kind: Kind,
    /,
    *,
    data: str | None = None,
    split: str | None = None,
    options: PlotOptions = USUAL,
    reading: DataOptions = datasets.PLAIN,
    out: Out = None,
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Draw what a run has learned: its latents, its filters, its hidden states, its training.

    Args:
        run: The run's folder.
        kind: reconstructions, projection, interpolation, traversal, latent-map, filters, states,
            curves or progress.
        data: Other data of the same kind; the run's own when left out.
        split: Which part of the data: test (when left out), valid or train.
        options: What is shown, and how.
        reading: How other data are read.
        out: A .png, or a .gif for progress; <run>-<kind>.png or .gif when left out.
        force: Replace the file if it exists.
        json: Print JSON to stdout.
    """
    record = runs.read(run)
    path = out or Path(f"{run.resolve().name}-{kind}{suffix_of(kind)}")
    check(kind, data, split, options, path, force)
    if kind == "progress":
        _plot_progress(run, record.model, path, options, json)
        return
    if kind == "curves":
        _plot_curves(run, record.model, path, json)
        return
    from genus.training import load

    model = load(run, options.device)
    _check_able(model, kind)
    if kind != "filters":
        runs.check_no_images(model, f"a picture of kind {kind}", run)
    found, part = None, split or "test"
    if kind != "filters":
        found = run_data.of_run(record.data, data, reading)
    rows = None if found is None else _rows(options.index, found, part, kind)
    _check_size(kind, options, rows, model.spec)
    output.note(f"drawing {kind} of {model.name}")
    picture = _draw(kind, model, found, part, rows, options)
    _finish(picture, path, _recipe(model.name, run, found, part, options), json)
    output.next_step(_next(run, kind))


def _plot_curves(run: Path, model: str, path: Path, json: bool) -> None:
    """Draw what the run's journal holds, for which nothing is loaded."""
    from genus.applications.curves import plot_curves
    from genus.cli.sample import identity

    _finish(plot_curves(run), path, identity(model, run), json)
    output.next_step(f"genus evaluate {run}")


def _plot_progress(run: Path, model: str, path: Path, options: PlotOptions, json: bool) -> None:
    """Write the animation of a run's sample grids, and tell what is in it."""
    from genus.cli.sample import identity
    from genus.training.atomic import write_bytes
    from genus.training.film import film

    made = film(run, options.n or KINDS["progress"].usual)
    facts = {"steps": list(made.captions), "milliseconds": made.pause}
    recipe = {**identity(model, run), "kind": "progress", **facts}
    digest = write_bytes(path, made.gif(recipe))
    if json:
        told = {"out": str(path), "kind": "progress", "facts": facts}
        output.print_json({**told, "recipe": {**recipe, "file_sha256": digest}})
    else:
        output.say(f"{path}: {len(made.frames)} sample grids, each for {made.pause} ms")
        output.pairs([("steps", _told(facts["steps"]))])
    output.next_step(f"genus evaluate {run}")


def _check_able(model: Any, kind: str) -> None:
    """Raise the library's error, with a hint, for a model without what the picture needs."""
    try:
        _module(kind).check_able(model)
    except ConfigError as error:
        raise hinted(error, "genus models") from None


def _module(kind: str) -> Any:
    """Return the module that draws a picture."""
    return importlib.import_module(f"genus.applications.{KINDS[kind].module}")


def _rows(index: str | None, data: DataSet, split: str, kind: str) -> Tensor | None:
    """Return the rows that were asked for, or None where they are drawn at random."""
    import torch

    count = len(data.split(split))
    if not count:
        raise UsageError(f"the {split} split of {data.name} is empty; choose another by --split")
    if index is None:
        return None
    rows = numbers(index, "--index")
    beyond = [row for row in rows if row >= count]
    if beyond:
        raise UsageError(
            f"--index {beyond[0]}: the {split} split of {data.name} has rows 0 to {count - 1}"
        )
    return torch.tensor(rows)


def _check_size(kind: str, options: PlotOptions, rows: Tensor | None, spec: Spec) -> None:
    """Check that the picture is of a size that can be drawn."""
    count = (options.n or KINDS[kind].usual) if rows is None else len(rows)
    frames = {
        "reconstructions": 2 * count,
        "projection": 3 * count,
        "interpolation": count * ((options.steps or 9) + 2),
        "traversal": (options.n or KINDS[kind].usual) * (options.steps or 7),
        "filters": count,
        "states": count,
    }.get(kind, 1)
    pixels = frames * math.prod(spec.shape[1:]) if spec.is_image else 1
    if pixels > MOST_PIXELS:
        raise UsageError(
            f"{frames:,} images of {spec.shape[1]}x{spec.shape[2]} are too many for one picture; "
            "give a smaller -n or fewer --steps"
        )


def _draw(
    kind: str,
    model: Any,
    data: DataSet | None,
    split: str,
    rows: Tensor | None,
    options: PlotOptions,
) -> Picture:
    """Call the library with those options that were typed, or that the picture takes."""
    n = options.n or KINDS[kind].usual
    draw = getattr(_module(kind), f"plot_{kind.replace('-', '_')}")
    more = {name[2:]: getattr(options, name[2:]) for name in options.given() if name != "--index"}
    where = {} if data is None else {"split": split, "rows": rows, "seed": options.seed}
    picture: Picture = draw(*([model] if data is None else [model, data]), n=n, **where, **more)
    return picture


def _recipe(
    model: str, run: Path, data: DataSet | None, split: str, options: PlotOptions
) -> dict[str, Any]:
    """Return how a picture was made."""
    from genus.cli.sample import identity

    source = {} if data is None else {"data": data.name, "digest": data.digest, "split": split}
    return {
        **identity(model, run), **source, "n": options.n, "index": options.index,
        "steps": options.steps, "route": options.route, "draw": options.draw, "seed": options.seed,
    }  # fmt: skip


def _finish(picture: Picture, path: Path, recipe: dict[str, Any], json: bool) -> None:
    """Write a picture, which carries its recipe, and tell what there is to tell of it."""
    from genus.training.atomic import write_bytes

    recipe = {**recipe, "kind": picture.kind}
    digest = write_bytes(path, picture.png(recipe))
    if json:
        told = {"out": str(path), "kind": picture.kind, "facts": picture.facts}
        output.print_json({**told, "recipe": {**recipe, "file_sha256": digest}})
    else:
        _print(picture, path)


def _print(picture: Picture, path: Path) -> None:
    output.say(f"{path}: {picture.kind}")
    output.pairs([(name.replace("_", " "), _told(fact)) for name, fact in picture.facts.items()])


def _told(fact: Any) -> str:
    """Return a fact as a line of words, the first few of many."""
    if not isinstance(fact, list):
        plain = isinstance(fact, int) and not isinstance(fact, bool)
        return str(fact) if plain else output.cell_text(fact)
    shown = ["-".join(map(str, item)) if isinstance(item, list) else _told(item) for item in fact]
    return ", ".join(shown[:SAID]) + (", ..." if len(fact) > SAID else "")


def _next(run: Path, kind: str) -> str:
    """Return what to look at after a picture."""
    follows = {"reconstructions": "traversal", "traversal": "interpolation"}
    other = follows.get(kind)
    return f"genus plot {run} {other}" if other else f"genus evaluate {run}"
