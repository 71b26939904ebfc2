"""Correct models pass every check that applies to them."""

import pytest
from tests.conformance.toys import SMALL, TOYS

from genus.conformance import verify


@pytest.mark.parametrize("cls", TOYS, ids=lambda cls: cls.__name__)
def test_a_correct_model_passes(cls):
    report = verify(cls, specs=SMALL, quick=True)
    assert report.passed, str(report)
    assert len({finding.spec for finding in report.findings}) >= 2
