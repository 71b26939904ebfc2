"""`genus train classifier`: from a run's weights and from random ones, at few labels and many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genus.cli import datasets, output, run_data, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import Problems, UsageError, hinted
from genus.cli.options import within
from genus.errors import ConfigError

if TYPE_CHECKING:
    from genus.applications import Gains

MOST_SEEDS = 100
"""The most trials of each start."""
Words = Annotated[tuple[str, ...], Parameter(consume_multiple=1, negative="")]
Rates = Annotated[
    tuple[float, ...],
    Parameter(name="--learning-rate", consume_multiple=1, negative=""),
]


def classifier(
    *,
    from_: Annotated[Path, Parameter(name="--from")],
    data: str | None = None,
    labels: Words = ("100", "1000", "all"),
    seeds: int = 3,
    steps: int = 1_000,
    batch_size: int = 64,
    learning_rate: Rates = (1e-3, 3e-4),
    reading: DataOptions = datasets.PLAIN,
    json: output.Json = False,
) -> None:
    """Train a classifier that starts from a run's features, and one that starts from nothing.

    Args:
        from_: The run whose network and weights the classifier starts from.
        data: Other labelled data of the same kind; the run's own when left out.
        labels: Numbers of labelled examples, in balance over classes; all is every one.
        seeds: Trials of each start with other labels; one where all are taken.
        steps: Updates at most; training ends when valid is no longer gained on.
        batch_size: Examples of one update.
        learning_rate: Step sizes that are tried; each start takes its best on valid.
        reading: How other data are read.
        json: Print JSON to stdout.
    """
    record = runs.read(from_)
    sizes = _sizes(labels, seeds, steps, batch_size, learning_rate)
    from genus.applications import FineTuning, train_classifier
    from genus.training import load

    settings = FineTuning(steps=steps, batch_size=batch_size, learning_rates=learning_rate)
    model = load(from_)
    found = run_data.of_run(record.data, data, reading)
    try:
        gains = train_classifier(
            model, found, labels=sizes, seeds=seeds, settings=settings, progress=output.note
        )
    except ConfigError as error:
        raise hinted(error, f"genus features {from_} --probe") from None
    if json:
        output.print_json({"run": str(from_), "digest": found.digest, **gains.to_json()})
    else:
        _print(gains)
    output.next_step(f"genus features {from_} --probe")


def _sizes(
    labels: tuple[str, ...], seeds: int, steps: int, batch_size: int, rates: tuple[float, ...]
) -> list[int | None]:
    """Return the numbers of labels, or raise one error with all that is out of range."""
    problems, sizes = Problems(), list[int | None]()
    for word in labels:
        with problems.collect():
            sizes.append(_size(word))
    for value, most, name, usual in (
        (seeds, MOST_SEEDS, "--seeds", "3 is usual"),
        (steps, 10_000_000, "--steps", "1000 is usual"),
        (batch_size, 65_536, "--batch-size", "64 is usual"),
    ):
        with problems.collect():
            within(value, 1, most, name, usual)
    for rate in rates:
        with problems.collect():
            within(rate, 1e-8, 10.0, "--learning-rate", "0.001 is usual")
    problems.raise_any("cannot train a classifier:")
    return sizes


def _size(word: str) -> int | None:
    if word.strip().lower() == "all":
        return None
    plain = word.replace(",", "").replace("_", "")
    if not plain.isdecimal() or int(plain) < 1:
        raise UsageError(f"--labels {word!r} must be a number of at least 1, or all")
    return int(plain)


def _print(gains: Gains) -> None:
    output.say(f"classifiers with the network of {gains.model}, on {gains.data}")
    rows = []
    for row in gains.rows:
        spread = "-" if row.spread is None else f"{row.spread:.2%}"
        gain = f"{row.gain:+.2%} ± {row.standard_error:.2%}"
        rows.append((row.labels, row.seeds, f"{row.run:.2%}", f"{row.random:.2%}", gain, spread))
    output.table(("labels", "seeds", "from the run", "from random", "gain", "over seeds"), rows)
    output.say(
        f"accuracy on {gains.tested:,} test examples; step size and moment chosen on valid; ± is "
        "over test examples, the last column the deviation of the gain over seeds"
    )
