"""What `genus evaluate` prints of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genus.cli import output

if TYPE_CHECKING:
    from genus.evaluation import Evaluation
    from genus.evaluation.pairs import Mean, PairBlock


def print_evaluation(found: Evaluation) -> None:
    """Print likelihood, cost, pairs and samples, as far as there are any, and the notes."""
    content = found.to_json()
    data, likelihood, cost = content["data"], content["likelihood"], content["cost"]
    digest = data["digest"].removeprefix("sha256:")[:16]
    output.say(f"{found.model} on {data['name']}, {data['split']} split")
    facts = [("examples", data["examples"]), ("digest", digest), *_likelihood(found, likelihood)]
    if cost["parameters"] is not None:
        facts.append(("parameters", cost["parameters"]))
    for name, key in (("training", "training_seconds"), ("one sample", "seconds_per_sample")):
        if cost[key] is not None:
            each = f"{cost[key]:.2g} s" if cost[key] < 1 else output.seconds(cost[key])
            facts.append((name, each))
    output.pairs(facts)
    if found.pairs is not None:
        _print_pairs(found.pairs)
    if content["samples"] is not None:
        _print_samples(content["samples"])
    for line in found.notes:
        output.say(f"note: {line}")


def _likelihood(found: Evaluation, likelihood: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the lines on the likelihood: figure, standard error over examples, kind."""
    if likelihood["nats"] is None:
        what = "this model has none" if found.family != "samples" else "that takes the model"
        return [("log-likelihood", f"n/a: {what}")]
    kind, error = found.likelihood.label, likelihood["standard_error"]
    known, data = "", found.data
    if data.known is not None:
        known = f", of the known entries ({data.known:.4g} of {data.dims} in the mean)"
    interval = _between(likelihood["interval"], "log Z")
    nats = f"{likelihood['nats']:.4f} ± {error or 0:.4f} nats per example, {kind}{interval}{known}"
    lines = [("log-likelihood", nats)]
    if likelihood["bits_per_dim"] is not None:
        bits, error = likelihood["bits_per_dim"], likelihood["bits_per_dim_standard_error"]
        interval = _between(likelihood["bits_per_dim_interval"], "log Z")
        unit = "bits/dim" if data.known is None else "bits/known entry"
        lines.append((unit, f"{bits:.4f} ± {error or 0:.4f}, {kind}{interval}"))
    return lines


def _between(interval: list[float] | None, cause: str) -> str:
    """Return an interval in words, or nothing where there is none."""
    if interval is None:
        return ""
    low, high = interval
    return f", between {low:.4f} and {high:.4f} as {cause} is"


def _print_pairs(block: PairBlock) -> None:
    """Print how near samples come to their originals, beside what is done without a model."""
    rows: list[tuple[Any, ...]] = []
    for name, words in (
        ("psnr", "PSNR, dB"),
        ("l1", "L1, of a range of 1"),
        ("consistency", "L1 of the condition made again"),
    ):
        means = [
            None if row is None else getattr(row, name) for row in (block.model, block.baseline)
        ]
        if means[0] is not None:
            rows.append((words, *(None if mean is None else _told(mean) for mean in means)))
    given = f" given {block.degradation}" if block.degradation else ""
    output.table((f"{block.n} pairs{given}", "model", "condition alone"), rows)


def _told(mean: Mean) -> str:
    return f"{mean.value:.4g} ± {mean.standard_error:.2g}"


def _print_samples(block: dict[str, Any]) -> None:
    """Print each figure of the sample block beside what real data get."""
    names = ("frechet", "kernel", "sliced", "precision", "recall", "density", "coverage")
    rows: list[tuple[Any, ...]] = []
    for net, scores in block["features"].items():
        for name in names:
            rows.append((net, name, *_figures(scores[name])))
    rows += _histogram_rows(block)
    output.table(("features", f"{block['n']} samples", "value", "±", "real data"), rows)
    null = [f"{net} {each['frechet_null']:.4g}" for net, each in block["features"].items()]
    output.say(f"frechet of a perfect model by the closed form: {', '.join(null)}")
    nearer = block["nearer_to_train"]
    share, error, fair = nearer["share"], nearer["standard_error"], nearer["null"]
    output.say(f"nearer to train than to held-out: {share:.2f} ± {error:.2f} ({fair:.2f} is fair)")
    _print_audit(block["audit"])
    output.say(f"fingerprint of these figures: {block['fingerprint']}")


def _figures(measure: dict[str, float | None]) -> tuple[float | None, ...]:
    """Return what a table shows of a measure: value, standard error and what real data get."""
    return measure["value"], measure["standard_error"], measure["floor"]


def _histogram_rows(block: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the lines of the table that need no features: bins, classes, labels."""
    parts = (
        ("bins", "different", "share of different bins"),
        ("bins", "divergence", "divergence of bins, bits"),
        ("classes", "statistic", "chi-squared of classes"),
        ("labels", "accuracy", "label accuracy"),
        ("labels", "classification", "classification accuracy"),
    )
    return [
        ("", words, *_figures(block[part][name]))
        for part, name, words in parts
        if block[part] is not None
    ]


def _print_audit(audit: dict[str, Any]) -> None:
    """Print the verdict, and what it rests on."""
    output.say(f"audit: {audit['summary']}")
    seen = [finding["words"] for finding in audit["findings"] if finding["seen"]]
    for words in seen or [
        f"copies of fewer than {audit['unseen']:.0%} of the samples may go unseen"
    ]:
        output.say(f"  {words}")
