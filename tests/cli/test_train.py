"""`genus train`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from genus.cli import runs
from genus.registry import get
from genus.training import RunFolder

TINY = ("pixelcnn", "--data", "digits", "--set", "features=8", "layers=1", "hidden=8")
DIGITS = ("pixelcnn", "--data", "digits", "--steps=1")
QUICK = ("--steps", 3, "--batch-size", 8, "--samples", 0)


def test_json_shape_and_the_run_folder(cli):
    answer = cli("train", *TINY, *QUICK, "--out", "run", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {
        "run", "model", "data", "steps", "best_step", "seconds", "parameters", "valid",
        "rollbacks", "ended_early",
    }  # fmt: skip
    assert set(found["data"]) == {"name", "digest"}
    assert set(found["valid"]) == {
        "nats_per_dim", "bits_per_dim", "known_entries", "frechet_distance", "frechet_floor",
    }  # fmt: skip
    assert found["valid"]["frechet_distance"] is None
    assert found["valid"]["known_entries"] is False
    assert (found["run"], found["model"], found["steps"]) == ("run", "pixelcnn", 3)
    nats = found["valid"]["nats_per_dim"]
    assert found["valid"]["bits_per_dim"] == pytest.approx(nats / math.log(2))
    assert RunFolder("run").status == "finished"
    assert RunFolder("run").read_config().options["features"] == 8


def test_an_adversarial_model_is_scored_by_its_samples(cli):
    small = ("gan", "--data", "digits", "--set", "channels=4", "hidden=8", "latents=4")
    answer = cli("train", *small, *QUICK, "--out", "run", "--json")
    assert answer.code == 0, answer.err
    valid = answer.json["valid"]
    assert valid["nats_per_dim"] is None
    assert valid["frechet_distance"] > valid["frechet_floor"] > 0
    assert (answer.json["rollbacks"], answer.json["ended_early"]) == (0, None)
    answer = cli("train", *small, *QUICK, "--out", "again")
    assert f"Frechet distance {valid['frechet_distance']:.4g} in random features" in answer.out
    assert "rollbacks" not in answer.out


def test_rollbacks_are_told(cli, monkeypatch):
    import dataclasses

    import genus.training.runner as runner

    usual = runner._result

    def given_up(folder, model):
        return dataclasses.replace(usual(folder, model), rollbacks=3, ended="collapse")

    monkeypatch.setattr(runner, "_result", given_up)
    answer = cli("train", "independent", "--data", "digits", "--steps", 1)
    assert "3, then ended early because of collapse" in answer.out


def test_default_folder_is_named_after_model_and_data_and_never_reused(cli):
    answer = cli("train", "independent", "--data", "digits", "--steps", 1)
    assert "genus evaluate runs/independent-digits" in answer.last
    again = cli("train", "independent", "--data", "digits", "--steps", 1)
    assert "genus evaluate runs/independent-digits-2" in again.last
    assert "bits/dim" in again.out
    folder = Path("runs/independent-digits-2")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    same = ("train", "independent", "--data", "digits", "--steps", 1, "--resume")
    assert "genus evaluate runs/independent-digits-2" in cli(*same).last
    cli("train", "independent", "--data", "digits", "--steps", 1)
    assert "genus evaluate runs/independent-digits-3" in cli(*same).last  # all are finished


def test_every_option_reaches_the_configuration(cli):
    words = (
        "--steps=5", "--time-budget=1m30s", "--batch-size=4", "--learning-rate=0.01",
        "--schedule=constant", "--warmup=2", "--ema=0.5", "--clip=0", "--weight-decay=0.1",
        "--precision=float32", "--seed=7", "--device=cpu", "--processes=2", "--evaluate-every=3",
        "--checkpoint-every=9", "--samples=4", "--rollbacks=1",
    )  # fmt: skip
    answer = cli("train", *TINY, *words, "--conditional", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    expected = {
        "steps": 5, "time_budget": 90.0, "batch_size": 4, "learning_rate": 0.01,
        "schedule": "constant", "warmup": 2, "ema": 0.5, "clip": None, "weight_decay": 0.1,
        "precision": "float32", "seed": 7, "device": "cpu", "processes": 2, "evaluate_every": 3.0,
        "checkpoint_every": 9.0, "samples": 4, "rollbacks": 1,
    }  # fmt: skip
    training = answer.json["training"]
    assert {name: training[name] for name in expected} == expected
    assert answer.json["spec"]["classes"] == 10
    assert answer.json["model"]["config"]["features"] == 8
    assert answer.json["data"]["name"] == "digits"


def options_of(cli, *words):
    answer = cli("train", *DIGITS, "--dry-run", "--json", *words)
    assert answer.code == 0, answer.err
    return answer.json["model"]["config"]


def test_options_that_suit_the_data_yield_to_a_preset_and_both_to_the_user(cli, monkeypatch):
    cls = get("pixelcnn")
    monkeypatch.setattr(cls, "suited", classmethod(lambda *_: {"dropout": 0.5, "hidden": 8}))
    monkeypatch.setattr(cls, "presets", {"paper": {"hidden": 16, "layers": 2}})
    assert options_of(cli)["dropout"] == 0.5
    assert options_of(cli, "--set", "layers=1")["hidden"] == 8
    found = options_of(cli, "--preset", "paper", "--set", "layers=3")
    assert (found["dropout"], found["hidden"], found["layers"]) == (0.5, 16, 3)
    assert options_of(cli, "--set", "dropout=0")["dropout"] == 0
    wrong = cli("train", *DIGITS, "--preset", "papre")
    wrong.refused("pixelcnn has no preset 'papre'; did you mean paper?")


def test_the_batch_is_the_models_own_unless_given(cli):
    answer = cli("train", *DIGITS, "--dry-run", "--json")
    assert answer.json["training"]["batch_size"] == get("pixelcnn").batch_size


def test_dry_run_writes_nothing(cli, tmp_path):
    answer = cli("train", *TINY, "--steps", 3, "--dry-run")
    assert answer.code == 0
    assert "learning_rate" in answer.out
    assert not list(tmp_path.iterdir())


def test_the_seed_makes_the_weights(cli):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        cli("train", *TINY, *QUICK, "--out", out, "--seed", seed)
    a, b, c = (RunFolder(out).weights_file.read_bytes() for out in "abc")
    assert a == b
    assert a != c


def test_all_problems_are_told_at_once(cli):
    answer = cli(
        "train", "pixelcn", "--data", "digts", "--set", "a", "--batch-size", 0, "--steps", -4,
        "--learning-rate", -1,
    )  # fmt: skip
    answer.refused(
        "there is no model 'pixelcn'; did you mean pixelcnn",
        "there is no data set 'digts'",
        "--set 'a' must be written key=value",
        "steps=-4 must be at least 1",
        "batch_size=0 must be at least 1",
        "learning_rate=-1.0 must be above zero",
    )


def test_nothing_named(cli):
    cli("train").refused("name a model", "name --data", "--time-budget 60s")


def test_no_budget(cli):
    cli("train", *TINY).refused("there is no budget", "--time-budget 60s")


def test_a_model_that_is_fitted_needs_no_budget(cli):
    plan = ("gaussian-mixture", "--data", "wine", "--set", "components=2", "restarts=1")
    alone = cli("train", *plan, "--out", "alone", "--json").json
    given = cli("train", *plan, "--out", "given", "--steps", 1000, "--json").json
    assert 1 < alone["steps"] < 1000
    assert alone["valid"] == given["valid"]


def test_options_without_any(cli):
    cli("train", *TINY, "--steps", 1, "--set").refused("--set requires at least 1")


@pytest.mark.parametrize("budget", ["soon", "5x", "-5m", "0s", ""])
def test_a_budget_that_is_no_duration(cli, budget):
    cli("train", *TINY, f"--time-budget={budget}").refused("--time-budget", "90s, 5m or 1h30m")


def test_an_unknown_option_of_the_model(cli):
    answer = cli("train", "pixelcnn", "--data", "digits", "--steps", 1, "--set", "featurs=8")
    answer.refused("it has no option 'featurs'; did you mean features?")


def test_a_bad_value_of_an_option_of_the_model(cli):
    answer = cli("train", "pixelcnn", "--data", "digits", "--steps", 1, "--set", "features=many")
    answer.refused("features='many'")


def test_an_option_set_twice(cli):
    answer = cli("train", *TINY, "--steps", 1, "--set", "features=16")
    answer.refused("--set gives 'features' twice; keep one")


def test_a_misspelt_option_names_the_near_one(cli):
    cli("train", *TINY, "--time-budgt", "5m").refused("Did you mean --time-budget?")


def test_a_huge_batch_names_the_limit(cli):
    cli("train", *TINY, "--steps", 1, "--batch-size", 10**9).refused(
        "--batch-size 1,000,000,000 must be at most 65,536; take more --steps instead"
    )


@pytest.mark.parametrize("value", ["features=-8", "layers=-1", "kernel=4"])
def test_sizes_that_cannot_be(cli, value):
    answer = cli("train", "pixelcnn", "--data", "digits", "--steps", 1, "--set", value)
    answer.refused(value.partition("=")[0])


def test_a_model_on_data_that_it_cannot_take(cli, tmp_path):
    answer = cli("train", "pixelcnn", "--data", "wine", "--steps", 1)
    answer.refused("pixelcnn needs images", "Spec(shape=(13,)")
    assert not list(tmp_path.iterdir())


def test_conditional_without_labels(cli):
    answer = cli("train", "independent", "--data", "patches", "--steps", 1, "--conditional")
    answer.refused("--conditional needs labels, but patches has none; leave it out")


def test_a_gpu_where_there_is_none(cli, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    answer = cli("train", *TINY, *QUICK, "--device", "cuda", "--out", "run")
    answer.refused("device='cuda'", "sees 0 GPUs", "--device cpu")
    assert not RunFolder("run").exists


def test_an_unknown_device(cli):
    cli("train", *TINY, *QUICK, "--device", "tpu").refused("'tpu' is not known", "auto, cpu, cuda")


def test_a_run_that_exists_is_never_overwritten(cli):
    cli("train", *TINY, *QUICK, "--out", "run")
    before = RunFolder("run").weights_file.read_bytes()
    answer = cli("train", *TINY, *QUICK, "--seed", 5, "--out", "run")
    answer.refused("--out run exists", "genus train --resume --out run", "choose another folder")
    assert RunFolder("run").weights_file.read_bytes() == before


def test_a_folder_with_other_files_is_left_alone(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    cli("train", *TINY, *QUICK, "--out", "mine").refused("--out mine exists and is not empty")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_resuming_a_finished_run_says_so_by_its_figures(cli):
    first = cli("train", *TINY, *QUICK, "--out", "run", "--json").json
    answer = cli("train", "--resume", "--out", "run", "--json")
    assert answer.code == 0, answer.err
    assert answer.json == first


def test_resume_alone_takes_the_last_run(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1)
    assert "runs/independent-digits" in cli("train", "--resume").out


def test_resume_without_any_run(cli):
    answer = cli("train", "--resume").refused("there is no run in runs/ to resume; give --out DIR")
    assert answer.last == f"next: {runs.FIRST_RUN}"


def test_resume_with_other_settings_lists_the_differences(cli):
    cli("train", *TINY, *QUICK, "--out", "run")
    answer = cli("train", "--resume", "--out", "run", "--batch-size", 4, "--set", "layers=2")
    answer.refused("batch_size was 8, now 4", "layers was 1, now 2", code=1)


def test_resume_with_the_names_repeated_reads_the_data_as_before(cli, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "mine.npy", rng.integers(0, 4, (40, 1, 5, 5), dtype=np.uint8))
    words = ("independent", "--data", "mine.npy", "--levels", 8, "--steps", 1)
    first = cli("train", *words, "--out", "run", "--json")
    assert first.code == 0, first.err
    answer = cli("train", "independent", "--data", "mine.npy", "--out", "run", "--resume", "--json")
    assert answer.code == 0, answer.err
    assert answer.json == first.json


def test_resume_conditionally_what_is_unconditional(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1, "--out", "run")
    answer = cli("train", "--resume", "--out", "run", "--conditional")
    answer.refused("the run is unconditional; leave --conditional out")


def test_resume_with_another_model(cli):
    cli("train", *TINY, *QUICK, "--out", "run")
    answer = cli("train", "vae", "--resume", "--out", "run")
    answer.refused("the run is of pixelcnn, not vae; leave the model out")


def test_a_configuration_of_a_newer_version(cli):
    cli("train", *TINY, *QUICK, "--out", "run")
    file = RunFolder("run").config_file
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 999}))
    for words in (("train", "--resume", "--out"), ("evaluate",), ("sample",)):
        cli(*words, "run").refused("format 999", "upgrade genus", code=1)


def test_a_run_that_is_not_there_names_those_that_are(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1)
    answer = cli("evaluate", "runs/independnt-digits")
    answer.refused("does not exist; did you mean runs/independent-digits?")


def test_diverging_fails_with_advice(cli):
    words = ("--learning-rate", 1e30, "--clip", 0, "--warmup", 0, "--precision", "float32")
    answer = cli("train", *TINY, "--steps", 50, "--samples", 0, *words, "--out", "run")
    answer.refused("learning", code=1)


def test_a_model_learns_from_few_labels_and_is_scored_with_all(cli):
    words = ("--data", "digits", "--labelled", 20, "--set", "hidden=8", "latents=2", *QUICK)
    assert cli("train", "m2", *words, "--out", "run").code == 0
    record = runs.read(Path("run"))
    assert record.data["source"]["labelled"] == 20
    assert record.spec.classes == 10
    answer = cli("classify", "run", "--json")
    assert answer.code == 0, answer.err
    again = cli("train", "--resume", "--out", "run", "--labelled", 30)
    again.refused("a run has its labels already; leave --labelled out")


def test_hidden_labels_are_refused_where_they_cannot_be_learnt_from(cli):
    answer = cli("train", "vae", "--data", "digits", "--labelled", 20, *QUICK)
    answer.refused("vae cannot learn from examples without labels", "only 20 have", "m2")
    Path("few.csv").write_text("a,b,c\n" + "".join(f"{i % 7},{i % 5},x\n" for i in range(60)))
    with Path("few.csv").open("a") as file:
        file.write("".join(f"{i % 3},{i % 4},{'y' if i % 4 else ''}\n" for i in range(60)))
    few = ("--data", "few.csv", "--label", "c", *QUICK)
    cli("train", "made", *few, "--conditional").refused("made cannot learn", "have one")
    assert cli("train", "made", *few, "--out", "plain").code == 0  # without classes all are equal
    assert cli("train", "m2", *few, "--conditional", "--out", "m2").code == 0
    assert cli("evaluate", "m2", "--samples", 0).code == 0
    cli("train", "m2", "--data", "digits", "--labelled", 3, *QUICK).refused("ask for 10 at least")


def test_a_model_that_needs_labels_says_how_to_give_them(cli):
    answer = cli("train", "naive-bayes", "--data", "digits", *QUICK)
    answer.refused("needs data with classes")
    assert "genus train naive-bayes --data digits --conditional" in answer.last


def test_what_a_command_goes_on_with(tmp_path):
    folders = [tmp_path / name for name in ("run", "run-2", "run-3")]
    assert runs.to_resume(folders[0], Path.is_file) == folders[0]
    for folder in folders:
        folder.mkdir()
    for finished, wanted in (((), 2), ((2,), 1), ((1, 2), 0), ((0, 1, 2), 2)):
        over = {folders[i] for i in finished}
        assert runs.to_resume(folders[0], over.__contains__) == folders[wanted]
