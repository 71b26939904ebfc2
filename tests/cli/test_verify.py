"""`genus verify`."""

from __future__ import annotations

import pytest

WRONG = '''
import torch
from genus.models.independent import Independent


class Wrong(Independent):
    """Says that everything is twice as likely as it is."""

    def conditional_log_prob(self, x, y):
        return super().conditional_log_prob(x, y) + 0.7
'''


def test_json_shape_of_a_sound_model(cli):
    answer = cli("verify", "independent", "--quick", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {"model", "passed", "seconds", "findings", "skipped"}
    assert (found["model"], found["passed"]) == ("independent", True)
    for finding in found["findings"]:
        assert set(finding) == {
            "check", "spec", "passed", "figure", "limit", "meaning", "detail",
        }  # fmt: skip
    for skipped in found["skipped"]:
        assert set(skipped) == {"what", "reason"}


def test_a_class_of_the_user_that_is_wrong_fails_with_the_check_and_the_figure(cli, tmp_path):
    (tmp_path / "theirs.py").write_text(WRONG)
    answer = cli("verify", "theirs:Wrong", "--quick")
    assert answer.code == 1
    assert "normalisation" in answer.out
    assert "FAILED" in answer.out
    assert answer.last == "next: mend what failed, then genus verify theirs:Wrong"


def test_a_run_is_verified_with_its_weights(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1, "--out", "run")
    answer = cli("verify", "./run", "--quick")
    assert answer.code == 0, answer.out + answer.err
    assert "independent: passed" in answer.out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("--seed=-1 independent", "--seed -1 must be at least 0"),
        ("independet", "there is no model 'independet'; did you mean independent?"),
        ("genus.models.independent:Independet", "has no class 'Independet'; did you mean"),
        ("no.such.module:Model", "cannot import 'no.such.module'"),
        ("pathlib:Path", "is not a model"),
        ("runs/none", "'runs/none' does not exist"),
    ],
)
def test_bad_targets(cli, target, message):
    cli("verify", *target.split()).refused(message)
