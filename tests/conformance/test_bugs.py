"""Every planted mistake is found, by the checks that name it."""

import pytest
from tests.conformance import leaks
from tests.conformance.bugs import BUGS

from genus.conformance import verify
from genus.conformance.all_checks import CHECKS

TOYS = [found for found in BUGS.values() if found[0].__module__ != leaks.__name__]
PARENTS = {(cls.__mro__[1], spec) for cls, _, spec in TOYS}  # shipped models have a test each


@pytest.mark.parametrize("name", BUGS)
def test_the_planted_bug_is_found_by_name(name):
    cls, caught_by, spec = BUGS[name]
    report = verify(cls, specs=[spec], quick=not any(CHECKS[c].slow for c in caught_by))
    failed = {finding.check for finding in report.failures}
    assert failed >= set(caught_by), f"{sorted(failed)} failed, of {caught_by}:\n{report}"
    for finding in report.failures:
        assert finding.meaning
        assert finding.check in str(report)


@pytest.mark.parametrize(("cls", "spec"), sorted(PARENTS, key=repr), ids=str)
def test_without_the_bug_nothing_is_found(cls, spec):
    report = verify(cls, specs=[spec])
    assert report.passed, str(report)


def test_there_are_many_planted_bugs():
    assert len(TOYS) >= 50
    assert len(BUGS) - len(TOYS) >= 14
