"""The audit of samples: do they copy, are they blurred or noisy, do they lack kinds?

No single figure tells these failures apart. A distance to the training data falls for copies and
for blur alike, and a Frechet distance calls copies perfect. So each failure has a test of its own
which the others leave alone, with a threshold that real data pass but once in hundreds of audits.
A failure must stand out from the training data *and* from held-out data.
"""

# Shapes: N samples, M examples of each reference, D values.
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from genus.evaluation.audit_findings import (
    NONE_SEEN,
    THRESHOLD,
    Finding,
    Kind,
    copy_findings,
    held_out_finding,
    kinds_finding,
    sharpness_finding,
    twins_finding,
)
from genus.evaluation.bins import Bins
from genus.evaluation.kinds import lacking
from genus.evaluation.memorisation import (
    NearCopies,
    NearerToTrain,
    Neighbours,
    clear_ratio,
    near_copies,
    nearer_share,
    nearest_other,
    usual,
)
from genus.evaluation.sharpness import contrast, grain, relative
from genus.spec import Spec

CELL, MOST_CELLS = 25, 20
"""Samples that a k-means cell should have, and how many cells there are at most."""


@dataclass(frozen=True)
class Audit:
    """What the tests found.

    Args:
        findings: of all tests, seen or not.
        copied: estimate of the share of samples that are copies of training examples.
        copied_error: its standard error.
        unseen: the share of copies that such an audit sees every second time; fewer go unseen.
    """

    findings: tuple[Finding, ...]
    copied: float
    copied_error: float
    unseen: float

    @property
    def seen(self) -> tuple[Finding, ...]:
        """The clearest finding of each failure that was seen."""
        best: dict[str, Finding] = {}
        for finding in self.findings:
            if finding.seen and (finding.kind not in best or finding.z > best[finding.kind].z):
                best[finding.kind] = finding
        return tuple(best.values())

    @property
    def verdict(self) -> tuple[str, ...]:
        """The failures that were seen, or "none seen"."""
        return tuple(finding.kind for finding in self.seen) or (NONE_SEEN,)

    @property
    def summary(self) -> str:
        """The verdict with extents, as ``copies (30 % ± 4 %), blurred (0.81 ± 0.01)``."""
        return ", ".join(f"{f.kind} ({f.extent})" for f in self.seen) or NONE_SEEN

    def to_json(self) -> dict[str, Any]:
        """Return the audit as a dictionary."""
        return {"verdict": list(self.verdict), "summary": self.summary, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Audit:
        """Build an audit from `to_json`'s dictionary."""
        findings = tuple(Finding(**finding) for finding in content["findings"])
        return cls(findings, content["copied"], content["copied_error"], content["unseen"])


@dataclass(frozen=True, eq=False)
class _Real:
    """What a set of real examples looks like to the tests of sharpness and of kinds."""

    cell: Tensor
    figures: dict[str, Tensor] = field(default_factory=dict)


class Auditor:
    """Audits sets of samples against the same real data.

    Args:
        spec: what an example is.
        train: ``(M, *shape)`` a random part of the training data, without the rows of ``real``.
        held_out: ``(M, *shape)``, as many held-out examples.
        real: ``(n, *shape)`` real examples in neither of the two.
        values: from examples to ``(N, D)`` numbers in which distances make sense.
        train_size: number of training examples in all, |train|.
        labels: ``(M,)`` of ``train``, or None.
        names: of the classes.
        seed: of the k-means cells.

    Raises:
        ConfigError: the references differ in size, or a set is empty.

    Example:
        >>> from genus.spec import Spec
        >>> g = torch.Generator().manual_seed(0)
        >>> train, held_out, real, fresh = torch.randn(4, 300, 8, generator=g)
        >>> auditor = Auditor(Spec(shape=(8,)), train, held_out, real, train_size=300)
        >>> auditor(fresh).summary, auditor(train).verdict
        ('none seen', ('copies',))
    """

    def __init__(
        self,
        spec: Spec,
        train: Tensor,
        held_out: Tensor,
        real: Tensor,
        *,
        train_size: int,
        values: Any = None,
        labels: Tensor | None = None,
        names: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.spec, self.names = spec, tuple(names)
        self.values = values or (lambda x: x.flatten(1).float())
        self.train, self.held_out = train, held_out
        self.train_values, self.held_out_values = self.values(train), self.values(held_out)
        self.times = train_size / len(train)
        """How many training examples stand behind each one that is compared."""
        self.pictures = spec.is_image and min(spec.shape[1:]) >= 2
        real_neighbours = self.neighbours(real)
        self.ratio = clear_ratio(real_neighbours)
        self.usual = usual(self.train_values, self.held_out_values, self.ratio)
        count = max(2, min(MOST_CELLS, len(real) // CELL))
        self.cells = Bins.of(self.train_values.double(), count, seed=seed)
        self.labels = None if labels is None or bool((labels < 0).any()) else labels
        self.classes = [] if self.labels is None else [self.labels, self._class(real_neighbours)]
        self.real = self._references(real, real_neighbours)
        self.real_twins = self._twins(real, real_neighbours)

    def neighbours(self, x: Tensor) -> Neighbours:
        """Return the nearest example of each sample on either side."""
        return Neighbours.of(self.values(x), self.train_values, self.held_out_values)

    def __call__(self, x: Tensor, found: Neighbours | None = None) -> Audit:
        """Return the audit of ``(N, *shape)`` samples, whose neighbours may be known already."""
        found = self.neighbours(x) if found is None else found
        copies, estimate = self._copies(found)
        twins = self._repeats(x, found, any(finding.seen for finding in copies))
        findings = (*copies, *self._sharpness(x, found), *self._kinds(x, found), twins)
        return Audit(findings, *estimate)

    def closest(self, x: Tensor, found: Neighbours, n: int) -> Tensor:
        """Return the samples that lean most to the training data, beside what they are nearest to.

        Returns:
            ``(3, n, *shape)``: samples, their nearest training examples, their nearest held-out
            examples; the smallest ratio of the two distances first.
        """
        lean = found.to_train / (found.to_train + found.to_held_out).clamp(min=1e-300)
        # Of equal ones, for instance exact copies, those that are farthest from held-out data.
        order = found.to_held_out.argsort(descending=True)
        rows = order[lean[order].argsort(stable=True)][:n]
        train, held_out = found.train_row[rows], found.held_out_row[rows]
        shown = x[rows].to(self.train.dtype)
        return torch.stack([shown, self.train[train], self.held_out[held_out]])

    def _references(self, real: Tensor, neighbours: Neighbours) -> list[_Real]:
        """Return the two sets of real examples that a failure must stand out from."""
        if self.pictures:
            return [self._describe(self.train, None), self._describe(self.held_out, None)]
        some = self.train[: len(real)]
        return [self._describe(some, self.neighbours(some)), self._describe(real, neighbours)]

    def _describe(self, x: Tensor, found: Neighbours | None) -> _Real:
        figures = {}
        if self.pictures:
            scaled = x.double() / ((self.spec.levels or 2) - 1)
            figures = {"contrast": contrast(scaled), "grain": grain(scaled)}
        elif found is not None:
            figures = {"spacing": found.to_held_out.sqrt()}
        return _Real(self.cells.rows(self.values(x).double()), figures)

    def _class(self, found: Neighbours) -> Tensor:
        """Return the class of each sample's nearest training example."""
        assert self.labels is not None
        return self.labels[found.train_row]

    def _copies(self, found: Neighbours) -> tuple[list[Finding], tuple[float, float, float]]:
        """Return both tests of copying, and share of copies, its error and what goes unseen."""
        share = nearer_share(found, self.usual)
        clear = near_copies(found, self.ratio, self.usual)
        by_share, by_clear = self._share_of_copies(share), self._share_of_copies(clear)
        # Few copies show in the clear cases alone; blurred ones may show in the others only.
        copied, error = by_share if share.z > max(clear.z, THRESHOLD) else by_clear
        copied = min(1.0, max(0.0, copied))
        both = 2 * min(clear.nearer_train, clear.nearer_held_out)
        # z = e / sqrt(e + both) > 3 for an excess of e samples.
        excess = (THRESHOLD**2 + math.sqrt(THRESHOLD**4 + 4 * THRESHOLD**2 * both)) / 2
        unseen = self.times * excess / len(found.to_train)
        if self.usual.apart:  # what is fair was estimated, which the formula does not know
            unseen = THRESHOLD * min(by_share[1], by_clear[1])
        findings = [*copy_findings(share, clear, copied, error), held_out_finding(clear)]
        return findings, (copied, error, min(1.0, unseen))

    def _share_of_copies(self, found: NearerToTrain | NearCopies) -> tuple[float, float]:
        """Return how many samples are copies, by a figure that copies raise from its null to 1."""
        # Of the copies, only those of examples that are compared do so.
        scale = self.times / max(1 - found.null, 1 / len(self.train))
        return scale * (found.share - found.null), scale * found.standard_error

    def _sharpness(self, x: Tensor, found: Neighbours) -> list[Finding]:
        described, independent = self._describe(x, found), (len(x) / found.together()) ** 2
        findings = []
        for kind, name, sign in self._figures():
            ratios = [
                relative(
                    (described.figures[name], described.cell),
                    (real.figures[name], real.cell),
                    len(self.cells.centres),
                    independent,
                )
                for real in self.real
            ]
            known = [ratio for ratio in ratios if ratio is not None]
            if known:
                findings.append(sharpness_finding(kind, name, sign, known))
        return findings

    def _figures(self) -> list[tuple[Kind, str, int]]:
        """Return the failure, the figure and the direction of each test of sharpness."""
        if self.pictures:
            return [("blurred", "contrast", -1), ("noise", "grain", 1)]
        return [("blurred", "spacing", -1), ("noise", "spacing", 1)]

    def _kinds(self, x: Tensor, found: Neighbours) -> list[Finding]:
        cell = self.cells.rows(self.values(x).double())
        by_cell = lacking(cell, [real.cell for real in self.real], len(self.cells.centres))
        findings = [kinds_finding("share of k-means cells", by_cell, None)]
        if self.labels is not None and self.spec.classes:
            by_class = lacking(self._class(found), self.classes, self.spec.classes)
            names = self.names or tuple(map(str, range(self.spec.classes)))
            findings.append(kinds_finding("share of classes", by_class, names))
        return findings

    def _repeats(self, x: Tensor, found: Neighbours, copied: bool) -> Finding:
        """Return the finding on samples that repeat each other.

        Who draws from a list repeats himself: the twins that copies have by chance are excused.
        """
        chance = 1 - math.exp(-len(x) / (self.times * len(self.train)))
        return twins_finding(self._twins(x, found), self.real_twins, chance if copied else 0.0)

    def _twins(self, x: Tensor, found: Neighbours) -> Tensor:
        """Return which examples have another of their own set far nearer than a held-out one."""
        nearest = nearest_other(self.values(x))
        return nearest < (self.ratio / 2) ** 2 * found.to_held_out
