r"""The table of a comparison for a paper, with the best of each column in bold.

It takes the package booktabs.
"""

from __future__ import annotations

from genus.evaluation.outcome import Comparison
from genus.evaluation.ranking import ranks
from genus.evaluation.table import columns, remarks

_PLAIN = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "∞": r"$\infty$", "≤": r"$\le$", "≥": r"$\ge$",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Return text that LaTeX sets as it is.

    Example:
        >>> escaped("near_train 0.50 ±0.01")
        'near\\_train 0.50 $\\pm$0.01'
    """
    return "".join(_PLAIN.get(letter, letter) for letter in text)


def latex(comparison: Comparison) -> str:
    """Return the table; what cannot be told from the best of a column is bold as well."""
    every = [column for column in columns(comparison) if column.terminal]
    best = [ranks(column, comparison.rows) for column in every]
    lines = [
        f"% {comparison.data.name}, {comparison.data.split} split, {comparison.data.digest}",
        f"% seed {comparison.settings.seed}, {comparison.settings.time_budget:g} s each; "
        f"{comparison.command or 'genus.compare(...)'}",
        *(f"% {line}" for remark in remarks(comparison) for line in remark.splitlines()),
        rf"\begin{{tabular}}{{l{'r' * len(every)}}}",
        r"\toprule",
        " & ".join(["model", *(escaped(column.title) for column in every)]) + r" \\",
        " & ".join(["", *(escaped(column.note) for column in every)]) + r" \\",
        r"\midrule",
    ]
    before = comparison.rows[0].kind if comparison.rows else ""
    for row in comparison.rows:
        if row.kind != before:
            lines.append(r"\midrule")
            before = row.kind
        cells = [
            rf"\textbf{{{escaped(column.text(row))}}}"
            if ahead.get(row.label) == 1
            else escaped(column.text(row))
            for column, ahead in zip(every, best, strict=True)
        ]
        lines.append(" & ".join([escaped(row.label), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
