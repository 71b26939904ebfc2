"""`genus plot`: pictures of what a run has learned."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genus.cli import main
from genus.cli.plot import KINDS

SMALL = ("--set", "hidden=16", "latents=2", "depth=1")


def trained(folder: Path, model: str, *words: str) -> Path:
    common = ["train", model, "--steps", "20", "--samples", "0", "--out", str(folder)]
    assert main([*common, *words]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A small VAE of digits."""
    return trained(tmp_path_factory.mktemp("runs") / "small", "vae", "--data", "digits", *SMALL)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A hidden Markov model of digits."""
    words = ("--data", "digits", "--set", "states=3", "iterations=2")
    return trained(tmp_path_factory.mktemp("runs") / "chain", "hmm", *words)


FACTS = {
    "reconstructions": {"rows", "draw", "log_prob", "standard_error"},
    "projection": {"rows", "residual", "mean_residual", "standard_error", "nearest_draw"},
    "interpolation": {"route", "latents", "ends", "distance", "draw"},
    "traversal": {"row", "latents", "deviation", "active", "of", "examples", "draw"},
    "latent-map": {"examples", "latents", "of", "axes", "explained_variance"},
    "states": {"rows", "states", "visited", "path_log_prob", "certainty"},
}


@pytest.mark.parametrize("kind", FACTS)
def test_every_picture_is_written_with_its_recipe_and_its_facts(cli, run, chain, kind):
    folder = chain if kind == "states" else run
    answer = cli("plot", folder, kind, "--json", "--seed", 4)
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {"out", "kind", "facts", "recipe"}
    assert found["out"] == f"{folder.name}-{kind}.png"
    assert set(found["facts"]) == FACTS[kind]
    with Image.open(found["out"]) as image:
        assert np.asarray(image.convert("L")).std() > 10
        recipe = json.loads(image.text["genus"])
    digest = found["recipe"].pop("file_sha256")
    assert recipe == found["recipe"]
    assert (recipe["kind"], recipe["data"], recipe["split"], recipe["seed"]) == (
        kind, "digits", "test", 4,
    )  # fmt: skip
    first = Path(found["out"]).read_bytes()
    assert hashlib.sha256(first).hexdigest() == digest
    assert cli("plot", folder, kind, "--seed", 4, "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == first


def test_curves_are_drawn_of_the_journal_alone(cli, run, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "manifest.json", "metrics.jsonl"):
        (bare / name).write_bytes((run / name).read_bytes())
    found = cli("plot", bare, "curves", "--json").json
    told = (found["out"], found["kind"], found["recipe"]["run"])
    assert told == ("bare-curves.png", "curves", "bare")
    assert {"loss", "kl", "valid: nats/dim"} <= set(found["facts"]["panels"])
    with Image.open(found["out"]) as image:
        assert json.loads(image.text["genus"])["model"] == "vae"
    answer = cli("plot", run, "curves", "-o", "c.png")
    assert "rollbacks" in answer.out
    assert answer.last == f"next: genus evaluate {run}"


def test_a_picture_in_words(cli, run):
    answer = cli("plot", run, "reconstructions", "--index", "3,1", "-o", "r.png")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("r.png: reconstructions\n")
    assert "rows            3, 1\n" in answer.out
    assert "log prob        -" in answer.out
    assert answer.last == f"next: genus plot {run} traversal"
    answer = cli("plot", run, "reconstructions", "-o", "more.png")
    assert ", ...\n" in answer.out  # sixteen rows are too many to list


def test_options_reach_the_library(cli, run):
    words = ("--index", "0,5", "--steps", 3, "--route", "sphere", "--draw")
    found = cli("plot", run, "interpolation", *words, "--json").json
    assert found["facts"]["ends"] == [[0, 5]]
    assert (found["facts"]["route"], found["facts"]["draw"]) == ("sphere", True)
    found = cli("plot", run, "traversal", "-n", 1, "--index", 9, "--split", "valid", "--json").json
    assert (found["facts"]["row"], len(found["facts"]["latents"])) == (9, 1)
    assert found["recipe"]["split"] == "valid"
    found = cli("plot", run, "latent-map", "-n", 30, "--json").json
    assert found["facts"]["examples"] == 30


def test_other_data_of_the_same_kind(cli, run, tmp_path):
    x = np.random.default_rng(0).integers(0, 17, (40, 8, 8)).astype("uint8")
    np.savez(tmp_path / "own.npz", x_train=x, x_valid=x[:9], x_test=x[:10])
    words = ("--data", "own.npz", "--levels", 17, "--json")
    answer = cli("plot", run, "latent-map", *words)
    assert answer.code == 0, answer.err
    assert answer.json["facts"]["examples"] == 10
    answer = cli("plot", run, "latent-map", "--data", "wine", "-o", "w.png")
    answer.refused("the model is for shape=(1, 8, 8)")


def test_a_run_of_classes_and_a_run_of_vectors(cli):
    folder = trained(Path("cond"), "vae", "--data", "digits", "--conditional", *SMALL)
    assert cli("plot", folder, "traversal").code == 0
    cli("plot", folder, "interpolation", "--index", "0,1").refused("are of classes")
    folder = trained(Path("table"), "vae", "--data", "wine", *SMALL)
    assert cli("plot", folder, "latent-map").code == 0
    cli("plot", folder, "traversal").refused("drawn as images, but the data are")


@pytest.mark.parametrize(
    ("kind", "words", "messages"),
    [
        ("mapp", (), ("mapp", "latent-map")),
        ("filters", ("--data", "digits", "--draw"), ("--data is for", "--draw is for")),
        ("states", ("--steps", 5), ("--steps is for interpolation, traversal; leave it out",)),
        ("latent-map", ("--route", "sphere"), ("--route is for interpolation",)),
        ("interpolation", ("--route", "round"), ("round", "sphere")),
        ("interpolation", ("--index", "1,2,3"), ("two rows for each pair; 3 make no pairs",)),
        ("traversal", ("--index", "1,2"), ("begins at one example",)),
        ("reconstructions", ("--index", "0-3", "-n", 4), ("both say how many",)),
        ("reconstructions", ("--index", "x"), ("--index 'x' must be numbers",)),
        ("reconstructions", ("--index", 400), ("the test split of digits has rows 0 to 359",)),
        ("reconstructions", ("-n", 0), ("-n 0 must be at least 1",)),
        ("reconstructions", ("-n", 1000), ("-n 1,000 must be at most 512",)),
        ("traversal", ("--steps", 1), ("--steps 1 must be at least 2",)),
        ("traversal", ("--seed", -1, "-o", "a.svg"), ("--seed -1", "must end with .png")),
        ("traversal", ("-o", "no/a.png"), ("the folder no does not exist",)),
        ("traversal", ("--split", "tset"), ("no split 'tset'; did you mean test?",)),
        ("traversal", ("--gray",), ("say how --data is read",)),
        ("progress", ("--data", "digits", "-o", "a.png"), ("--data is for", "must end with .gif")),
        ("curves", ("-n", 4, "--index", "3"), ("curves are all shown", "--index is for")),
        ("filters", ("--device", "cuda:97"), ("device='cuda:97' was asked for, but torch",)),
        ("curves", ("--device", "auto"), ("--device: no model is run for curves; leave it out",)),
        ("progress", ("-n", 1), ("-n 1 makes no animation",)),
        ("progress", (), ("small has 0 sample grids, and an animation needs two; train with",)),
    ],
)
def test_bad_words(cli, run, kind, words, messages):
    cli("plot", run, kind, *words).refused(*messages)
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("curves", "progress")])
def test_a_run_without_what_the_picture_needs(cli, kind):
    folder = trained(Path("bare"), "independent", "--data", "digits")
    answer = cli("plot", folder, kind)
    if kind == "latent-map":  # its one feature makes no map
        answer.refused("a map takes two latents or more, and the model has one")
        return
    answer.refused("independent", "train a model that")
    assert answer.last == "next: genus models"


def test_a_run_that_is_not_there(cli):
    cli("plot", "nothing", "traversal").refused("'nothing' does not exist")
    cli("plot", "nothing").refused("KIND")


def test_a_picture_that_would_be_huge(cli, run, monkeypatch):
    monkeypatch.setattr("genus.cli.plot.MOST_PIXELS", 8 * 8 * 100)
    words = ("traversal", "-n", 8, "--steps", 13)
    cli("plot", run, *words).refused("104 images of 8x8 are too many for one picture")
    assert cli("plot", run, "traversal", "-n", 2, "--steps", 13).code == 0
    assert cli("plot", run, "latent-map").code == 0  # it shows points


def test_a_file_is_not_replaced_unless_told(cli, run):
    Path("f.png").write_bytes(b"mine")
    cli("plot", run, "latent-map", "-o", "f.png").refused("f.png exists; add --force")
    assert Path("f.png").read_bytes() == b"mine"
    assert cli("plot", run, "latent-map", "-o", "f.png", "--force").code == 0


@pytest.mark.parametrize("model", ["vae", "fvsbn", "gan"])
def test_the_progress_of_every_family(cli, model):
    few = {"vae": SMALL, "gan": ("--set", "channels=4", "hidden=8", "latents=4")}.get(model, ())
    words = ("--data", "digits", "--steps", 6, "--evaluate-every", 2, "--samples", 4, *few)
    assert cli("train", model, *words, "--out", "run").code == 0
    answer = cli("plot", "run", "progress", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["out"] == "run-progress.gif"
    assert answer.json["facts"]["steps"] == [2, 4, 6]
    with Image.open("run-progress.gif") as made:
        assert made.n_frames == 3
        recipe = json.loads(made.info["comment"])
        assert (recipe["model"], recipe["steps"]) == (model, [2, 4, 6])
    digest = hashlib.sha256(Path("run-progress.gif").read_bytes()).hexdigest()
    assert answer.json["recipe"] == {**recipe, "file_sha256": digest}
    told = cli("plot", "run", "progress", "-n", 2, "-o", "two.gif").out
    assert "two.gif: 2 sample grids" in told
    assert "2, 6\n" in told
    cli("plot", "run", "progress", "-o", "two.gif").refused("two.gif", "--force")


def test_data_that_are_no_images_have_no_progress(cli):
    folder = trained(Path("table"), "vae", "--data", "wine", *SMALL)
    cli("plot", folder, "progress").refused("has 0 sample grids", "for images only")
