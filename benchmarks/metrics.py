"""What each figure of the sample block sees: planted failures of a model, in z-scores.

Samples are real examples that neither the feature networks nor the reference have seen, spoilt in
one known way. Every figure of such a set is held against the same figure of several disjoint sets
of real examples, its own null: (figure - mean of the null) / standard deviation of the null.
The null of a distance is skewed, so one draw in some tens has a large score by chance; each score
is the median of three draws of the failure. Where it is beyond 3 in size, the figure sees the
failure, and it is printed in bold. The last row is untouched real data, of which no figure should
say anything.

    python benchmarks/metrics.py [--data fashion-mnist] [--samples 500] [--nulls 17] [--seed 0]
        [--threads 2] [--json]

Without --data it takes fashion-mnist where GENUS_DATA has it, and digits, split anew, elsewhere.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

import genus
from genus.data import ArraySplit, DataSet, list_data
from genus.evaluation.bins import ALPHA
from genus.evaluation.block import SampleBlock
from genus.evaluation.features import visible_rows
from genus.evaluation.rows import read
from genus.evaluation.samples import Reference
from genus.spec import Batch

SEEN = 3.0
DRAWS = 3
MISSING = 3
"""The class that is left out."""

Figure = Callable[[SampleBlock], float]


def _feature(net: str, name: str) -> Figure:
    return lambda block: getattr(block.scores[net], name).value


FIGURES: dict[str, Figure] = {
    "FD": _feature("trained", "frechet"),
    "FD rand": _feature("random", "frechet"),
    "KID": _feature("trained", "kernel"),
    "KID rand": _feature("random", "kernel"),
    "SW": _feature("trained", "sliced"),
    "SW rand": _feature("random", "sliced"),
    "prec.": _feature("trained", "precision"),
    "recall": _feature("trained", "recall"),
    "dens.": _feature("trained", "density"),
    "cover.": _feature("trained", "coverage"),
    "bins": lambda block: block.bins.different.value,
    "JS": lambda block: block.bins.divergence.value,
    "classes": lambda block: block.classes.statistic.value,
    "near": lambda block: block.nearer_to_train.share,
}


@dataclass(frozen=True)
class Material:
    """What failures are made of: fresh real examples, training examples, the top level."""

    fresh: Batch
    train: Batch
    top: int


Failure = Callable[[Material, int, torch.Generator], Tensor]


def pick(total: int, n: int, generator: torch.Generator) -> Tensor:
    """Return ``n`` distinct rows of ``total``."""
    return torch.randperm(total, generator=generator)[:n]


def real(given: Material, n: int, generator: torch.Generator) -> Tensor:
    return given.fresh.x[pick(len(given.fresh), n, generator)]


def class_missing(given: Material, n: int, generator: torch.Generator) -> Tensor:
    left = (given.fresh.y != MISSING).nonzero().flatten()
    return given.fresh.x[left[pick(len(left), n, generator)]]


def unbalanced(times: float) -> Failure:
    """Even classes come so many times as often as odd ones."""

    def make(given: Material, n: int, generator: torch.Generator) -> Tensor:
        weights = torch.where(given.fresh.y % 2 == 0, times, 1.0)
        return given.fresh.x[torch.multinomial(weights, n, generator=generator)]

    return make


def blurred(given: Material, n: int, generator: torch.Generator) -> Tensor:
    x = real(given, n, generator).float()
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])


def noisy(given: Material, n: int, generator: torch.Generator) -> Tensor:
    x = real(given, n, generator).float()
    return x + 0.1 * given.top * torch.randn(x.shape, generator=generator)


def faded(given: Material, n: int, generator: torch.Generator) -> Tensor:
    return 0.8 * real(given, n, generator).float()


def repeated(given: Material, n: int, generator: torch.Generator) -> Tensor:
    """A twentieth of the examples, each twenty times: a model that has collapsed in part."""
    few = real(given, n // 20, generator)
    return few.repeat(20, *[1] * (few.dim() - 1))


def copied(share: float) -> Failure:
    def make(given: Material, n: int, generator: torch.Generator) -> Tensor:
        x = real(given, n, generator).clone()
        copies = round(share * n)
        x[:copies] = given.train.x[pick(len(given.train), copies, generator)]
        return x

    return make


FAILURES: dict[str, Failure] = {
    "one class missing": class_missing,
    "wrong balance of classes": unbalanced(2),
    "repeats": repeated,
    "blur": blurred,
    "noise": noisy,
    "contrast 80%": faded,
    "30% copied from train": copied(0.3),
    "all copied from train": copied(1.0),
    "real data": real,
}


def with_fresh_rows(data: DataSet, wanted: int) -> DataSet:
    """Return the data, split anew where valid has too few rows to make samples of."""
    if len(data.valid) >= wanted:
        return data
    parts = [read(data.split(name)) for name in ("train", "valid", "test")]
    x, y = torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    if len(x) < 1.5 * wanted:
        raise SystemExit(f"{data.name} has {len(x)} examples; take fewer --samples or --nulls")
    ends = {"valid": (0, wanted), "test": (wanted, wanted + (len(x) - wanted) // 3)}
    ends["train"] = (ends["test"][1], len(x))
    rows = {name: order[start:end] for name, (start, end) in ends.items()}
    splits = {name: ArraySplit(x[r], y[r]) for name, r in rows.items()}
    return DataSet(f"{data.name}, split anew", data.spec, splits, f"{data.digest}:{wanted}")


def behaviour(
    data: DataSet,
    n: int,
    nulls: int,
    seed: int = 0,
    failures: dict[str, Failure] = FAILURES,
    say: Callable[[str], None] = print,
) -> tuple[dict[str, dict[str, float]], Reference]:
    """Return the z-score of each figure for each failure, and the reference they belong to."""
    data = with_fresh_rows(data, (nulls + 3) * n)
    reference = Reference(data, n=n, seed=seed, progress=say)
    generator = torch.Generator().manual_seed(seed)
    fresh = read(data.valid)
    order = torch.randperm(len(fresh), generator=generator)
    left = fresh[order[nulls * n :]]
    given = Material(left, read(data.train, visible_rows(data)), top=data.spec.levels_or_raise - 1)
    null = [reference.measure(fresh.x[rows]) for rows in order[: nulls * n].split(n)]
    scores = {}
    for name, make in failures.items():
        say(name)
        blocks = [reference.measure(make(given, n, generator)) for _ in range(DRAWS)]
        scores[name] = {
            figure: statistics.median(
                z_score(of(block), [of(other) for other in null], least_spread(figure, block))
                for block in blocks
            )
            for figure, of in FIGURES.items()
        }
    return scores, reference


def least_spread(figure: str, block: SampleBlock) -> float:
    """Return the spread that a null has in theory, where a few draws of it may show none."""
    return math.sqrt(ALPHA * (1 - ALPHA) / block.bins.bins) if figure == "bins" else 0.0


def z_score(value: float, null: list[float], least: float = 0.0) -> float:
    """Return how many standard deviations of the null a value lies from its mean."""
    mean, spread = statistics.fmean(null), max(statistics.stdev(null), least)
    if spread == 0:
        return 0.0 if value == mean else math.copysign(math.inf, value - mean)
    return (value - mean) / spread


def table(scores: dict[str, dict[str, float]]) -> str:
    """Return the z-scores as Markdown, in bold where the figure sees the failure."""
    lines = ["| | " + " | ".join(FIGURES) + " |", "| --- |" + " ---: |" * len(FIGURES)]
    for name, row in scores.items():
        cells = [f"**{z:.0f}**" if abs(z) > SEEN else f"{z:.0f}" for z in row.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="images with labels; fashion-mnist, or else digits")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--nulls", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    there = {entry.name for entry in list_data() if entry.where in ("present", "embedded")}
    name = given.data or ("fashion-mnist" if "fashion-mnist" in there else "digits")
    data = genus.load_data(name)
    large = len(data.valid) > 5000
    n, nulls = given.samples or (500 if large else 130), given.nulls or (17 if large else 6)
    started = time.perf_counter()
    scores, reference = behaviour(
        data, n, nulls, given.seed, say=lambda line: print(line, file=sys.stderr)
    )
    seconds = time.perf_counter() - started
    if given.json:
        print(json.dumps({"fingerprint": reference.fingerprint, "z": scores}))
        return
    print(table(scores))
    print(
        f"\n{reference.data.name}, {reference.data.digest}; {n} samples, {nulls} null draws, seed "
        f"{given.seed}, figures {reference.fingerprint}; {given.threads} threads, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
