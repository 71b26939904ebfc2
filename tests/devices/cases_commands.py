"""Commands that are given a device use it, and write what they write on the processor."""

import json

import numpy as np
import pytest
from pretended import DEVICE, pretended

from genus.cli import main
from genus.training import engine, loading

RUNS = {
    "pixelcnn": ["--data", "digits", "--conditional", "--set", "features=8", "layers=1"],
    "vae": ["--data", "digits", "--set", "network=mlp", "hidden=16", "latents=4"],
    "gaussian-mixture": ["--data", "wine"],
    "pix2pix": ["--data", "digits", "--given", "downsample:2"],
}


@pytest.fixture(params=RUNS)
def run(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path / "cache"))
    words = [*RUNS[request.param], "--steps", "3", "--samples", "0", "--out", "run"]
    assert main(["train", request.param, *words]) == 0
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
