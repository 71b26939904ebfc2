"""`genus sample`: draw from a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genus.cli import conditions, output, runs
from genus.cli.conditions import Conditions, ImageOptions
from genus.cli.errors import Problems, UsageError
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

    from genus.spec import Spec

MOST_SAMPLES = 100_000
"""The most samples of one command."""
CHUNK = 100
"""Samples drawn at a time, a bound on memory; fixed, because the noise goes by chunks."""


def sample(
    run: Path,
    /,
    *,
    n: Annotated[int, Parameter(name=("-n", "--n"))] = 64,
    out: Out = None,
    animate: Path | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    class_: Annotated[int | None, Parameter(name="--class")] = None,
    images: ImageOptions = conditions.PLAIN,
    device: str = "cpu",
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Draw samples from a run into a picture or a file of numbers.

    Args:
        run: The run's folder.
        n: How many samples; of a run trained with --given, how many images to make them from.
        out: A .png (a grid of images), .npy or .npz; <run>-samples.png or .npz when left out.
        animate: A .gif of the same images being drawn, for models with an order of pixels; without
            --out it is all that is written.
        seed: Seed of the noise; the first samples are the same however many are drawn.
        temperature: Below 1 safer samples, above 1 wilder ones; 1 is the model itself.
        class_: Draw this class only; for runs trained with --conditional.
        images: What samples are made from.
        device: Where to draw: auto, cpu, cuda or cuda:1.
        force: Replace the file if it exists.
        json: Print JSON to stdout.
    """
    folder = runs.run_folder(run)
    _check(n, seed, temperature, out, animate, images, device, force)
    from genus.training import load

    model = load(folder, device)
    path = out or (None if animate else _default_name(folder, model.spec))
    _check_fitting(model, n, path, animate, images, force)
    y, given = labels(n, class_, model.spec), None
    if model.spec.condition is not None:
        given = conditions.read(runs.read(folder), images, n)
        y, n = given.y.repeat_interleave(images.each, 0), len(given)
    total = n * images.each
    started = time.perf_counter()
    with output.progress(f"drawing from {model.name}", total) as advance:
        x = draw(model, total, y, seed, temperature, advance)
    seconds = time.perf_counter() - started
    recipe = _recipe(model.name, folder, n, seed, temperature, class_)
    recipe |= {} if given is None else {"each": images.each, **given.source}
    written = _write(path, animate, x, y if given is None else given, model, recipe)
    _report(written, x, seconds, recipe, json)
    output.next_step(f"genus evaluate {run}")


def _check(
    n: int,
    seed: int,
    temperature: float,
    out: Path | None,
    animate: Path | None,
    images: ImageOptions,
    device: str,
    force: bool,
) -> None:
    """Check all that can be checked before the run is loaded."""
    from genus.cli.files import SUFFIXES

    problems = Problems()
    with problems.collect():
        images.check()
    with problems.collect():
        within(
            n, 1, MOST_SAMPLES, "-n", "for more, draw in several parts, each with its own --seed"
        )
    many = f"-n {n:,} with --each {images.each} makes {n * images.each:,} samples, above"
    alone = images.each == 1  # then -n itself says it
    problems.require(alone or n * images.each <= MOST_SAMPLES, f"{many} {MOST_SAMPLES:,}")
    with problems.collect():
        check_seed(seed)
    with problems.collect():
        check_temperature(temperature)
    with problems.collect():
        check_device(device)
    if out is not None:
        with problems.collect():
            check_output(out, force)
        known = out.suffix.lower() in SUFFIXES
        problems.require(known, f"--out {out} must end with {', '.join(SUFFIXES)}")
    if animate is not None:
        with problems.collect():
            check_output(animate, force, "--animate")
        is_gif = animate.suffix.lower() == ".gif"
        problems.require(is_gif, f"--animate {animate} must end with .gif")
        most = f"--animate shows at most {CHUNK} images; give -n {CHUNK} or fewer"
        problems.require(n <= CHUNK, most)
    problems.raise_any("cannot draw:")


