"""`genus compare`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from genus.cli import compare
from genus.data import load_data
from genus.registry import list_models

QUICK = ("--data", "digits", "--time-budget", "1s", "--samples", 50)


def test_table_report_json_and_csv(cli):
    answer = cli("compare", "independent", *QUICK, "--out", "c", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {
        "format", "data", "settings", "samples", "features", "real_source", "rows", "notes",
        "environment", "command", "finished",
    }  # fmt: skip
    assert [row["label"] for row in found["rows"]] == ["independent", "real data", "train copies"]
    for row in found["rows"]:
        names = {"label", "kind", "reason", "evaluation", "curves", "ranks", "repeats"}
        names |= {"repeated_curves", "seeds"}
        assert set(row) == names
    assert found["command"].startswith("genus compare independent --data digits")
    assert {"report.html", "compare.json", "compare.csv", "compare.tex"} <= {
        p.name for p in Path("c").iterdir()
    }
    assert answer.last == "next: open c/report.html"

    again = cli("compare", "independent", *QUICK, "--out", "c", "--resume", "--csv")
    assert again.code == 0, again.err
    labels = [row["label"] for row in csv.DictReader(io.StringIO(again.out))]
    assert labels == ["independent", "real data", "train copies"]

    words = cli("compare", "independent", *QUICK, "--out", "c", "--resume")
    for label in ("independent", "real data", "train copies"):
        assert label in words.out


def test_a_folder_in_use_is_left_alone(cli):
    Path("c/independent").mkdir(parents=True)
    answer = cli("compare", "independent", *QUICK, "--out", "c")
    answer.refused("already holds runs of independent", "--resume", "--out")


def test_some_of_each_family_by_default():
    takers = compare._takers
    digits = takers((), load_data("digits"))
    assert {"pixelcnn", "row-lstm", "vae", "gan", "gaussian-mixture", "independent"} <= set(digits)
    models = list_models()
    assert {models[name].family for name in digits} == {cls.family for cls in models.values()}
    wine = takers((), load_data("wine"))
    assert "gaussian-mixture" in wine
    assert "pixelcnn" not in wine
    assert takers(("vae",), load_data("wine")) == ["vae"]


def test_all_models_on_request():
    """All but those that need the labels or the images that a comparison does not show."""
    expected = [name for name in list_models() if name not in ("m2", "naive-bayes", "pix2pix")]
    assert compare._takers(("all",), load_data("digits")) == expected


def test_a_comparison_by_classes(cli):
    assert "naive-bayes" in compare._takers(("all",), load_data("digits"), conditional=True)
    answer = cli("compare", "naive-bayes", *QUICK, "--conditional", "--out", "c")
    assert answer.code == 0, answer.err
    assert "Samples of given classes" in answer.out
    answer = cli("compare", "vae", "--data", "patches", "--conditional")
    answer.refused("(--conditional) takes a class for every example, which patches does not have")


def test_a_family_without_a_representative_sends_its_first_model(monkeypatch):
    models = list_models()
    monkeypatch.setattr(models["vae"], "representative", False)
    first = next(name for name, cls in models.items() if cls.family == models["vae"].family)
    taken = compare._takers((), load_data("digits"))
    assert first in taken
    assert "vae" not in taken


def test_every_model_failing_is_a_failure(cli):
    answer = cli("compare", "pixelcnn", "--data", "wine", "--time-budget", "1s", "--samples", 20)
    assert answer.code == 1
    assert "pixelcnn needs images" in answer.out + answer.err


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("independet",), ("there is no model 'independet'; did you mean independent?",)),
        (("independent", "--time-budget", "soon"), ("90s, 5m or 1h30m",)),
        (("independent", "--csv", "--json"), ("--csv and --json both go to stdout; choose one",)),
        (("independent", "--set", "k=3"), ("--set k must say of which model", "pixelcnn.k=3")),
        (("independent", "--set", "vae.latents=3"), ("'vae', which is not compared",)),
        (("independent", "--set", "independent.x=3"), ("no option 'x'",)),
        (("independent", "--samples", 10**9), ("--samples 1,000,000,000 must be at most",)),
        (("independent", "--samples", 3), ("--samples 3 must be at least 6",)),
        (("independent", "--seed", -1), ("--seed -1 must be at least 0",)),
        (("independent", "--k", 0), ("--k 0 must be at least 1",)),
        (("independent", "--split", "tset"), ("did you mean test?",)),
        (("--csv", "--json", "--k", 0), ("--csv and --json", "--k 0")),
    ],
)
def test_bad_values(cli, words, messages):
    cli("compare", *words, "--data", "digits").refused(*messages)
    assert not list(Path().iterdir())


def test_data_must_be_named(cli):
    cli("compare", "independent").refused("--data")
