"""Generative against discriminative classifiers on the wine data, at few examples and at many.

    python examples/wine.py --divisions 20

The 178 wines are divided anew for each seed: some to train on, as many of each class, and 54 to
test on. Nothing is tuned, so no valid split is needed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

import genus
from genus.applications.labels import balanced_rows
from genus.capabilities import FitContext
from genus.data import as_arrays

TESTED = 54
SIZES = (6, 12, 24, 48, 75)
Predict = Callable[[Tensor], Tensor]


def generative(name: str, **options: Any) -> Callable[[Tensor, Tensor, int], Predict]:
    """Return a function that fits p(x | y) and p(y), and classifies by Bayes' rule."""

    def fit(x: Tensor, y: Tensor, seed: int) -> Predict:
        model: Any = genus.create(name, genus.Spec(shape=(13,), classes=3), **options)
        generator = torch.Generator().manual_seed(seed)
        model.fit(lambda: [genus.Batch(x, y)], FitContext(generator=generator))
        return lambda new: model.class_log_prob(new).argmax(1)

    return fit


def discriminative(machine: Any, **options: Any) -> Callable[[Tensor, Tensor, int], Predict]:
    """Return a function that fits a classifier of scikit-learn to standardised columns."""

    def fit(x: Tensor, y: Tensor, seed: int) -> Predict:
        made = make_pipeline(StandardScaler(), machine(random_state=seed, **options))
        made.fit(x.numpy(), y.numpy())
        return lambda new: torch.from_numpy(made.predict(new.numpy()))

    return fit


CLASSIFIERS = {
    "naive Bayes": generative("naive-bayes"),
    "Gaussian classes, one covariance": generative(
        "gaussian-mixture", components=1, covariance="tied"
    ),
    "Gaussian classes": generative("gaussian-mixture", components=1, covariance="full"),
    "logistic regression": discriminative(LogisticRegression, max_iter=1000),
    "support vector machine": discriminative(SVC),
    "perceptron": discriminative(Perceptron),
}


def divide(y: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows to train on, in balance, and rows to test on, which are the same for every n."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    test, rest = order[:TESTED], order[TESTED:]
    return rest[balanced_rows(y[rest], n, seed)], test


def accuracies(x: Tensor, y: Tensor, n: int, divisions: int) -> dict[str, list[float]]:
    """Return each classifier's accuracy on the test rows of every division."""
    found: dict[str, list[float]] = {name: [] for name in CLASSIFIERS}
    for seed in range(divisions):
        train, test = divide(y, n, seed)
        for name, fit in CLASSIFIERS.items():
            predict = fit(x[train], y[train], seed)
            found[name].append(float((predict(x[test]) == y[test]).double().mean()))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divisions", type=int, default=20, help="of the data, seeds 0, 1, ...")
    divisions = parser.parse_args().divisions
    data = genus.load_data("wine")
    parts = [as_arrays(data.split(name)) for name in ("train", "valid", "test")]
    x = torch.cat([part.x for part in parts])
    y = torch.cat([part.y for part in parts if part.y is not None])
    print(f"{'accuracy (%) after training on':34}" + "".join(f"{n:>12}" for n in SIZES))
    table = {n: accuracies(x, y, n, divisions) for n in SIZES}
    for name in CLASSIFIERS:
        cells = ""
        for n in SIZES:
            values = 100 * torch.tensor(table[n][name])
            error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
            cells += f"{float(values.mean()):>6.1f} ± {error:.1f}"
        print(f"{name:34}{cells}")
    print(f"mean and standard error over {divisions} divisions of {data.name}, {TESTED} to test on")


if __name__ == "__main__":
    main()
