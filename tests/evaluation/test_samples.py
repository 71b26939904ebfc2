"""The sample block: counts, floors, rounding, cost, and what each figure sees."""

from __future__ import annotations

import pytest
import torch

from genus.errors import ConfigError, DataError, SpecError
from genus.evaluation.block import SampleBlock
from genus.evaluation.drawing import affordable, draw, quantise, sampling_cost
from genus.evaluation.samples import Reference
from genus.spec import Spec


@pytest.fixture
def reference(toys, cache_folder, quick):
    return Reference(toys.make_bars(sizes=(300, 40, 100)))


def test_every_model_is_measured_with_the_same_count_and_reference(reference):
    assert reference.n == 100
    assert len(reference.examples) == len(reference.real) == 100
    assert reference.real_source == "40 valid + 60 train"


def test_real_data_sit_at_their_floor(reference):
    block = reference.measure(reference.real)
    for score in block.scores.values():
        for name in (
            "frechet", "kernel", "sliced", "precision", "recall", "density", "coverage",
        ):  # fmt: skip
            measure = getattr(score, name)
            assert measure.value == measure.floor
        assert abs(score.kernel.value) < 4 * score.kernel.standard_error
        assert score.frechet.value < 3 * score.frechet_null
    assert abs(block.nearer_to_train.z) < 3.5
    for measure in (block.bins.different, block.bins.divergence, block.classes.statistic):
        assert measure.value == measure.floor


def test_copies_of_train_look_perfect_to_all_but_the_memorisation_test(reference):
    block = reference.measure(reference.train_copies())
    trained = block.scores["trained"]
    assert trained.frechet.value < 2 * trained.frechet.floor
    assert trained.coverage.value > 0.8
    assert block.nearer_to_train.share > 0.6
    assert block.nearer_to_train.z > 2.5


def test_noise_is_far_from_the_floor(toys, reference):
    x, _ = draw(toys.UniformModel(reference.data.spec), 100)
    block = reference.measure(x)
    for score in block.scores.values():
        assert score.frechet.value > 3 * score.frechet.floor
        assert score.sliced.value > 3 * score.sliced.floor
        assert score.kernel.value - score.kernel.floor > 3 * score.kernel.standard_error
        assert score.coverage.value < 0.3


def test_one_class_alone_fills_other_bins_and_classes_than_real_data(reference):
    train = reference.data.train
    block = reference.measure(train.x[train.y == 0].long())
    for measure in (block.bins.divergence, block.bins.different, block.classes.statistic):
        assert measure.value > 3 * measure.floor


def test_measuring_twice_gives_the_same_bits(toys, reference):
    x, _ = draw(toys.UniformModel(reference.data.spec), 100)
    assert reference.measure(x) == reference.measure(x)
    again = Reference(toys.make_bars(sizes=(300, 40, 100)))
    assert again.measure(x) == reference.measure(x)


def test_a_block_survives_its_json(reference):
    block = reference.measure(reference.real)
    assert SampleBlock.from_json(block.to_json()) == block


def test_a_block_of_an_old_record_can_be_read(reference):
    content = reference.measure(reference.real).to_json()
    for name in ("bins", "classes", "labels", "fingerprint", "notes"):
        del content[name]
    for scores in content["features"].values():
        del scores["kernel"], scores["sliced"]
    old = SampleBlock.from_json(content)
    assert old.bins is old.classes is old.labels is old.fingerprint is None
    assert old.notes == ()
    assert old.scores["trained"].kernel is None
    assert old.scores["trained"].frechet.value > 0


def test_rows_of_the_floor_are_not_rows_of_the_reference(reference):
    real, examples = reference.real.flatten(1), reference.examples.flatten(1)
    assert not (real[:, None] == examples).all(2).any()


def test_a_constant_grey_sample_stays_grey():
    spec = Spec(shape=(1, 2, 2), levels=17)
    grey = torch.full((1, 1, 2, 2), 8.0)
    assert quantise(grey, spec).unique().tolist() == [8]
    assert quantise(torch.tensor([[[[-3.0, 0.6], [15.5, 99.0]]]]), spec).flatten().tolist() == [
        0,
        1,
        16,
        16,
    ]
    with pytest.raises(SpecError, match="diverged"):
        quantise(grey * float("nan"), spec)
    with pytest.raises(SpecError, match="shape"):
        quantise(torch.zeros(1, 2, 2), spec)


def test_samples_do_not_depend_on_the_chunk(toys):
    model = toys.UniformModel(Spec(shape=(1, 3, 3), levels=5))
    first, seconds = draw(model, 23, seed=4)
    second, _ = draw(model, 23, seed=4, chunk=7)
    assert torch.equal(first, second)
    assert seconds > 0


def test_the_number_of_samples_follows_the_budget():
    assert affordable(2000, cost=0.001, budget=60) == 2000
    assert affordable(2000, cost=0.1, budget=60) == 600
    assert affordable(2000, cost=100, budget=60) == 50
    assert affordable(20, cost=100, budget=60) == 20


def test_the_cost_leaves_out_warming_up_and_shares_the_price_of_a_call():
    import time

    class Slow:
        spec = Spec(shape=(2,), levels=2)

        def __init__(self):
            self.sizes = []

        def sample(self, n, *, generator=None):
            time.sleep(0.1 + 0.002 * n + 0.5 * (not self.sizes))
            self.sizes.append(n)
            return torch.zeros(n, 2, dtype=torch.int64)

    model = Slow()
    # 0.002 s each and 0.1 s for each 250; a busy machine may stretch a call.
    assert 0.0015 < sampling_cost(model) < 0.01
    assert model.sizes == [2, 4, 32]


def test_too_few_examples_for_neighbours(toys, cache_folder, quick):
    data = toys.make_bars(sizes=(30, 10, 5))
    with pytest.raises(ConfigError, match=r"5 neighbours.*n=5 samples and 5 examples"):
        Reference(data)
    with pytest.raises(DataError, match="no split 'tset'; did you mean test"):
        Reference(data, split="tset")


def test_choosing_on_valid_does_not_read_test(toys, cache_folder, quick):
    data = toys.make_bars(sizes=(200, 40, 60))

    class Forbidden:
        def __len__(self):
            return 60

        def batch(self, rows, *, generator=None):
            raise AssertionError("test was read")

    data.splits["test"] = Forbidden()
    reference = Reference(data, split="valid")
    assert "valid" not in reference.real_source
    reference.measure(reference.real)


def test_vectors_are_judged_by_their_columns(toys, cache_folder):
    reference = Reference(toys.make_points())
    block = reference.measure(reference.real)
    assert list(block.scores) == ["values"]
    # A column in other units must weigh no more than the rest.
    shifted = reference.real + torch.tensor([0.0, 0.0, 0.05])
    assert reference.measure(shifted).scores["values"].frechet.value > 10
