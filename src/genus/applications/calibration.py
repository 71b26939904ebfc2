"""Whether stated probabilities are right: reliability, its error, and a temperature that helps.

References:
    | On Calibration of Modern Neural Networks (Guo et al., 2017)
    | https://arxiv.org/abs/1706.04599
    | Obtaining Well Calibrated Probabilities Using Bayesian Binning (Naeini et al., 2015)
"""

# Shapes: N examples, Y classes.
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genus.errors import ConfigError

BINS = 15
"""Of confidence, by default."""
RANGE = (1e-3, 1e3)
"""Where the temperature is looked for."""
_HALVINGS = 60


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same confidence.

    Args:
        low: lower edge of the confidences, excluded but in the first bin.
        high: upper edge, included.
        count: how many predictions.
        confidence: their mean; None of an empty bin.
        accuracy: the share of them that is right; None of an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability(log_prob_NY: Tensor, y_N: Tensor, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the predictions in bins of equal width by the probability of the class predicted.

    Args:
        log_prob_NY: log p(y | x) of every class.
        y_N: the true classes.
        bins: how many.

    Raises:
        ConfigError: fewer than one bin.

    Example:
        >>> import torch
        >>> posterior = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
        >>> reliability(posterior.log(), torch.tensor([0, 1]), bins=2)[1].accuracy
        0.5
    """
    if bins < 1:
        raise ConfigError(f"bins={bins} must be at least 1; {BINS} is usual")
    log_most_N, predicted_N = log_prob_NY.double().max(1)
    confidence_N, right_N = log_most_N.exp(), (predicted_N == y_N).double()
    bin_N = (confidence_N * bins).ceil().long().sub(1).clamp(0, bins - 1)
    found = []
    for index in range(bins):
        inside = bin_N == index
        count = int(inside.sum())
        means = [
            float(values[inside].mean()) if count else None for values in (confidence_N, right_N)
        ]
        found.append(Bin(index / bins, (index + 1) / bins, count, *means))
    return tuple(found)


def calibration_error(bins: tuple[Bin, ...]) -> float:
    r"""Return the expected calibration error.

    .. math:: \sum_b \frac{n_b}{N}\, |\text{accuracy}_b - \text{confidence}_b|

    Example:
        >>> round(calibration_error((Bin(0.0, 1.0, 4, 0.9, 0.75),)), 6)
        0.15
    """
    total = sum(found.count for found in bins)
    gaps = (
        found.count * abs(found.accuracy - found.confidence)
        for found in bins
        if found.accuracy is not None and found.confidence is not None
    )
    return sum(gaps) / total


def best_temperature(log_prob_NY: Tensor, y_N: Tensor) -> float | None:
    r"""Return the T that makes the labels most likely under softmax of log p(y | x) / T.

    The mean log-loss is convex in :math:`1/T`, so its slope has one root, which is bisected:

    .. math:: \frac{\partial}{\partial (1/T)} = \frac1N \sum_n
        \Big( \sum_y p_T(y \mid x_n)\, \ell_{ny} - \ell_{n y_n} \Big)

    Args:
        log_prob_NY: log p(y | x) of every class.
        y_N: the true classes.

    Returns:
        The temperature, within `RANGE`; None where every label is the likeliest class, so that
        lower is better without end and the examples cannot tell.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # right two times of three
        >>> round(best_temperature(logits, torch.tensor([0, 0, 1])), 3)  # 4 / T = log 2
        5.771
    """
    # A class that is impossible stays so at any temperature; 0 * -inf would be no number.
    logit_NY = log_prob_NY.double().clamp(min=-1e6)
    truth_N = logit_NY.gather(1, y_N[:, None]).squeeze(1)

    def slope(inverse: float) -> float:
        mean_N = ((logit_NY * inverse).softmax(1) * logit_NY).sum(1)
        return float((mean_N - truth_N).mean())

    low, high = 1 / RANGE[1], 1 / RANGE[0]
    if bool((truth_N >= logit_NY.max(1).values).all()):
        return None
    if slope(low) > 0:
        return RANGE[1]
    if slope(high) < 0:
        return RANGE[0]
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def tempered(log_prob_NY: Tensor, temperature: float) -> Tensor:
    """Return ``(N, Y)`` log p(y | x) with the posterior raised to 1 / T and normalised anew."""
    return (log_prob_NY / temperature).log_softmax(1)
