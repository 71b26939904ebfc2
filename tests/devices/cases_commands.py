"""Commands that are given a device use it, and write what they write on the processor."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pretended import DEVICE, pretended

from genus.cli import main
from genus.training import engine, loading

RUNS = {
    "naive-bayes": ["--data", "digits", "--conditional"],
    "rbm": ["--data", "digits"],
    "pixelcnn": ["--data", "digits", "--conditional", "--set", "features=8", "layers=1"],
    "vae": ["--data", "digits", "--set", "network=mlp", "hidden=16", "latents=4"],
    "gaussian-mixture": ["--data", "table.csv"],
    "pix2pix": ["--data", "digits", "--given", "downsample:2"],
}
HMM = ["--data", "digits", "--set", "states=3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which each model is trained once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run_of(tmp_path, trained, monkeypatch):
    """Put a trained model into the folder "run"."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path / "cache"))

    def run(model):
        words = [*RUNS.get(model, HMM), "--steps", "3", "--samples", "0"]
        if not (trained / model).exists():
            assert main(["train", model, *words, "--out", str(trained / model)]) == 0
        shutil.copytree(trained / model, "run")

    return run


@pytest.fixture(params=RUNS)
def run(request, run_of):
    table = np.random.default_rng(0).normal(size=(90, 3)) @ [[1, 2, 0], [0, 1, 1], [0, 0, 1]]
    np.savetxt("table.csv", table, delimiter=",", header="a,b,c", comments="")
    run_of(request.param)
    return request.param


def on_the_device(monkeypatch, words, moved):
    """Run a command there; ``moved`` is told of every model that goes."""

    def find(name):
        moved.append(name)
        return DEVICE

    with monkeypatch.context() as patch:
        patch.setattr(engine, "find_device", find)
        patch.setattr(loading, "find_device", find)
        with pretended():
            return main([*words, "--device", "cuda"])


def test_samples_are_the_same(run, monkeypatch):
    words, moved = ["sample", "run", "-n", "7", "--seed", "2", "-o"], []
    assert main([*words, "here.npz"]) == 0
    assert on_the_device(monkeypatch, [*words, "there.npz"], moved) == 0
    assert moved == ["cuda", "cuda"]  # when checked, and when loaded
    with np.load("here.npz") as here, np.load("there.npz") as there:
        np.testing.assert_allclose(there["x"], here["x"], atol=1e-5)


def test_scores_are_the_same(run, monkeypatch, capsys):
    if run in ("rbm", "naive-bayes", "pixelcnn"):
        pytest.skip("slow; cases_evaluation.py has much the same in Python")
    words, moved = ["evaluate", "run", "--samples", "60", "--json"], []
    capsys.readouterr()
    assert main(words) == 0
    here = json.loads(capsys.readouterr().out)
    assert on_the_device(monkeypatch, words, moved) == 0
    there = json.loads(capsys.readouterr().out)
    assert moved == ["cuda", "cuda"]
    if run == "pix2pix":
        got, wanted = (found["pairs"]["model"]["psnr"]["value"] for found in (there, here))
    else:
        got, wanted = (found["likelihood"]["nats"] for found in (there, here))
    assert got == pytest.approx(wanted, rel=1e-4)
    for name, scores in here["samples"]["features"].items():
        got = there["samples"]["features"][name]["frechet"]["value"]
        assert got == pytest.approx(scores["frechet"]["value"], rel=1e-2)


WHERE = ("here", "there")


def same_files(monkeypatch, words, moved, suffix=".npz"):
    assert main([*words, "-o", f"here{suffix}"]) == 0
    assert on_the_device(monkeypatch, [*words, "-o", f"there{suffix}"], moved) == 0
    assert moved == ["cuda", "cuda"]
    if suffix == ".csv":
        here, there = (np.loadtxt(f"{place}.csv", delimiter=",", skiprows=1) for place in WHERE)
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)
        return
    with np.load("here.npz") as here, np.load("there.npz") as there:
        assert set(here) == set(there)
        for key in here:
            if np.issubdtype(here[key].dtype, np.number):
                np.testing.assert_allclose(there[key], here[key], atol=1e-3, err_msg=key)


def test_completions_are_the_same(run, monkeypatch):
    if run in ("pix2pix", "gaussian-mixture"):
        pytest.skip("no image with a lower half to be completed")
    same_files(monkeypatch, ["complete", "run", "--lower-half", "-n", "2"], [])


def test_a_table_is_filled_in_the_same(run, monkeypatch):
    if run != "gaussian-mixture":
        pytest.skip("no table")
    Path("gaps.csv").write_text("a,b,c\n,1,0.5\n0.1,,\n1,2,3\n")
    same_files(monkeypatch, ["complete", "run", "--data", "gaps.csv"], [], ".csv")


def test_classes_and_features_are_the_same(run, monkeypatch):
    if run == "naive-bayes":
        same_files(monkeypatch, ["classify", "run"], [], ".csv")
    if run in ("naive-bayes", "vae", "rbm"):
        same_files(monkeypatch, ["features", "run", "--split", "test"], [])


PICTURES = {
    "reconstructions": "vae",
    "projection": "vae",
    "interpolation": "vae",
    "traversal": "vae",
    "latent-map": "vae",
    "filters": "rbm",
    "states": "hmm",
}


@pytest.mark.parametrize(("kind", "model"), PICTURES.items())
def test_pictures_tell_the_same(kind, model, run_of, monkeypatch, capsys):
    run_of(model)
    words, moved, told = ["plot", "run", kind, "-n", "2", "--json"], [], []
    for place in WHERE:
        capsys.readouterr()
        out = [*words, "-o", f"{place}.png"]
        code = main(out) if place == "here" else on_the_device(monkeypatch, out, moved)
        assert code == 0, capsys.readouterr().err
        told.append(json.loads(capsys.readouterr().out)["facts"])
    assert moved == ["cuda", "cuda"]
    assert_alike(told[1], told[0])


def assert_alike(there, here):
    """Compare what JSON holds, numbers nearly."""
    if isinstance(here, dict):
        assert there.keys() == here.keys()
        for key in here:
            assert_alike(there[key], here[key])
    elif isinstance(here, list):
        assert len(there) == len(here)
        for one, other in zip(there, here, strict=True):
            assert_alike(one, other)
    else:
        assert there == (pytest.approx(here, rel=1e-2) if isinstance(here, float) else here)
