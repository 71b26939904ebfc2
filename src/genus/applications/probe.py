"""A linear probe: what a linear classifier can read off features, beside what it reads off pixels.

The classifier is multinomial logistic regression on features that are standardised, or whitened
as well, whichever is better on the valid split. The strength of regularisation is chosen there too;
the test split is read once, with that choice.
"""

# Shapes: N examples, D features.
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.applications.extract import FeatureTable, check_features, extract_features, raw_values
from genus.applications.labels import balanced_rows, check_classes, labels_of, share
from genus.applications.linear import STRENGTHS, fit_linear
from genus.evaluation.scoring import check_match

if TYPE_CHECKING:
    from genus.data import DataSet, Split


@dataclass(frozen=True)
class Probe:
    r"""A linear probe that has been trained and tested.

    .. math:: \min_{W, b} -\frac1N \sum_n \log p(y_n \mid x_n; W, b) + \frac\lambda2 \|W\|^2

    Args:
        of: what was probed.
        features: D.
        classes: how many were told apart.
        labels: labelled examples that it was trained on.
        strength: the :math:`\lambda` that was chosen.
        whitened: whether that was better with columns turned to their principal axes.
        valid: accuracy on the valid split of each strength that was tried, with such columns.
        accuracy: on the test split, read once.
        standard_error: of that accuracy, over test examples.
        tested: how many there are.
        converged: whether L-BFGS came to its tolerance at the strength that was chosen.
        seed: of the choice of labels; it has no effect where all were taken.
    """

    of: str
    features: int
    classes: int
    labels: int
    strength: float
    whitened: bool
    valid: dict[float, float]
    accuracy: float
    standard_error: float
    tested: int
    converged: bool
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary of plain values."""
        return {**asdict(self), "valid": {f"{k:g}": v for k, v in self.valid.items()}}


def linear_probe(
    model: Any,
    data: DataSet,
    *,
    labels: int | None = None,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    progress: Callable[[str], None] | None = None,
) -> Probe:
    """Train and test a linear classifier on a model's features.

    Args:
        model: with the capability `Features`, for such data.
        data: with labels.
        labels: train on so many examples, in balance over classes; on all where left out.
        seed: of that choice.
        strengths: of regularisation; the best on valid is taken, of equals the largest.
        progress: told what takes long.

    Raises:
        ConfigError: the model has no features, or a number that cannot be used.
        SpecError: the model is for other data.
        DataError: there are no labels, too few, or of one class only.

    References:
        | Understanding Intermediate Layers Using Linear Classifier Probes (Alain and Bengio, 2016)
        | https://arxiv.org/abs/1610.01644

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("made", data.spec.unconditional(), hidden=64)
        >>> probe = linear_probe(model, data, labels=200)
        >>> probe.features, probe.accuracy > 0.5
        (64, True)
    """
    check_features(model)
    check_match(model, data)
    name = f"features of {model.name}"

    def table(split: Split, rows: Tensor | None) -> FeatureTable:
        return extract_features(model, split, rows=rows)

    return _probe(name, table, data, labels, seed, strengths, progress)


def value_probe(
    data: DataSet,
    *,
    labels: int | None = None,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    progress: Callable[[str], None] | None = None,
) -> Probe:
    """Train and test the same classifier on the examples' own values: what features must beat.

    Args, Raises: as `linear_probe`.
    """

    def table(split: Split, rows: Tensor | None) -> FeatureTable:
        return raw_values(data.spec, split, rows=rows)

    name = "raw pixels" if data.spec.is_image else "raw values"
    return _probe(name, table, data, labels, seed, strengths, progress)


def _probe(
    name: str,
    table: Callable[[Split, Tensor | None], FeatureTable],
    data: DataSet,
    labels: int | None,
    seed: int,
    strengths: Sequence[float],
    progress: Callable[[str], None] | None,
) -> Probe:
    y_N = labels_of(data, "train")
    rows = None if labels is None else balanced_rows(y_N, labels, seed)
    check_classes(y_N if rows is None else y_N[rows], f"{data.name} train")
    labels_of(data, "valid"), labels_of(data, "test")
    say = progress or (lambda message: None)
    say(f"reading {name}")
    train, valid = table(data.train, rows), table(data.valid, None)
    say(f"probing {train.x.shape[1]} {name}")
    found = fit_linear(train.x, train.y, valid.x, valid.y, strengths)
    test = table(data.test, None)
    assert test.y is not None
    accuracy, error = share(torch.from_numpy(found.predict(test.x) == test.y))
    return Probe(
        name,
        train.x.shape[1],
        len(found.machine.classes_),
        len(train.x),
        found.strength,
        found.whitened,
        found.valid,
        accuracy,
        error,
        len(test.x),
        found.converged,
        seed,
    )
