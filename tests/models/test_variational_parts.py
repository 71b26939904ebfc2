"""Variational autoencoders of other parts than the named models have: each by the kit."""

import pytest

from genus import registry
from genus.conformance import verify
from genus.spec import Spec

SPECS = [Spec(shape=(1, 2, 3), levels=2, classes=2), Spec(shape=(3,))]
PARTS = [
    {"posterior": "full"},
    {"posterior": "spline"},
    {"prior": "mixture"},
    {"prior": "flow"},
    {"prior": "autoregressive"},
    {"posterior": "spline", "prior": "flow", "objective": "iwae", "samples": 3},
    {"posterior": "full", "prior": "mixture", "objective": "dreg", "samples": 3},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: "-".join(map(str, parts.values())))
def test_every_part_conforms(parts, spec):
    cls = registry.get("vae")
    composed = type("Composed", (cls,), {"tiny": {**cls.tiny, **parts}})
    report = verify(composed, specs=[spec], quick=True)
    assert report.passed, str(report)
