"""The guide and the tests keep up with the list of checks."""

import re
from pathlib import Path

from tests.conformance import (
    leaks,  # noqa: F401  (enters its bugs)
    test_conditions,
    test_energy,
    test_marginals,
)
from tests.conformance.bugs import BUGS

from genus.conformance.all_checks import CHECKS

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "verify.md"
INFORMS = {"causality.context"}
OTHERS = [*test_conditions.BUGS, *test_energy.BUGS, *test_marginals.BUGS]


def test_the_guide_explains_every_check_and_no_other():
    explained = re.findall(r"^\| `([a-z.-]+)` \|", GUIDE.read_text(), re.M)
    assert sorted(explained) == sorted(CHECKS)


def test_every_check_catches_a_planted_bug():
    caught = {name for _, names, _ in BUGS.values() for name in names}
    caught |= {name for _, _, names in OTHERS for name in names}
    assert set(CHECKS) - caught == INFORMS
