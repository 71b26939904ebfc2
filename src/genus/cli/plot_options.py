"""The options of `genus plot`: what there are pictures of, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from genus.cli.errors import Problems, UsageError
from genus.cli.options import Flag, check_device, check_output, check_seed, numbers, within

Kind = Literal[
    "reconstructions",
    "projection",
    "interpolation",
    "traversal",
    "latent-map",
    "filters",
    "states",
    "curves",
    "progress",
]
"""What there are pictures of."""
Route = Literal["auto", "straight", "sphere"]
"""Ways between two latents, as `genus.applications.interpolation` has them."""
MOST_STEPS = 65
"""The most pictures of one way."""


@dataclass(frozen=True)
class Shown:
    """What a picture shows: how many examples, pairs, latents or units, and by which options.

    Args:
        usual: how many where nothing is said.
        most: how many at most.
        module: of `genus.applications` that draws it.
        options: names of the options beside those that all take.
    """

    usual: int
    most: int
    module: str
    options: tuple[str, ...]


DATA = ("--data", "--split", "--index")
KINDS: dict[str, Shown] = {
    "reconstructions": Shown(16, 512, "reconstructions", (*DATA, "--draw")),
    "projection": Shown(12, 64, "projection", DATA),
    "interpolation": Shown(6, 64, "interpolation", (*DATA, "--draw", "--steps", "--route")),
    "traversal": Shown(8, 128, "traversal", (*DATA, "--draw", "--steps")),
    "latent-map": Shown(2_000, 100_000, "latent_map", DATA),
    "filters": Shown(64, 4_096, "filters", ()),
    "states": Shown(4, 64, "state_paths", DATA),
    "curves": Shown(1, 1, "curves", ()),
    "progress": Shown(100, 500, "", ()),
}
"""All pictures; the progress of the training is an animation of what the run has kept."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """What a picture shows, and how.

    Args:
        n: How many: examples (reconstructions 16, projection 12, states 4, latent-map 2,000 at
            most), pairs (interpolation 6), latents (traversal 8), hidden units (filters 64), or
            frames at most (progress 100).
        index: Which rows of the split, such as 0-3,7; at random when left out. Two for each pair
            of an interpolation, one for a traversal.
        steps: Pictures of each way of an interpolation (9), or of each latent of a traversal (7).
        route: Way of an interpolation: straight, sphere (an arc about the origin), or auto, an
            arc for a standard normal prior of 10 latents or more.
        draw: Show draws of the law of the entries; their means when left out.
        seed: Seed of the choice of rows and of draws.
        device: Where the model is run: auto, cpu, cuda or cuda:1.
    """

    n: Annotated[int | None, Parameter(name=("-n", "--n"))] = None
    index: str | None = None
    steps: int | None = None
    route: Route | None = None
    draw: Flag = False
    seed: int = 0
    device: str = "cpu"

    def given(self) -> list[str]:
        """Return the options that were typed and that not every picture takes."""
        found = {
            "--index": self.index, "--steps": self.steps, "--route": self.route,
            "--draw": self.draw or None,
        }  # fmt: skip
        return [name for name, value in found.items() if value is not None]


USUAL = PlotOptions()
"""What the options are where none is typed."""


def suffix_of(kind: str) -> str:
    """Return how the name of a picture's file ends."""
    return ".gif" if kind == "progress" else ".png"


def check(
    kind: str,
    data: str | None,
    split: str | None,
    options: PlotOptions,
    path: Path,
    force: bool,
) -> None:
    """Check all that can be checked before the run is loaded.

    Raises:
        UsageError: with all that is wrong.
    """
    problems, limits = Problems(), KINDS[kind]
    given = [n for n, v in (("--data", data), ("--split", split)) if v is not None]
    for name in [*given, *options.given()]:
        takers = [other for other, found in KINDS.items() if name in found.options]
        problem = f"{name} is for {', '.join(takers)}; leave it out of {kind}"
        problems.require(name in limits.options, problem)
    with problems.collect():
        within(
            limits.usual if kind == "curves" else options.n or limits.usual,
            1,
            limits.most,
            "-n",
            f"{limits.usual:,} is usual",
        )
    problems.require(options.n != 0, "-n 0 must be at least 1")
    problems.require(options.n is None or kind != "curves", "curves are all shown; leave -n out")
    if options.steps is not None:
        with problems.collect():
            within(options.steps, 2, MOST_STEPS, "--steps", "both ends are among them")
    if options.index is not None:
        with problems.collect():
            _check_index(kind, numbers(options.index, "--index"), options)
    with problems.collect():
        check_seed(options.seed)
    with problems.collect():
        check_device(options.device)
    no_model = kind in ("curves", "progress") and options.device != "cpu"
    problems.require(not no_model, f"--device: no model is run for {kind}; leave it out")
    with problems.collect():
        check_output(path, force)
    suffix = suffix_of(kind)
    problems.require(path.suffix.lower() == suffix, f"--out {path} must end with {suffix}")
    problems.require(
        kind != "progress" or options.n != 1, "-n 1 makes no animation; give 2 or more"
    )
    problems.raise_any(f"cannot draw {kind}:")


def _check_index(kind: str, rows: list[int], options: PlotOptions) -> None:
    if kind == "traversal" and len(rows) != 1:
        raise UsageError(f"--index {options.index}: a traversal begins at one example; give one")
    if kind == "interpolation" and len(rows) % 2:
        raise UsageError(
            f"--index {options.index}: an interpolation takes two rows for each pair; "
            f"{len(rows)} make no pairs"
        )
    if options.n is not None and kind != "traversal":
        raise UsageError("-n and --index both say how many; keep one")
    most = KINDS[kind].most * (2 if kind == "interpolation" else 1)
    if len(rows) > most:
        raise UsageError(f"--index gives {len(rows):,} rows, above {most:,}; give fewer")
