"""Multinomial logistic regression; strength and scaling of columns are chosen on held-out rows."""

# Shapes: N examples, D features, Y classes.
from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genus.errors import ConfigError

Array = npt.NDArray[Any]
STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""What is tried of the strength of regularisation."""
MOST_ITERATIONS = 500
"""Of L-BFGS for each strength."""
SMALLEST_VARIANCE = 1e-13
"""Share of the largest variance of standardised columns that a direction must have."""
ROWS = 4096
"""Rows in double precision at a time."""


class Scaler:
    """Brings columns to mean 0 and deviation 1 on the training set; a constant column to 0."""

    def __init__(self, x_ND: npt.NDArray[np.float32]) -> None:
        self.mean = x_ND.mean(0, dtype=np.float64)
        deviation = x_ND.std(0, dtype=np.float64)
        # A column that hardly varies is noise of rounding, and must not be blown up.
        flat = deviation <= 1e-6 * np.abs(self.mean)
        self.deviation = np.where(flat | (deviation == 0), np.inf, deviation)

    def __call__(self, x_ND: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the columns, standardised."""
        scaled: npt.NDArray[np.float32] = ((x_ND - self.mean) / self.deviation).astype(np.float32)
        return scaled


class Whitener(Scaler):
    """Standardises columns and turns them to their principal axes, each of deviation 1.

    Features of networks may vary a million times less in directions that tell classes apart than in
    others. Neither descent nor a penalty of weights reaches those while columns are only scaled.
    """

    def __init__(self, x_ND: npt.NDArray[np.float32]) -> None:
        super().__init__(x_ND)
        scaled = super().__call__(x_ND)
        products_DD = sum((part.T @ part for part in _in_double(scaled)), np.zeros(1))
        variance_D, axes_DD = np.linalg.eigh(products_DD / len(x_ND))
        # Directions that vary less than this hold the rounding of single precision.
        varies = variance_D > SMALLEST_VARIANCE * variance_D.max()
        # Where nothing varies, all is 0 by now, and one axis of zeros stays to be fitted to.
        varies[-1] = True
        self.axes_DA = axes_DD[:, varies] / np.sqrt(np.maximum(variance_D[varies], 1e-300))

    def __call__(self, x_ND: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``(N, A)``, a column for each of the axes along which the training set varies."""
        parts = [part @ self.axes_DA for part in _in_double(super().__call__(x_ND))]
        return np.concatenate(parts).astype(np.float32)


def _in_double(x_ND: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float64]]:
    """Return rows in double precision, not all at a time."""
    return (x_ND[i : i + ROWS].astype(np.float64) for i in range(0, len(x_ND), ROWS))


@dataclass(frozen=True)
class LinearFit:
    """Logistic regression at the strength that is best on held-out rows.

    Args:
        machine: scikit-learn's.
        scaler: what the columns went through before.
        strength: that was chosen.
        valid: accuracy on the held-out rows of each strength that was tried.
        converged: whether L-BFGS came to its tolerance at the strength that was chosen.
    """

    machine: Any
    scaler: Scaler
    strength: float
    valid: dict[float, float]
    converged: bool

    @property
    def whitened(self) -> bool:
        """Whether columns were turned to principal axes, and not only standardised."""
        return isinstance(self.scaler, Whitener)

    def predict(self, x_ND: Array) -> Array:
        """Return the class of each row of columns as they are, ``(N,)``."""
        found: Array = self.machine.predict(self.scaler(x_ND))
        return found

    def layer(self, classes: int) -> tuple[Array, Array]:
        """Return weights ``(Y, D)`` and biases ``(Y,)`` whose softmax is the posterior.

        They are for columns that went through `scaler`.

        A class that had no example gets weight zero and a low bias.
        """
        found = self.machine.classes_
        weight_YD = np.zeros((classes, self.machine.coef_.shape[1]))
        bias_Y = np.full(classes, -20.0)
        if len(found) == 2:  # one logit, of the second class
            weight_YD[found] = np.outer([-0.5, 0.5], self.machine.coef_[0])
            bias_Y[found] = np.array([-0.5, 0.5]) * self.machine.intercept_[0]
        else:
            weight_YD[found], bias_Y[found] = self.machine.coef_, self.machine.intercept_
        return weight_YD, bias_Y


def fit_linear(
    x_ND: Array,
    y_N: Array | None,
    valid_x: Array,
    valid_y: Array | None,
    strengths: Sequence[float] = STRENGTHS,
    scalers: Sequence[type[Scaler]] = (Scaler, Whitener),
) -> LinearFit:
    """Return the classifier that is best on valid; each strength starts from the one before.

    Args:
        x_ND: columns to fit to, as they are.
        y_N: their labels, of two classes at least.
        valid_x: columns to choose by.
        valid_y: their labels.
        strengths: of regularisation; of equally good ones the largest is taken.
        scalers: what columns may go through; of equally good ones the first is taken.

    Raises:
        ConfigError: a strength that is not above zero, or none.
    """
    wrong = [f"{s:g}" for s in strengths if not s > 0]
    if wrong or not strengths:
        raise ConfigError(f"strengths must be above zero, got {', '.join(wrong) or 'none'}")
    fits = (_fit(make(x_ND), x_ND, y_N, valid_x, valid_y, strengths) for make in scalers)
    return max(fits, key=lambda fit: fit.valid[fit.strength])


def _fit(
    scaler: Scaler,
    x_ND: Array,
    y_N: Array | None,
    valid_x: Array,
    valid_y: Array | None,
    strengths: Sequence[float],
) -> LinearFit:
    """Return the classifier of columns scaled in one way that is best on valid."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x_ND, valid_x = scaler(x_ND), scaler(valid_x)
    # From strong to weak: the strong one is found in a few steps and leads to the next.
    machine = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True)
    scores: dict[float, float] = {}
    best: LinearFit | None = None
    for strength in sorted(set(strengths), reverse=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told in the record
            machine.set_params(C=1 / (strength * len(x_ND))).fit(x_ND, y_N)
        scores[strength] = float((machine.predict(valid_x) == valid_y).mean())
        if best is None or scores[strength] > scores[best.strength]:
            converged = int(machine.n_iter_.max()) < MOST_ITERATIONS
            best = LinearFit(copy.deepcopy(machine), scaler, strength, scores, converged)
    assert best is not None
    return best
