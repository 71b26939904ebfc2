"""The audit on the page of a comparison: verdicts in words, and the closest examples."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from genus.evaluation.audit import Audit
from genus.evaluation.audit_findings import NONE_SEEN
from genus.evaluation.audit_words import audits, verdict
from genus.evaluation.outcome import Comparison
from genus.evaluation.pictures import data_uri, grid_png

ACROSS = 8
"""Samples in a row of pictures."""


def audit_section(comparison: Comparison) -> str:
    """Return what the audit says of each row, with pictures where the data are images."""
    rows = [(row, found) for row in comparison.rows if (found := audits(row))]
    if not rows:
        return ""
    items = "\n".join(_verdict(row.label, verdict(row) or NONE_SEEN, found) for row, found in rows)
    unseen = max(audit.unseen for _, found in rows for audit in found.values())
    return (
        "<h2>Audit</h2>\n<p>Are samples copies, blurred, noisy, or fewer kinds than there should "
        "be? Each failure has a test of its own, which must stand out from the training data and "
        "from held-out data. Copies of fewer than about "
        f"{100 * unseen:.0f} % of the samples would go unseen.</p>\n"
        f'<dl class="audit">\n{items}\n</dl>\n{_closest(comparison)}'
    )


def _verdict(label: str, words: str, found: Mapping[str, Audit]) -> str:
    """Return a row's verdict, and what every test of each of its runs found."""
    runs = "".join(
        f"{f'<p>{escape(name)}</p>' if len(found) > 1 else ''}<ul>{_tests(audit)}</ul>"
        for name, audit in found.items()
    )
    return (
        f"<dt>{escape(label)}: {escape(words)}</dt>"
        f"<dd><details><summary>all tests</summary>{runs}</details></dd>"
    )


def _tests(audit: Audit) -> str:
    return "".join(
        f"<li>{escape(f.kind)}: {escape(f.words)} (z {_z(f.z)}, "
        f"{'seen above' if f.seen else 'threshold'} {f.threshold:.1f})</li>"
        for f in audit.findings
    )


def _z(z: float) -> str:
    return f"{z:.1f}".replace("-", "−")


def _closest(comparison: Comparison) -> str:
    """Show the samples that lean most to the training data over their nearest examples."""
    figures = []
    for label, found in (pair for row in comparison.rows for pair in row.runs.items()):
        block = found.samples
        if block is None or block.closest is None:
            continue
        columns = min(ACROSS, block.closest.shape[1])
        shown = block.closest[:, :columns].flatten(0, 1)
        uri, name = data_uri(grid_png(shown, comparison.spec, columns)), escape(label)
        figures.append(
            f'<figure><img alt="Closest to train: {name}" src="{uri}"/>'
            f"<figcaption>{name}</figcaption></figure>"
        )
    if not figures:
        return ""
    return (
        "<p>Above, the samples whose nearest training example is nearest in comparison with the "
        "nearest held-out one, the most suspicious first; below each its nearest training "
        "example, and below that its nearest held-out one, of equally many. Compare with the "
        f"figure of real data.</p>\n"
        f'<div class="grids">\n{"".join(figures)}\n</div>'
    )
