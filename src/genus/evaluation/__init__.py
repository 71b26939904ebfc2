"""Evaluation: likelihood, sample quality, memorisation, cost, and the comparison of models."""

from __future__ import annotations

from genus.evaluation.audit import Audit
from genus.evaluation.audit_findings import Finding
from genus.evaluation.block import SampleBlock
from genus.evaluation.comparison import compare
from genus.evaluation.given import evaluate_samples
from genus.evaluation.likelihood import bits_per_dim, score
from genus.evaluation.outcome import Comparison
from genus.evaluation.samples import Reference
from genus.evaluation.scoring import Evaluation, evaluate
from genus.evaluation.table import render

__all__ = [
    "Audit",
    "Comparison",
    "Evaluation",
    "Finding",
    "Reference",
    "SampleBlock",
    "bits_per_dim",
    "compare",
    "evaluate",
    "evaluate_samples",
    "render",
    "score",
]
