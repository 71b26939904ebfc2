"""What is doubtful about a set of samples or a reference, in words."""

# Shapes: N examples.
from __future__ import annotations

from torch import Tensor

from genus.evaluation.memorisation import Usual
from genus.spec import Spec

_FEW_LEVELS = 4
_WIDE = 10
"""How many times as wide or narrow as the data samples of real numbers may be without a word."""


def doubts_about_counts(n: int, features: dict[str, int]) -> tuple[str, ...]:
    """Return what to say where there are no more samples than features.

    Args:
        n: examples on either side, the fewer of both.
        features: how many there are, by network.
    """
    found = []
    for size in dict.fromkeys(features.values()):
        short = [name for name, own in features.items() if n <= own == size]
        if short:
            found.append(
                f"{n} examples do not fill {size} features (FD[{'], FD['.join(short)}]): their "
                "covariance is singular and the Frechet distance mostly its own floor; judge more "
                f"than {size}, better thousands"
            )
    return tuple(found)


def doubts_about_errors(features: dict[str, int], wide: int) -> tuple[str, ...]:
    """Return what to say of standard errors where there are too many features to resample.

    Args:
        features: how many there are, by network.
        wide: the most that are resampled.

    Example:
        >>> doubts_about_errors({"trained": 64, "inception": 2048}, 512)[0][:45]
        'FD[inception]: 2048 features are too many to '
    """
    return tuple(
        f"FD[{name}]: {size} features are too many to resample examples; its standard error is "
        "from the influence of each example, and the sliced distance has none"
        for name, size in features.items()
        if size > wide
    )


def troubles(rollbacks: int, ended: str | None) -> tuple[str, ...]:
    """Return what to say of a run that went wrong in training.

    Args:
        rollbacks: how often it went back to its best weights.
        ended: why it was given up, if it was.

    Example:
        >>> troubles(3, "collapse")
        ('training was given up after 3 rollbacks (collapse); the weights are the best until then',)
    """
    if ended:
        return (
            f"training was given up after {rollbacks} rollbacks ({ended}); the weights are the "
            "best until then",
        )
    often = f"{rollbacks} times" if rollbacks > 1 else "once"
    return (f"training was rolled back {often}",) if rollbacks else ()


def doubts_about_reference(n: int, examples: Tensor, real: Tensor) -> tuple[str, ...]:
    """Return what to say of the real examples that samples are judged by.

    Args:
        n: how many samples are judged.
        examples: ``(M, *shape)`` that they are compared with.
        real: ``(R, *shape)`` that stand in for a perfect model.
    """
    found = []
    if len(examples) > 1 and bool((examples == examples[:1]).all()):
        found.append(
            "the held-out examples are all the same, so precision, recall, density and coverage "
            "mean nothing, and neither does the audit"
        )
    if len(real) < n:
        found.append(
            f"there are only {len(real):,} real examples for the column of real data, which stands "
            f"beside {n:,} samples; judge as many samples as there are (--samples {len(real)})"
        )
    return tuple(found)


def doubts_about_classes(classes: int | None, labelled: int | None, told: bool) -> tuple[str, ...]:
    """Return what to say where there are labels and nothing to learn from them.

    Args:
        classes: how many the data have, if any.
        labelled: how many examples keep their labels, where not all do.
        told: whether a network has learnt to tell them apart.

    Example:
        >>> doubts_about_classes(1, None, False)[0][:43]
        'the training examples are all of one class,'
    """
    if classes is None or labelled is not None or told:
        return ()
    return (
        "the training examples are all of one class, so there are no figures of classes, and the "
        "trained features are those that restore noisy examples",
    )


def doubts_about_splits(usual: Usual, split: str) -> tuple[str, ...]:
    """Return what to say where training examples can be told from held-out ones.

    Example:
        >>> doubts_about_splits(Usual(0.9), "test")[0][:45]
        'train and test differ: 90% of the training ex'
    """
    if not usual.apart:
        return ()
    return (
        f"train and {split} differ: {usual.share:.0%} of the training examples are nearer to "
        "another one than to any held-out one, where interchangeable splits have 50%; samples as "
        f"near as that are not called copies ({usual.share:.2f} is fair), which are harder to see",
    )


def doubts_about_samples(x: Tensor, real: Tensor, spec: Spec) -> tuple[str, ...]:
    """Return what looks wrong with samples, as sentences; nothing where nothing does.

    Args:
        x: ``(N, *shape)`` samples.
        real: ``(M, *shape)`` real examples.
        spec: of the data.

    Example:
        >>> import torch
        >>> x = torch.zeros(3, 1, 2, 2, dtype=torch.int64)
        >>> doubts_about_samples(x, x + 200, Spec(shape=(1, 2, 2), levels=256))[0]
        'all samples are the same example: the model has collapsed'
    """
    found = []
    if len(x) > 1 and bool((x == x[:1]).all()):
        found.append("all samples are the same example: the model has collapsed")
    low, high, real_low, real_high = (float(v) for z in (x, real) for v in (z.min(), z.max()))
    if spec.levels is not None and spec.levels >= _FEW_LEVELS and high <= 1 < real_high:
        found.append(
            f"no entry of a sample is above 1, but the data have levels 0..{spec.levels - 1}: "
            "if the samples were scaled to [0, 1], give levels"
        )
    width, usual = high - low, real_high - real_low
    if spec.levels is None and usual > 0 and not usual / _WIDE <= width <= usual * _WIDE:
        found.append(
            f"samples run from {low:.3g} to {high:.3g}, the data from {real_low:.3g} to "
            f"{real_high:.3g}: are both in the same units?"
        )
    return tuple(found)
