"""How near samples come to their originals: against NumPy, by hand, and on a planted scale."""

import math

import numpy as np
import pytest
import torch

import genus
from genus.data import ArraySplit, DataSet, degrade
from genus.data.degradations import Downsample, Grayscale, Hide
from genus.errors import SpecError
from genus.evaluation import evaluate
from genus.evaluation.drawing import chosen_count
from genus.evaluation.pairs import PairBlock, baseline, pair_block
from genus.evaluation.scoring import Evaluation, plain
from genus.evaluation.sweep import sweep
from genus.families.base import Model
from genus.spec import Batch, Spec

SPEC = Spec((1, 4, 6), levels=9, condition=(1, 2, 3))
HALF = Downsample(2)


def levels(*shape, most=8, seed=0):
    return torch.randint(most + 1, shape, generator=torch.Generator().manual_seed(seed))


def psnr(x, original, span):
    """PSNR of each image, as it is written in textbooks."""
    return [
        10 * math.log10(span**2 / np.mean((a.astype(float) - b) ** 2))
        for a, b in zip(x.numpy(), original.numpy(), strict=True)
    ]


def pairs(n=20, seed=0):
    x = levels(n, *SPEC.shape, seed=seed)
    return Batch(x, HALF(x, SPEC))


def test_figures_are_those_of_textbooks():
    data, x = pairs(), levels(20, *SPEC.shape, seed=1)
    found = pair_block(x, data, SPEC, HALF).model
    wanted = psnr(x, data.x, 8)
    assert found.psnr.value == pytest.approx(np.mean(wanted))
    assert found.psnr.standard_error == pytest.approx(np.std(wanted, ddof=1) / 20**0.5)
    assert found.psnr.value != pytest.approx(np.mean(psnr(x, data.x, 9)), abs=0.1)  # K, not K - 1
    off = (x - data.x).abs().float().mean()
    assert found.l1.value == pytest.approx(float(off) / 8)
    again = (HALF(x, SPEC) - data.y).abs().double().mean()
    assert found.consistency.value == pytest.approx(float(again) / 8)


def test_a_perfect_image_has_the_psnr_of_one_level_in_one_entry_and_is_consistent():
    data = pairs()
    found = pair_block(data.x, data, SPEC, HALF).model
    assert found.psnr.value == pytest.approx(10 * math.log10(64 * SPEC.dims))
    assert (found.l1.value, found.consistency.value) == (0.0, 0.0)
    one_off = data.x.clone()
    one_off[:, 0, 0, 0] += torch.where(one_off[:, 0, 0, 0] > 0, -1, 1)
    assert pair_block(one_off, data, SPEC, HALF).model.psnr.value == pytest.approx(found.psnr.value)


def test_images_that_fit_their_conditions_but_not_their_originals_are_told_apart():
    data = pairs()
    turned = data.x.flip(3)
    upright = pair_block(turned, data, SPEC, HALF).model
    mirrored = pair_block(turned, Batch(data.x, data.y.flip(3)), SPEC, HALF).model
    assert upright.consistency.value > 0.1
    assert mirrored.consistency.value == 0.0
    assert mirrored.l1.value > 0.1


def test_the_baseline_is_the_enlarged_condition():
    y = torch.tensor([[[[0, 8]]]])
    spec = Spec((1, 1, 4), levels=9, condition=(1, 1, 2))
    assert baseline(y, spec).tolist() == [[[[0, 2, 6, 8]]]]  # weights of 3/4 and 1/4
    same = levels(2, 1, 4, 6)
    assert torch.equal(baseline(same, Spec((1, 4, 6), levels=9, condition=(1, 4, 6))), same)


def test_the_baseline_of_a_grey_condition_is_grey_in_every_colour_and_some_have_none():
    colour = Spec((3, 4, 4), levels=9)
    x = levels(2, *colour.shape)
    grey = Grayscale()(x, colour)
    spec = Spec((3, 4, 4), levels=9, condition=(1, 4, 4))
    assert torch.equal(baseline(grey, spec), grey.repeat(1, 3, 1, 1))
    odd = Spec((3, 4, 4), levels=9, condition=(2, 4, 4))
    assert pair_block(x, Batch(x, levels(2, 2, 4, 4)), odd, None).baseline is None


def test_without_a_known_degradation_there_is_no_consistency():
    block = pair_block(pairs().x, pairs(), SPEC, None)
    assert block.degradation is None
    assert block.model.consistency is None


def test_a_block_goes_through_json_and_one_pair_has_no_standard_error():
    for n in (1, 20):
        block = pair_block(levels(n, *SPEC.shape, seed=3), pairs(n), SPEC, HALF)
        again = PairBlock.from_json(plain(block.to_json()))
        assert plain(again.to_json()) == plain(block.to_json())
    assert math.isnan(pair_block(pairs(1).x, pairs(1), SPEC, HALF).model.l1.standard_error)


class Enlarges(Model):
    """A model that repeats pixels of its condition, and keeps what it was given."""

    name, family, takes_condition = "enlarges", "toy", True

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        assert y is not None, "no condition was given"
        assert len(y) == n
        self.seen = [*getattr(self, "seen", []), y]
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture(scope="module")
def data():
    return degrade(genus.load_data("digits"), HALF)


def test_each_held_out_example_gets_a_sample_of_its_own_condition(data):
    model = Enlarges(data.spec)
    found = evaluate(model, data, samples=60, seed=1)
    given = model.seen[-1]
    assert len(given) == 60
    assert found.pairs.n == 60
    assert found.pairs.model.consistency.value == 0.0  # other conditions would not fit
    assert found.pairs.model.psnr.value > 10
    assert found.pairs.degradation == "downsample:2"
    assert any("very examples" in note for note in found.notes)
    stored = found.to_json()
    assert Evaluation.from_json(stored, found.likelihood.nats, None).pairs == found.pairs


def test_shuffled_conditions_would_show(data):
    class Shuffles(Enlarges):
        def sample(self, n, *, y=None, generator=None, temperature=1.0):
            return super().sample(n, y=y.roll(1, 0))

    assert evaluate(Shuffles(data.spec), data, samples=60).pairs.model.consistency.value > 0.05


def test_more_samples_than_held_out_examples_take_conditions_in_turn(data):
    few = ArraySplit(genus.load_data("digits").test.x[:20])
    small = DataSet("few", genus.load_data("digits").spec.unconditional(),
                    {**genus.load_data("digits").splits, "test": few}, "sha256:0")  # fmt: skip
    model = Enlarges(data.spec)
    found = evaluate(model, degrade(small, HALF), samples=45)
    assert torch.equal(model.seen[-1][:20], model.seen[-1][20:40])
    assert found.pairs.n == 20


def test_the_budget_of_drawing_and_a_sweep_are_given_conditions(data):
    model = Enlarges(data.spec)
    assert chosen_count(model, data, "test", None, 60.0)[0] == 360
    assert sweep(model, data, [0.5, 1.0], samples=20).blocks.keys() == {0.5, 1.0}


def test_other_conditions_than_the_models_are_refused(data):
    model = Enlarges(data.spec)
    for other in (genus.load_data("digits"), degrade(genus.load_data("digits"), Hide("lower"))):
        with pytest.raises(SpecError, match=r"given images of shape \(1, 4, 4\)"):
            evaluate(model, other)


def test_a_model_that_goes_by_nothing_is_evaluated_on_degraded_data_as_ever(data):
    model = genus.create("independent", data.spec.unconditional())
    found = evaluate(model, data, samples=20)
    assert found.pairs is None
    assert "pairs" not in found.to_json()
