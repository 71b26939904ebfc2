"""What the audit says of a row, over all its training seeds, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genus.evaluation.audit import Audit
from genus.evaluation.audit_findings import NONE_SEEN
from genus.evaluation.column import NONE, Column

if TYPE_CHECKING:
    from genus.evaluation.outcome import Comparison, Row


def audits(row: Row) -> dict[str, Audit]:
    """Return the audit of each run of a row, by its name."""
    blocks = {name: found.samples for name, found in row.runs.items()}
    return {n: block.audit for n, block in blocks.items() if block is not None and block.audit}


def verdict(row: Row) -> str | None:
    """Return the failures that were seen with their extents, in every run; None without an audit.

    Of several runs it says how many failed: ``copies (30 % ± 4 %; 1 of 3 runs)``.
    """
    found = list(audits(row).values())
    if len(found) < 2:
        return found[0].summary if found else None
    extents: dict[str, list[str]] = {}
    for finding in (finding for audit in found for finding in audit.seen):
        extents.setdefault(finding.kind, []).append(finding.extent)
    words = [
        f"{kind} ({', '.join(seen)}; {len(seen)} of {len(found)} runs)"
        for kind, seen in extents.items()
    ]
    return ", ".join(words) or NONE_SEEN


def audit_lines(comparison: Comparison) -> list[str]:
    """Return the verdicts of the audit: a line for each row with a failure, one for the others."""
    verdicts = {row.label: verdict(row) for row in comparison.rows}
    clean = [label for label, words in verdicts.items() if words == NONE_SEEN]
    lines = [
        f"audit of {label}: {words}"
        for label, words in verdicts.items()
        if words not in (None, NONE_SEEN)
    ]
    return [*lines, f"audit of {', '.join(clean)}: {NONE_SEEN}"] if clean else lines


def audit_column() -> Column:
    """Return the column of failures, without their extents."""

    def cell(row: Row) -> str:
        found = list(audits(row).values())
        kinds = [kind for audit in found for kind in audit.verdict if kind != NONE_SEEN]
        if not kinds:
            return NONE_SEEN if found else NONE
        if len(found) == 1:
            return ", ".join(kinds)
        counts = {kind: kinds.count(kind) for kind in kinds}
        return ", ".join(f"{kind} ({n} of {len(found)})" for kind, n in counts.items())

    return Column("audit", "samples", cell, "", READ_AUDIT, terminal=False, words=True)


READ_AUDIT = (
    "Which failures stand out from the training data and from held-out data by more than three "
    "standard errors: copies of training examples (with their share of the samples), blur "
    "(neighbouring pixels differ less; the figure is relative to real data), noise (more fine "
    "grain) and fewer kinds (the share of the data that is hardly drawn, or samples that repeat "
    "each other). None seen is no praise: other faults show in the other columns, and weaker "
    "ones in more samples."
)
