"""What each test of the audit found, as a figure with its threshold and in words."""

# Shapes: N samples, M real examples.
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from genus.evaluation.kinds import Lacking
from genus.evaluation.memorisation import NearCopies, NearerToTrain
from genus.evaluation.sharpness import LEAST, Relative

Kind = Literal["copies", "held-out copies", "blurred", "noise", "fewer kinds"]
NONE_SEEN = "none seen"
THRESHOLD = 3.0
"""Standard errors above what honest samples get; each test has its own."""
MOST_ERROR = 0.5
"""Above this error a share of copies says nothing."""


@dataclass(frozen=True)
class Finding:
    """One test of the audit.

    Args:
        kind: the failure that it looks for.
        statistic: what is measured.
        value: of the samples.
        expected: of samples without the failure.
        standard_error: of the value, if they are without it.
        z: standard errors in the direction of the failure.
        threshold: for z. Blur and noise must besides be at least 5 %, and a kind that is lacking
            must have less than half of its share.
        seen: whether the samples have the failure.
        extent: how much of it, in a few words.
        words: the same as a sentence.
    """

    kind: Kind
    statistic: str
    value: float
    expected: float
    standard_error: float
    z: float
    threshold: float
    seen: bool
    extent: str
    words: str


def copy_findings(
    share: NearerToTrain, clear: NearCopies, copied: float, error: float
) -> list[Finding]:
    """Return the findings of both tests of copying, which say the same share of copies."""
    extent = f"{copied:.0%} ± {error:.0%}".replace("%", " %")
    extent = extent if error <= MOST_ERROR else "how many is unclear"
    far = (
        f"{clear.nearer_train} samples are less than {clear.ratio:.2g} times as far from a "
        f"training example as from every held-out one, {clear.nearer_held_out} the other way round"
    )
    fair = f"{share.share:.2f} ± {share.standard_error:.2f} of the samples are nearer to train"
    if share.null != 0.5:
        fair += f"; of the training examples {share.null:.2f} are nearer to another one of them"
    tests = [
        ("near copies", clear.share, clear.null, clear.standard_error, clear.z, far),
        ("nearer to train", share.share, share.null, share.standard_error, share.z, fair),
    ]
    return [
        Finding("copies", name, value, null, deviation, z, THRESHOLD, z > THRESHOLD, extent, words)
        for name, value, null, deviation, z, words in tests
    ]


def held_out_finding(clear: NearCopies) -> Finding:
    """Return the finding on samples that repeat the held-out examples: the model has seen them.

    Samples that are clear of other faults are far nearer to one of them as seldom as to a training
    example. The mean distance would not do, because simple held-out data are near to blurred
    samples.
    """
    excess = clear.null - clear.share
    z = excess / clear.standard_error
    return Finding(
        "held-out copies",
        "near copies",
        excess,
        0.0,
        clear.standard_error,
        z,
        THRESHOLD,
        z > THRESHOLD and excess >= LEAST,
        f"{excess:.0%} far nearer to held-out".replace("%", " %"),
        f"{clear.nearer_held_out} samples are less than {clear.ratio:.2g} times as far from a "
        f"held-out example as from every training one, {clear.nearer_train} the other way round: "
        "the model, or whoever made the samples, has seen what it is judged by",
    )


_SHARPNESS = {
    "contrast": "neighbouring pixels differ {} times as much as in real data of such kinds",
    "grain": "there is {} times as much fine grain as in real data of such kinds",
    "spacing": "the nearest held-out example is {} times as far as from real data of such kinds",
}


def sharpness_finding(kind: Kind, name: str, sign: int, ratios: list[Relative]) -> Finding:
    """Return the finding against the reference that the samples stand out from the least."""
    nearest = min(ratios, key=lambda ratio: sign * ratio.z)
    z = sign * nearest.z
    enough = all(sign * (ratio.value - 1) >= LEAST for ratio in ratios)
    extent = f"{nearest.value:.2f} ± {nearest.standard_error:.2f}"
    return Finding(
        kind,
        name,
        nearest.value,
        1.0,
        nearest.standard_error,
        z,
        THRESHOLD,
        enough and z > THRESHOLD,
        extent,
        _SHARPNESS[name].format(extent),
    )


def kinds_finding(statistic: str, found: Lacking, names: Sequence[str] | None) -> Finding:
    """Return the finding on groups that samples lack; cells of k-means have no names."""
    share = f"{found.missing:.0%} ± {found.standard_error:.0%}".replace("%", " %")
    if not found.seen:
        what = "cell" if names is None else "class"
        words = f"no {what} has less than half of its share"
    elif names is None:
        words = f"{len(found.groups)} k-means cells lack {share} of the data"
    else:
        words = f"{share} of the data are lacking: {', '.join(names[k] for k in found.groups)}"
    return Finding(
        "fewer kinds",
        statistic,
        found.missing,
        0.0,
        found.standard_error,
        found.z,
        found.threshold,
        found.seen,
        share,
        words,
    )


def twins_finding(samples: Tensor, real: Tensor, excused: float) -> Finding:
    """Return the finding on samples that repeat each other, by a test of two proportions."""
    n, m = len(samples), len(real)
    share = float(samples.double().mean())
    usual = min(1.0, float(real.double().mean()) + excused)
    both = (share * n + usual * m) / (n + m)
    # Twins come in twos, so there are half as many independent ones.
    error = max(math.sqrt(2 * both * (1 - both) * (1 / n + 1 / m)), 1 / n)
    z = (share - usual) / error
    return Finding(
        "fewer kinds",
        "twins",
        share,
        usual,
        error,
        z,
        THRESHOLD,
        z > THRESHOLD and share - usual >= LEAST,
        f"{share:.0%} repeated".replace("%", " %"),
        f"{100 * share:.1f} % of the samples have a near twin among the samples; "
        f"{100 * usual:.1f} % are expected",
    )
