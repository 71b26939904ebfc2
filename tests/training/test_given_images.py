"""Training of models that are given images: judged, drawn and resumed by those of valid."""

import numpy as np
import pytest
import torch
from PIL import Image
from training_toys import differences, final_tensors, toy_data

from genus import Spec, create
from genus.data import degrade
from genus.data.degradations import Downsample, Hide
from genus.errors import SpecError
from genus.training import Hook, TrainConfig, load, train
from genus.training.fidelity import Fidelity
from genus.training.pictures import beside, draw_samples
from genus.training.sampler import generator_of

SPEC = Spec((1, 4, 4), levels=3)
SMALL = {"channels": 4, "critic_channels": 4, "latents": 2}
CONFIG = TrainConfig(steps=8, batch_size=16, checkpoint_every=0, samples=5, evaluate_every=4)


HALF = Downsample(2)


def paired(change=HALF):
    return degrade(toy_data(spec=SPEC), change)


def fresh(data, seed=0):
    torch.manual_seed(seed)
    return create("pix2pix", data.spec, **SMALL)


class Remembers:
    """Keeps the conditions that it is asked for, and repeats their pixels."""

    def __init__(self, spec):
        self.spec, self.device, self.asked = spec, torch.device("cpu"), []

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        self.asked.append(y)
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_the_distance_during_training_is_taken_on_the_conditions_of_the_valid_examples():
    data = paired()
    model = Remembers(data.spec)
    Fidelity(data, 30, seed=0)(model)
    rows = torch.randperm(len(data.valid), generator=generator_of(0, 5))[:30].sort().values
    assert torch.equal(model.asked[0], data.valid.batch(rows).y)
    assert not torch.equal(model.asked[0], data.train.batch(rows).y)


class Watches(Hook):
    """Keeps the samples that are drawn at an evaluation."""

    def __init__(self):
        self.found = []

    def on_evaluate(self, session, scores):
        self.found.append(draw_samples(session))


def test_grids_are_of_the_first_valid_examples_and_always_of_the_same_noise(tmp_path):
    data, watch = paired(), Watches()
    train(fresh(data), data, tmp_path / "run", CONFIG, hooks=[watch])
    assert len(watch.found) == 2
    for x, pairs in watch.found:
        assert torch.equal(pairs.x, data.valid.batch(torch.arange(5)).x)
        assert torch.equal(pairs.y, data.valid.batch(torch.arange(5)).y)
        assert x.shape == (5, *SPEC.shape)
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


def test_more_samples_than_valid_examples_take_them_in_turn(tmp_path):
    data, watch = paired(), Watches()
    config = TrainConfig(steps=2, batch_size=16, checkpoint_every=0, samples=60)
    train(fresh(data), data, tmp_path / "run", config, hooks=[watch])
    pairs = watch.found[-1][1]
    assert torch.equal(pairs.x[50:], pairs.x[:10])


class Crash(Hook):
    """Raises after a step."""

    def on_step(self, session):
        if session.step == 5:
            raise RuntimeError("the power is gone")


def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path):
    data = paired()
    train(fresh(data), data, tmp_path / "whole", CONFIG)
    with pytest.raises(RuntimeError, match="power"):
        train(fresh(data), data, tmp_path / "parts", CONFIG, hooks=[Crash()])
    train(fresh(data, 1), data, tmp_path / "parts", resume=True)
    assert not differences(final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "parts"))
    assert load(tmp_path / "whole").spec == data.spec


def test_data_without_the_conditions_or_with_others_are_refused(tmp_path):
    data = paired()
    for other in (toy_data(spec=SPEC), paired(Hide("lower"))):
        with pytest.raises(SpecError, match="the model was built for"):
            train(fresh(data), other, tmp_path / "run", CONFIG)


def test_a_model_that_goes_by_nothing_trains_on_pairs_as_on_the_images_alone(tmp_path):
    config = TrainConfig(steps=3, batch_size=16, samples=0)
    results = []
    for name, data in (("pairs", paired()), ("plain", toy_data(spec=SPEC))):
        torch.manual_seed(0)
        model = create("made", data.spec.unconditional(), hidden=8)
        train(model, data, tmp_path / name, config)
        results.append(load(tmp_path / name).state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_a_strip_holds_condition_samples_and_original():
    y = torch.tensor([[[[0, 2]]]])
    x = torch.tensor([[[[[0, 1], [1, 2]]], [[[2, 2], [2, 2]]]]])
    original = torch.tensor([[[[2, 0], [0, 2]]]])
    picture = beside(y, x, original, Spec((1, 2, 2), levels=3))
    side = 48 + 2
    assert picture.shape == (side, 4 * side, 3)
    middles = [[(12, 12), (12, 36)], [(36, 12), (36, 36)]]
    tiles = np.split(picture[..., 0], 4, axis=1)
    levels = [[[round(t[i + 1, j + 1] / 127.5) for i, j in row] for row in middles] for t in tiles]
    assert levels == [[[0, 2], [0, 2]], [[0, 1], [1, 2]], [[2, 2], [2, 2]], [[2, 0], [0, 2]]]
    assert beside(y, x, None, Spec((1, 2, 2), levels=3)).shape == (side, 3 * side, 3)
    Image.fromarray(picture)


def test_many_strips_stand_side_by_side():
    y, x = torch.zeros(36, 1, 2, 2), torch.zeros(36, 1, 1, 4, 4)
    picture = beside(y, x, x[:, 0], SPEC)
    assert picture.shape[:2] == (12 * 50, 3 * 3 * 50)
