"""How many of the 1,000 kinds of stacked-mnist a run makes.

    genus train r3gan --data stacked-mnist --time-budget 20m --out runs/stacked
    python benchmarks/modes.py runs/stacked

Prints the kinds among the samples and their divergence from the training data's, beside those of
real examples. Papers count 26,000 samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import genus
from genus.evaluation.drawing import draw
from genus.evaluation.modes import ModeCounter, Modes
from genus.evaluation.rows import read


def line(label: str, found: Modes) -> str:
    """Return one line of the table."""
    return f"{label:<24}{found.n:>9,}{found.found:>9,}{found.divergence:>12.4f}"


def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="run folders of stacked-mnist")
    parser.add_argument("--samples", type=int, default=26_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = genus.load_data("stacked-mnist")
    counter = ModeCounter(data)
    print(f"{data.name} {data.short_digest}; classifier of a channel: {counter.accuracy:.2%} right")
    print(f"{'':<24}{'samples':>9}{'kinds':>9}{'KL, nats':>12}")
    for run in given.runs:
        x, seconds = draw(genus.load(run), given.samples, seed=given.seed)
        print(line(run.name, counter(x)), f"  {seconds * given.samples:.0f} s")
    rows = torch.arange(min(given.samples, len(data.valid)))
    print(line("real (valid)", counter(read(data.valid, rows).x)))


if __name__ == "__main__":
    main()
