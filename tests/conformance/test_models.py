"""Every registered model passes every check that its capabilities call for."""

import pytest

from genus import registry
from genus.conformance import verify


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.list_models())
def test_a_registered_model_conforms(name):
    report = verify(name)
    assert report.passed, str(report)
    assert len({finding.spec for finding in report.findings}) >= 4