def _check_fitting(
    model: Any,
    n: int,
    path: Path | None,
    animate: Path | None,
    images: ImageOptions,
    force: bool,
) -> None:
    """Check that the run's samples can be what was asked for."""
    from genus.capabilities import Conditionals, supports
    from genus.cli import files
    from genus.registry import list_models

    problems = Problems()
    with problems.collect():
        images.check_unused(model.spec)
    if path is not None:
        with problems.collect():
            check_output(path, force)
        if path.suffix.lower() == ".png":
            with problems.collect():
                strip = 1 if model.spec.condition is None else images.each + 2
                files.check_drawable(n * strip, model.spec)
    if animate is not None and not supports(model, Conditionals):
        able = [name for name, cls in list_models().items() if supports(cls, Conditionals)]
        problems.found.append(
            f"--animate: {model.name} draws all entries at once; these draw one after another: "
            f"{', '.join(able)}"
        )
    elif animate is not None and not model.spec.is_image:
        problems.found.append(f"--animate: {model.spec} is no image; leave it out")
    problems.raise_any("cannot draw:")


def _default_name(run: Path, spec: Spec) -> Path:
    suffix = ".png" if spec.is_image else ".npz"
    return Path(f"{run.resolve().name}-samples{suffix}")


def labels(n: int, label: int | None, spec: Spec) -> Tensor | None:
    """Return the label of every sample, or None where the model draws it itself.

    Raises:
        UsageError: the run has no such class.
    """
    import torch

    if label is None:
        return None
    if spec.condition is not None:
        raise UsageError(f"--class {label}: the run goes by images, not by labels; leave it out")
    if spec.classes is None:
        raise UsageError(
            f"--class {label}: the run is unconditional; leave it out, or train with --conditional"
        )
    within(label, 0, spec.classes - 1, "--class", f"the run knows {spec.classes} classes")
    return torch.full((n,), label)


def draw(
    model: Any,
    n: int,
    y: Tensor | None,
    seed: int,
    temperature: float,
    advance: Callable[[int], None],
) -> Tensor:
    """Return ``(n, *shape)`` samples, drawn in chunks.

    Args:
        model: any model.
        n: how many.
        y: ``(n,)`` labels, ``(n, *condition)`` images, or None.
        seed: of the generator.
        temperature: see the verb ``sample``.
        advance: told how many have been drawn, after each chunk.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    parts = []
    with torch.inference_mode():
        for start in range(0, n, CHUNK):
            count = min(CHUNK, n - start)
            labels = None if y is None else y[start : start + count]
            x = model.sample(count, y=labels, generator=generator, temperature=temperature)
            parts.append(x.cpu())
            advance(count)
    return torch.cat(parts)


def identity(model: str, run: Path) -> dict[str, Any]:
    """Return which genus, model and weights: how every recipe begins."""
    import genus
    from genus.training.atomic import sha256_of

    weights = run / "model.safetensors"
    return {
        "genus": genus.__version__,
        "model": model,
        "run": run.resolve().name,
        "weights_sha256": sha256_of(weights) if weights.is_file() else None,
    }


def _recipe(
    model: str, run: Path, n: int, seed: int, temperature: float, label: int | None
) -> dict[str, Any]:
    """Return what makes the same file again; no path, which would tell of the machine."""
    return {
        **identity(model, run),
        "n": n,
        "seed": seed,
        "temperature": temperature,
        "class": label,
    }


def _write(
    path: Path | None,
    animate: Path | None,
    x: Tensor,
    y: Tensor | Conditions | None,
    model: Any,
    recipe: dict[str, Any],
) -> dict[Path, str]:
    """Write the files that were asked for and return the sha256 of each, the samples' first."""
    from genus.cli import files
    from genus.training.atomic import write_bytes

    written = {}
    if path is not None:
        if isinstance(y, Conditions):
            written[path] = conditions.save(path, x, y, model.spec, recipe)
        else:
            written[path] = files.save(path, x, y, model.spec, recipe)
    if animate is not None:
        from genus.cli.animation import gif

        written[animate] = write_bytes(animate, gif(x, model.spec, model.order(), recipe))
    return written


def _report(
    written: dict[Path, str], x: Tensor, seconds: float, recipe: dict[str, Any], json: bool
) -> None:
    (path, digest), *more = written.items()
    found = {
        "out": str(path),
        **({"animation": str(more[0][0])} if more else {}),
        "shape": list(x.shape),
        "seconds": seconds,
        "seconds_per_sample": seconds / len(x),
        "recipe": {**recipe, "file_sha256": digest},
    }
    if json:
        output.print_json(found)
    else:
        what = f"{len(x):,} samples of {recipe['model']}"
        names = " and ".join(str(name) for name in written)
        output.say(f"{names}: {what} in {output.seconds(seconds)}, seed {recipe['seed']}")
