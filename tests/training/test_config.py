import math

import pytest

import genus
from genus.errors import ConfigError
from genus.training import TrainConfig
from genus.training.optim import settled, step_size


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as told:
        TrainConfig(steps=0, batch_size=-1, clip=0.0, ema=1.0, precision="half", seed=-1)
    message = str(told.value)
    for part in ("steps=0", "batch_size=-1", "clip=0.0", "ema=1.0", "precision='half'", "seed=-1"):
        assert part in message


def test_a_budget_is_needed():
    with pytest.raises(ConfigError, match=r"steps=1000 or time_budget=60 \(--time-budget 60s\)"):
        TrainConfig()


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0])
def test_a_time_budget_is_a_positive_number(value):
    with pytest.raises(ConfigError, match="time_budget"):
        TrainConfig(time_budget=value)


def test_a_batch_is_shared_evenly():
    with pytest.raises(ConfigError, match="batch_size=64 cannot be shared evenly by processes=3"):
        TrainConfig(steps=1, processes=3, batch_size=64)


def test_the_batch_that_a_model_asks_for_is_shared_evenly_too():
    model = genus.create("pixelcnn", genus.Spec(shape=(1, 4, 4), levels=2), features=4, layers=1)
    assert settled(TrainConfig(steps=1), model).batch_size == model.batch_size
    assert settled(TrainConfig(steps=1, batch_size=7), model).batch_size == 7
    fitted = genus.create("independent", model.spec)
    assert settled(TrainConfig(steps=1), fitted).batch_size == 64
    with pytest.raises(ConfigError, match="batch_size=16 cannot be shared evenly by processes=3"):
        settled(TrainConfig(steps=1, processes=3), model)


def test_the_budget_that_ends_first_counts():
    config = TrainConfig(steps=100, time_budget=10)
    assert config.progress(50, 1.0) == 0.5
    assert config.progress(10, 9.0) == 0.9
    assert config.progress(10, 99.0) == 1.0


def test_the_step_size_rises_and_falls():
    config = TrainConfig(steps=1000, warmup=100)
    assert step_size(config, 0, 0.0) == pytest.approx(0.01, rel=1e-4)
    assert step_size(config, 49, 0.0) == pytest.approx(0.5, rel=0.01)
    assert step_size(config, 500, 0.0) == pytest.approx(0.5)
    assert step_size(config, 1000, 0.0) == 0.0
    assert step_size(TrainConfig(time_budget=10, warmup=0), 7, 5.0) == pytest.approx(0.5)
    assert step_size(TrainConfig(steps=1000, schedule="constant", warmup=0), 900, 0.0) == 1.0


def test_a_short_run_is_not_all_warm_up():
    short = TrainConfig(steps=50, warmup=100, schedule="constant")
    assert step_size(short, 2, 0.0) == pytest.approx(0.4)
    assert step_size(short, 5, 0.0) == 1.0
    slow = TrainConfig(time_budget=10, warmup=100, schedule="constant")
    assert step_size(slow, 3, 0.2) == pytest.approx(0.2)
    assert step_size(slow, 4, 1.0) == 1.0


def test_evaluation_follows_the_unit_of_the_budget():
    assert TrainConfig(steps=500).evaluation_interval == 50
    assert TrainConfig(time_budget=60).evaluation_interval == 6
    assert TrainConfig(steps=500, time_budget=60, evaluate_every=20).evaluation_interval == 20
