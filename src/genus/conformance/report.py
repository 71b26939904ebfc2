"""What the conformance kit found: one finding per check and Spec, with its figure and its limit."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """The result of one check on one Spec.

    Args:
        check: the name of the check, ``subject.name``.
        spec: the data, in words; options of the model that differ from its tiny ones follow.
        passed: whether the figure keeps the limit.
        figure: what was measured; NaN if the check could not be carried out.
        limit: what it was held against, or None for a finding that only informs.
        meaning: what it means to a user of the model when this check fails.
        detail: where the figure was found, or the error that stopped the check.

    Example:
        >>> print(Finding("normalisation.total", "(4,), 2 levels", False, 0.31, 1e-5, "no mass"))
        FAILED normalisation.total on (4,), 2 levels: 0.31 (limit 1e-05): no mass
    """

    check: str
    spec: str
    passed: bool
    figure: float
    limit: float | None
    meaning: str
    detail: str = ""

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        limit = "informs" if self.limit is None else f"limit {self.limit:.3g}"
        text = f"{verdict} {self.check} on {self.spec}: {self.figure:.3g} ({limit})"
        text += "" if self.passed else f": {self.meaning}"
        return f"{text} [{self.detail}]" if self.detail else text


@dataclass(frozen=True)
class Skipped:
    """Something that was not verified, and why.

    Args:
        what: a Spec that the model refuses, or a check that never ran.
        reason: in words.
    """

    what: str
    reason: str


@dataclass(frozen=True)
class Report:
    """All findings about one model.

    Args:
        model: its name.
        findings: in the order in which the checks ran.
        skipped: Specs that the model refused and checks that could not run on any Spec.
        seconds: how long it took.

    Example:
        >>> Report("empty", ()).passed
        False
    """

    model: str
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether there is at least one finding and no failure."""
        return bool(self.findings) and not self.failures

    @property
    def failures(self) -> list[Finding]:
        """The findings that did not pass."""
        return [finding for finding in self.findings if not finding.passed]

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain JSON values; figures that are not finite become None."""
        return {
            "model": self.model,
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "findings": [_plain(asdict(finding)) for finding in self.findings],
            "skipped": [asdict(skip) for skip in self.skipped],
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                self._headline(),
                *self._table(),
                *self._failures(),
                *(f"  {text}" for text in self._information()),
                *(f"  not verified: {skip.what}: {skip.reason}" for skip in self.skipped),
            ]
        )

    def _headline(self) -> str:
        if not self.findings:
            return f"{self.model}: FAILED, nothing could be verified"
        verdict = "passed" if self.passed else f"FAILED {len(self.failures)} of"
        specs = len({finding.spec for finding in self.findings})
        return (
            f"{self.model}: {verdict} {len(self.findings)} findings on {specs} Specs "
            f"in {self.seconds:.1f} s"
        )

    def _table(self) -> list[str]:
        """Return one line per check: on how many Specs it ran, and its worst figure."""
        counts = Counter(finding.check for finding in self.findings)
        failed = Counter(finding.check for finding in self.failures)
        width = max((len(name) for name in counts), default=0)
        return [
            f"  {'FAILED' if failed[name] else 'passed'}  {name:<{width}}  "
            f"{count - failed[name]} of {count}"
            for name, count in counts.items()
        ]

    def _failures(self) -> list[str]:
        """Return the first failure of each check, and on how many more Specs it failed."""
        counts = Counter(finding.check for finding in self.failures)
        first = {finding.check: finding for finding in reversed(self.failures)}
        return [
            f"  {first[name]}" + (f" (and {count - 1} more)" if count > 1 else "")
            for name, count in counts.items()
        ]

    def _information(self) -> list[str]:
        return [
            f"{finding.check} on {finding.spec}: {finding.detail}"
            for finding in self.findings
            if finding.limit is None and finding.passed and finding.detail
        ]


def _plain(finding: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in finding.items()
    }
