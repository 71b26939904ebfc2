"""A classifier that starts from a trained model's features, against one that starts from nothing.

Both are the same network, the path from an example to the model's features, with a linear layer on
top, and both are trained end to end in the same way on the same labels: `genus.applications.
fine_tuning`. What they differ in is the weights at the start: those of a run, which has seen many
examples and no labels, or random ones.
"""

# Shapes: B batch, N test examples, D features, Y classes, S seeds.
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.extract import check_features
from genus.applications.fine_tuning import (
    Classifier,
    FineTuning,
    Start,
    check_trainable,
    descend,
    judged,
    start_network,
)
from genus.applications.labels import balanced_rows, check_classes, labels_of, share
from genus.errors import ConfigError
from genus.evaluation.rows import choose
from genus.evaluation.scoring import check_match, plain

if TYPE_CHECKING:
    from genus.data import DataSet

SIZES = (100, 1000, None)
"""Numbers of labels at which the two are compared; None is all there are."""


@dataclass(frozen=True)
class Trial:
    """One classifier.

    Args:
        start: where its weights began.
        labels: examples that it was trained on.
        seed: of the labels, the random weights and the order of the examples.
        learning_rate: the one that was chosen.
        step: the update after which it was best on valid; 0 is the linear probe it began as.
        valid: accuracy there.
        accuracy: on test.
        standard_error: of that, over test examples.
    """

    start: Start
    labels: int
    seed: int
    learning_rate: float
    step: int
    valid: float
    accuracy: float
    standard_error: float


@dataclass(frozen=True)
class Gain:
    """Both starts at one number of labels.

    Args:
        labels: how many.
        seeds: how many trials of each start.
        run: mean accuracy on test, started from the run.
        random: the same, from random weights.
        gain: their difference.
        standard_error: of the gain, over test examples, each with its mean over seeds; the two
            classifiers are compared on the same examples.
        spread: standard deviation of the gain over seeds; None for one seed.
    """

    labels: int
    seeds: int
    run: float
    random: float
    gain: float
    standard_error: float
    spread: float | None


@dataclass(frozen=True)
class Gains:
    """The table, and the trials behind it."""

    model: str
    data: str
    tested: int
    rows: tuple[Gain, ...]
    trials: tuple[Trial, ...]
    settings: FineTuning

    def to_json(self) -> dict[str, Any]:
        """Return the table as a dictionary of plain values."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def train_classifier(
    model: Any,
    data: DataSet,
    *,
    labels: Sequence[int | None] = SIZES,
    seeds: int = 3,
    settings: FineTuning | None = None,
    progress: Callable[[str], None] | None = None,
) -> Gains:
    """Train classifiers from a model's weights and from random ones, and compare them on test.

    Args:
        model: with differentiable features; it is left as it is.
        data: with labels, of the kind that the model is for.
        labels: numbers of labelled examples, in balance over classes; None is all there are.
        seeds: trials of each start where labels are chosen; with all labels, one.
        settings: how they are trained.
        progress: told what takes long.

    Raises:
        ConfigError: the model has no features, or none that can be trained; a number that cannot
            be used.
        SpecError: the model is for other data.
        DataError: there are no labels, too few, or of one class only.
        TrainingError: the loss is not finite.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("made", data.spec.unconditional(), hidden=32)
        >>> quick = FineTuning(steps=20, learning_rates=(1e-3,))
        >>> gains = train_classifier(model, data, labels=[50], seeds=1, settings=quick)
        >>> gains.rows[0].labels, len(gains.trials)
        (50, 2)
    """
    settings = settings or FineTuning()
    check_features(model)
    check_match(model, data)
    y_N = labels_of(data, "train")
    check_classes(y_N, f"{data.name} train")
    labels_of(data, "valid"), labels_of(data, "test")
    check_trainable(model, data)
    if seeds < 1 or not labels:
        raise ConfigError("seeds and the list of labels must not be empty; 3 seeds are usual")
    plans = _plans(y_N, labels, seeds)
    say = progress or (lambda message: None)
    trials: list[Trial] = []
    rows = []
    for count, chosen in plans:
        right: dict[Start, list[Tensor]] = {"run": [], "random": []}
        for seed, rows_n in enumerate(chosen):
            for start in right:
                say(f"{count:,} labels, seed {seed}, from {start}")
                trial, right_N = _try(model, data, start, rows_n, seed, settings)
                trials.append(trial)
                right[start].append(right_N)
        rows.append(_gain(count, torch.stack(right["run"]), torch.stack(right["random"])))
    return Gains(model.name, data.name, len(data.test), tuple(rows), tuple(trials), settings)


def _plans(y_N: Tensor, labels: Sequence[int | None], seeds: int) -> list[tuple[int, list[Tensor]]]:
    """Return for each number of labels the rows of every seed; all that is wrong shows here."""
    everything = torch.arange(len(y_N))
    plans = []
    for n in dict.fromkeys(labels):
        if n is None or n == len(y_N):
            plans.append((len(y_N), [everything]))
        else:
            plans.append((n, [balanced_rows(y_N, n, seed) for seed in range(seeds)]))
    return plans


def _try(
    model: Any, data: DataSet, start: Start, rows: Tensor, seed: int, settings: FineTuning
) -> tuple[Trial, Tensor]:
    """Train one classifier at each learning rate; test the one that is best on valid."""
    looked_at = choose(len(data.valid), settings.valid_limit, seed=0)
    first = Classifier(start_network(model, start, data, seed), data, rows, looked_at)
    best: tuple[tuple[float, float], float, int, Classifier] | None = None
    for rate in settings.learning_rates:
        network = copy.deepcopy(first)  # each rate begins anew, and the caller's model is kept
        reached, step = descend(network, data, rows, looked_at, rate, seed, settings)
        if best is None or reached > best[0]:
            best = (reached, rate, step, network)
    assert best is not None
    (valid, _), rate, step, network = best
    right_N, _ = judged(network, data.test, None)
    accuracy, error = share(right_N)
    return Trial(start, len(rows), seed, rate, step, valid, accuracy, error), right_N


def _gain(labels: int, run_SN: Tensor, random_SN: Tensor) -> Gain:
    """Return the comparison of both starts from who was right where."""
    gain_SN = run_SN.double() - random_SN.double()
    over_seeds_S = gain_SN.mean(1)
    each_N = gain_SN.mean(0)
    error = float(each_N.std(correction=0)) / len(each_N) ** 0.5
    return Gain(
        labels,
        len(gain_SN),
        float(run_SN.double().mean()),
        float(random_SN.double().mean()),
        float(over_seeds_S.mean()),
        error,
        float(over_seeds_S.std()) if len(over_seeds_S) > 1 else None,
    )
