"""`genus classify`: Bayes' rule with a model of each class."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli import datasets, output, run_data, runs
from genus.cli.datasets import DataOptions
from genus.cli.errors import Problems, hinted
from genus.cli.options import Flag, Out, check_device, check_output, within
from genus.errors import ConfigError, SpecError

if TYPE_CHECKING:
    from genus.applications import Classification

MOST_BINS = 1_000
"""The most bins of confidence."""
MOST_SAMPLES = 100_000
"""The most samples of a bound."""
MOST_SHOWN = 12
"""The most classes whose confusions are shown in words; JSON holds them all."""


def classify(
    run: Path,
    /,
    *,
    data: str | None = None,
    split: str = "test",
    out: Out = None,
    bins: int = 15,
    k: int = 16,
    device: str = "cpu",
    reading: DataOptions = datasets.PLAIN,
    force: Flag = False,
    json: output.Json = False,
) -> None:
    """Classify examples by Bayes' rule, and say how far its probabilities can be trusted.

    Args:
        run: The folder of a run trained with --conditional.
        data: Other data with the same classes; the run's own when left out.
        split: test, or valid while you still choose between models.
        out: A .csv for the posterior of every example, and its log p(x).
        bins: Bins of confidence by which calibration is measured.
        k: Samples of each bound, of a model that knows bounds only.
        device: Where the model is run: auto, cpu, cuda or cuda:1.
        reading: How other data are read.
        force: Replace the file if it exists.
        json: Print JSON to stdout.
    """
    record = runs.read(run)
    _check(out, bins, k, device, force)
    from genus.applications import classify as judge
    from genus.applications.class_posterior import check_able
    from genus.capabilities import Density, supports
    from genus.training import load

    model = load(run, device)
    try:
        check_able(model)
    except ConfigError as error:
        raise hinted(error, "genus models") from None
    except SpecError as error:
        again = f"genus train {record.model} --data {record.data['name']} --conditional"
        raise hinted(error, f"{again} --time-budget 60s") from None
    found = run_data.of_run(record.data, data, reading)
    result = judge(
        model,
        found,
        split=split,
        bins=bins,
        k=k,
        likelihoods=out is not None and supports(model, Density),
        progress=output.note,
    )
    content = {"run": str(run), "digest": found.digest, **result.to_json()}
    if out is not None:
        content["out"] = str(out)
        content["sha256"] = _write(out, result)
    if json:
        output.print_json(content)
    else:
        _print(content)
    written = out is not None or not supports(model, Density)
    output.next_step(
        f"genus evaluate {run}" if written else f"genus classify {run} -o posterior.csv"
    )


def _check(out: Path | None, bins: int, k: int, device: str, force: bool) -> None:
    problems = Problems()
    with problems.collect():
        check_device(device)
    with problems.collect():
        within(bins, 1, MOST_BINS, "--bins", "15 is usual")
    with problems.collect():
        within(k, 1, MOST_SAMPLES, "--k", "16 is usual")
    if out is not None:
        with problems.collect():
            check_output(out, force)
        problems.require(out.suffix.lower() == ".csv", f"--out {out} must end with .csv")
    problems.raise_any("cannot classify:")


def _write(path: Path, found: Classification) -> str:
    """Write a line for each example and return the sha256 of the file."""
    from genus.training.atomic import write_bytes

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    density = [] if found.log_prob_N is None else ["log_prob"]
    writer.writerow(["row", "class", "predicted", *(f"p({y})" for y in found.labels), *density])
    predicted_N = found.log_posterior_NY.argmax(1).tolist()
    posterior_NY = found.log_posterior_NY.exp().tolist()
    log_prob_N = None if found.log_prob_N is None else found.log_prob_N.tolist()
    for row, true in enumerate(found.y_N.tolist()):
        names = (found.labels[true], found.labels[predicted_N[row]])
        more = [] if log_prob_N is None else [log_prob_N[row]]
        writer.writerow([row, *names, *posterior_NY[row], *more])
    return write_bytes(path, text.getvalue().encode())


def _print(content: dict[str, Any]) -> None:
    output.say(f"{content['model']} on {content['data']}, {content['split']} split")
    accuracy, error = content["accuracy"], content["standard_error"]
    facts: list[tuple[str, Any]] = [
        ("examples", content["examples"]),
        (
            "accuracy",
            f"{accuracy:.2%} ± {error:.2%} (the commonest class: {content['majority']:.2%})",
        ),
    ]
    if content["k"] is not None:
        facts.append(("posterior", f"approximate: by bounds of {content['k']} samples"))
    facts += _probabilities(content["calibration"], "")
    if content["tempered"] is None:
        facts.append(("temperature", "not to be told: every example of valid is right"))
    else:
        facts.append(("temperature", f"{content['temperature']:.3g}, chosen on valid; with it:"))
        facts += _probabilities(content["tempered"], "  ")
    output.pairs(facts)
    bins = [b for b in content["calibration"]["bins"] if b["count"]]
    rows = [
        (f"{b['low']:.2f} to {b['high']:.2f}", b["count"], b["confidence"], b["accuracy"])
        for b in bins
    ]
    output.table(("confidence", "examples", "mean", "right"), rows, "Reliability")
    if len(content["labels"]) <= MOST_SHOWN:
        _print_confusion(content["labels"], content["confusion"])
    if "out" in content:
        output.say(f"{content['out']}: the posterior of every example, as Bayes' rule gives it")


def _probabilities(found: dict[str, Any], indent: str) -> list[tuple[str, Any]]:
    """Return the lines on a posterior: its log-probability and its calibration."""
    nats = "minus infinity: a true class was held impossible"
    if found["log_prob"] is not None:
        error = found["standard_error"] or 0.0
        nats = f"{found['log_prob']:.4f} ± {error:.4f} nats per example"
    calibration = f"{found['error']:.4f} (expected calibration error, {len(found['bins'])} bins)"
    return [(f"{indent}log p(y|x)", nats), (f"{indent}calibration", calibration)]


def _print_confusion(labels: list[str], confusion: list[list[int]]) -> None:
    rows = [(name, *counts) for name, counts in zip(labels, confusion, strict=True)]
    output.table(("true \\ predicted", *labels), rows, "Confusions")
