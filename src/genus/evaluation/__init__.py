"""Evaluation: likelihood, sample quality, memorisation, cost, and the comparison of models."""

from __future__ import annotations

from genus.evaluation.likelihood import bits_per_dim, score
from genus.evaluation.samples import Reference, SampleBlock
from genus.evaluation.scoring import Evaluation, evaluate

__all__ = ["Evaluation", "Reference", "SampleBlock", "bits_per_dim", "evaluate", "score"]
