r"""Bayes' rule at work: a model of :math:`p(x \mid y)` as a classifier.

.. math:: p(y \mid x) = \frac{p(y)\, p(x \mid y)}{\sum_{y'} p(y')\, p(x \mid y')}
"""

# Shapes: B batch, N examples, Y classes.
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.calibration import (
    BINS,
    Bin,
    best_temperature,
    calibration_error,
    reliability,
    tempered,
)
from genus.applications.class_posterior import SAMPLES, check_able, of_each, posterior
from genus.applications.labels import labels_of, share
from genus.capabilities import Classifies, Density, supports
from genus.errors import ConfigError, SpecError
from genus.evaluation.rows import BLOCK
from genus.evaluation.scoring import check_match, plain
from genus.registry import check_missing

if TYPE_CHECKING:
    from genus.data import DataSet


@dataclass(frozen=True)
class Calibration:
    """How good the probabilities are that stand beside predictions.

    Args:
        bins: predictions by confidence.
        error: the expected calibration error, `genus.applications.calibration.calibration_error`.
        log_prob: mean log p(y | x) of the true class, in nats per example.
        standard_error: of that mean, over examples; NaN where a true class is impossible.
    """

    bins: tuple[Bin, ...]
    error: float
    log_prob: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Classification:
    """What a model's posterior over classes is worth on held-out examples.

    Args:
        model: its name.
        data: the data's.
        split: which part of them.
        labels: names of the classes.
        examples: how many were classified.
        accuracy: share of examples whose likeliest class is the true one.
        standard_error: of the accuracy, over examples.
        majority: accuracy of naming the commonest class every time.
        calibration: of the posterior as Bayes' rule gives it.
        temperature: the one by which the log-posterior is best divided, on the valid split; None
            where every example of valid is right, so that it cannot tell.
        tempered: calibration of the posterior so divided, or None.
        confusion: ``confusion[true][predicted]`` counts examples.
        log_posterior_NY: log p(y | x) of every example; not in the JSON.
        y_N: the true classes; not in the JSON.
        log_prob_N: log p(x) of every example in nats, where it was asked for; not in the JSON.
        k: samples of the bounds that stand for p(x | y), or None where no bounds do.
    """

    model: str
    data: str
    split: str
    labels: tuple[str, ...]
    examples: int
    accuracy: float
    standard_error: float
    majority: float
    calibration: Calibration
    temperature: float | None
    tempered: Calibration | None
    confusion: tuple[tuple[int, ...], ...]
    log_posterior_NY: Tensor
    y_N: Tensor
    log_prob_N: Tensor | None = None
    k: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary of plain values, without those of each example."""
        arrays = ("log_posterior_NY", "y_N", "log_prob_N")
        content = {name: value for name, value in vars(self).items() if name not in arrays}
        content["calibration"] = asdict(self.calibration)
        content["tempered"] = None if self.tempered is None else asdict(self.tempered)
        found: dict[str, Any] = plain(content)
        return found


def classify(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    bins: int = BINS,
    likelihoods: bool = False,
    k: int = SAMPLES,
    batch_size: int = BLOCK,
    progress: Callable[[str], None] | None = None,
) -> Classification:
    """Classify the examples of a split by a model's posterior over classes.

    Where entries are missing, the posterior is that given the known ones. A model that bounds its
    likelihood stands in Bayes' rule with its bounds, see `genus.applications.class_posterior`.

    Args:
        model: with the capability `Classifies` or `Bounded`, made for a Spec with classes.
        data: with the same classes.
        split: what is classified. The temperature is chosen on "valid" in any case.
        bins: of confidence.
        likelihoods: whether log p(x) of each example is wanted too; by it outliers show.
        k: samples of each bound, where bounds are what there is.
        batch_size: examples at a time; changes memory, not results.
        progress: told what takes long.

    Raises:
        ConfigError: the model cannot classify, or has no density where ``likelihoods`` is given.
        SpecError: the model has no classes, or is for other data.
        DataError: there are no labels, or examples that no class allows.

    Example:
        >>> import genus
        >>> from genus.data import iterate
        >>> data = genus.load_data("wine")
        >>> model = genus.create("independent", data.spec)  # naive Bayes, with Gaussians
        >>> model.fit(lambda: iterate(data.train, 64))
        >>> classify(model, data).accuracy > 0.9
        True
    """
    check_able(model)
    _check_data(model, data)
    if likelihoods and not supports(model, Density):
        raise ConfigError(f"{model.name} has no density, so no log p(x); leave likelihoods out")
    y_N, valid_y = labels_of(data, split), labels_of(data, "valid")
    say = progress or (lambda message: None)
    say(f"classifying {data.name} {split} with {model.name}")
    log_posterior = posterior(model, data.split(split), batch_size, k=k)
    on_valid = log_posterior
    if split != "valid":
        say("choosing the temperature on valid")
        on_valid = posterior(model, data.valid, batch_size, k=k)
    temperature = best_temperature(on_valid, valid_y)
    after = None if temperature is None else tempered(log_posterior, temperature)
    accuracy, error = share(log_posterior.argmax(1) == y_N)
    classes = log_posterior.shape[1]
    pairs = torch.bincount(y_N * classes + log_posterior.argmax(1), minlength=classes**2)
    density = None
    if likelihoods:
        say("scoring log p(x)")
        density = of_each(model, "log_prob", data.split(split), batch_size)
    return Classification(
        model.name,
        data.name,
        split,
        data.labels or tuple(map(str, range(classes))),
        len(y_N),
        accuracy,
        error,
        float(torch.bincount(y_N).max()) / len(y_N),
        _calibration(log_posterior, y_N, bins),
        temperature,
        None if after is None else _calibration(after, y_N, bins),
        tuple(tuple(row) for row in pairs.view(classes, classes).tolist()),
        log_posterior,
        y_N,
        density,
        None if supports(model, Classifies) else k,
    )


def _check_data(model: Any, data: DataSet) -> None:
    check_match(model, data, missing=True)
    check_missing(model, data.missing, fit=False)
    if data.spec.classes is not None and data.spec.classes != model.spec.classes:
        raise SpecError(
            f"the model knows {model.spec.classes} classes, but {data.name} has "
            f"{data.spec.classes}; classify data with the classes that it was trained on"
        )


def _calibration(log_posterior_NY: Tensor, y_N: Tensor, bins: int) -> Calibration:
    nats_N = log_posterior_NY.gather(1, y_N[:, None]).squeeze(1)
    found = reliability(log_posterior_NY, y_N, bins)
    error = float(nats_N.std()) / math.sqrt(len(nats_N)) if len(nats_N) > 1 else math.nan
    return Calibration(found, calibration_error(found), float(nats_N.mean()), error)
