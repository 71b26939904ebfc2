"""The animation of a run holds its grids, each once, in order, with their steps."""

import io

import numpy as np
import pytest
from PIL import Image
from training_toys import make, toy_data

from genus.errors import CheckpointError, ConfigError
from genus.training import RunFolder, TrainConfig, train
from genus.training.film import FASTEST, Film, film


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model whose samples are noise that never changes: its grids are all the same."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = TrainConfig(steps=40, evaluate_every=4, samples=5, precision="float32")
    train(make("toy-chain"), toy_data(), out, config)
    return out


def test_the_frames_are_the_grids_above_their_captions(run):
    made = film(run)
    assert list(made.captions) == list(range(4, 41, 4))
    grids = [np.asarray(Image.open(RunFolder(run).sample(step))) for step in made.captions]
    scores = {x["step"]: x for x in RunFolder(run).read_metrics() if x["kind"] == "valid"}
    height, width, _ = grids[0].shape
    for (step, caption), grid, frame in zip(made.captions.items(), grids, made.frames, strict=True):
        assert caption == f"step {step}   {scores[step]['nats_per_dim']:.4g} nats/dim"
        pixels = np.asarray(frame)
        assert np.array_equal(pixels[:height, :width], grid)
        assert pixels[height:].min() == 0  # something is written
    assert len({frame.size for frame in made.frames}) == 1


def test_the_file_has_every_frame_to_the_pixel(run):
    """Grids that are all alike are frames of their own, because their captions differ."""
    made = film(run)
    data = made.gif({"run": "toy"})
    assert made.gif({"run": "toy"}) == data
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 10
        assert image.info["comment"] == b'{"run": "toy"}'
        for index, frame in enumerate(made.frames):
            image.seek(index)
            assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(frame))
            assert image.info["duration"] == (2000 if index == 9 else made.pause)


def test_many_grids_are_thinned_evenly(run):
    assert list(film(run, 4).captions) == [4, 16, 28, 40]
    assert list(film(run, 2).captions) == [4, 40]


def test_colours_survive():
    rng = np.random.default_rng(0)
    few = rng.integers(0, 256, (7, 3))
    frames = [Image.fromarray(few[rng.integers(0, 7, (20, 20))].astype(np.uint8)) for _ in "ab"]
    with Image.open(io.BytesIO(Film({1: "", 2: ""}, frames).gif({}))) as image:
        image.seek(1)
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(frames[1]))


def test_how_fast_it_is():
    frame = Image.new("RGB", (4, 4))
    assert [Film({}, [frame] * n).pause for n in (2, 100, 5000)] == [500, 100, FASTEST]


def test_runs_without_two_grids_are_told_why(run, tmp_path):
    config = TrainConfig(steps=4, evaluate_every=4, samples=5, precision="float32")
    train(make("toy-chain"), toy_data(), tmp_path / "one", config)
    with pytest.raises(ConfigError, match=r"one has 1 sample grid, and .* --evaluate-every"):
        film(tmp_path / "one")
    with pytest.raises(CheckpointError, match="is not a run"):
        film(tmp_path / "none")
