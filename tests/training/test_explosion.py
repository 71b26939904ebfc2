"""Likelihood runs whose training explodes are seen, taken back, and given up in the end."""

from dataclasses import replace

import pytest
import torch
from training_toys import SPEC, Signal, differences, final_tensors, make, toy_data

import genus
from genus.data.base import DataSet
from genus.errors import TrainingError
from genus.registry import get, list_models
from genus.training import Hook, RunFolder, TrainConfig, TrainingInterrupted, train
from genus.training.checkpoint import newest_valid
from genus.training.explosion import ExplosionWatch

CONFIG = {
    "steps": 120, "batch_size": 16, "evaluate_every": 10, "samples": 0, "ema": 0.8,
    "precision": "float32", "schedule": "constant", "warmup": 0, "learning_rate": 0.01,
}  # fmt: skip
DATA = toy_data(200)


class Spoil(Hook):
    """Makes gradients far too long, or without a value, in some of the steps."""

    def __init__(self, steps, factor=1e6):
        self.steps, self.factor = steps, factor

    def on_start(self, session):
        def spoiled(gradient):
            return gradient * self.factor if session.step in self.steps else gradient

        session.model.net.weight.register_hook(spoiled)


def learn(out, *hooks, seed=0, data=DATA, **changes):
    return train(
        make("toy-chain", seed=seed), data, out, TrainConfig(**CONFIG | changes), hooks=hooks
    )


def lines(run, kind):
    return [line for line in RunFolder(run).read_metrics() if line["kind"] == kind]


def test_a_healthy_run_is_left_alone(tmp_path, capsys):
    watched, plain = learn(tmp_path / "watched"), learn(tmp_path / "plain", rollbacks=0)
    assert (watched.rollbacks, watched.ended) == (0, None)
    assert lines(watched.path, "warning") == lines(watched.path, "rollback") == []
    first, second = final_tensors(watched.path), final_tensors(plain.path)
    kept = {name: v for name, v in first.items() if name.startswith("hook/rollback/")}
    assert kept
    assert not [name for name in second if name.startswith("hook/rollback/")]
    assert differences(first, second | kept) == []
    assert capsys.readouterr().err == ""


def rates(run):
    return {x["step"]: x["likelihood/lr"] for x in lines(run, "train")}


def test_an_update_by_a_wild_gradient_is_not_made(tmp_path, capsys):
    class Look(Hook):
        def __init__(self):
            self.weights = {}

        def before_step(self, session):
            self.weights[session.step] = session.model.net.weight.detach().clone()

    look = Look()
    result = learn(tmp_path / "run", Spoil([64, 70]), look)
    for spoiled in (64, 70):
        assert torch.equal(look.weights[spoiled], look.weights[spoiled + 1])
    assert not torch.equal(look.weights[65], look.weights[66])
    assert (result.rollbacks, rates(result.path)[120]) == (0, 0.01)
    told = capsys.readouterr().err
    assert told.count("warning: ") == len(lines(result.path, "warning")) == 1
    assert "about to explode: step 65: the gradient of 'likelihood' has norm " in told
    assert "is usual; the update was not made" in told


MANY = range(64, 74)


@pytest.mark.parametrize(
    ("steps", "factor", "at"), [(MANY, 1e6, 74), ([64], torch.nan, 65), ([64], torch.inf, 65)]
)
def test_an_explosion_is_taken_back(tmp_path, capsys, steps, factor, at):
    result = learn(tmp_path / "run", Spoil(steps, factor))
    [event] = lines(result.path, "rollback")
    assert (event["step"], event["to"], event["why"]) == (at, event["to"], "explosion")
    assert event["to"] in (60, 70)
    assert (result.rollbacks, result.ended, result.steps) == (1, None, 120)
    told = f"step {at}: back to step {event['to']} because of explosion, rollback 1 of 3"
    assert told in capsys.readouterr().err
    assert rates(result.path)[60] == 2 * rates(result.path)[80]
    scores = {x["step"]: x["nats_per_dim"] for x in lines(result.path, "valid")}
    assert scores[80] < 1.01 * scores[60]


def test_wild_gradients_far_between_are_no_explosion(tmp_path):
    result = learn(tmp_path / "run", Spoil(range(60, 600, 11)), steps=600)
    assert result.rollbacks == 0


def test_what_is_kept_is_the_best_moment():
    watch, session = ExplosionWatch(), None
    for score, best in ((0.7, True), (0.8, False), (0.6, True)):
        watch.on_evaluate(session, {"nats_per_dim": score})
        assert watch._is_best is best


@pytest.mark.parametrize("factor", [1e6, torch.nan])
def test_a_run_that_always_explodes_ends_with_its_best_weights(tmp_path, capsys, factor):
    result = learn(tmp_path / "run", Spoil(range(61, 10**6), factor))
    assert (result.rollbacks, result.ended) == (3, "explosion")
    assert result.steps < 110
    told = capsys.readouterr().err
    assert "after 3 rollbacks; the run ends early and keeps" in told
    assert "Try --learning-rate 0.005 (now 0.01)" in told
    manifest = RunFolder(result.path).read_manifest()
    assert (manifest["status"], manifest["ended_early"]) == ("finished", "explosion")
    assert genus.load(result.path).log_prob(DATA.test.batch(torch.arange(4)).x).isfinite().all()


def test_without_rollbacks_it_is_only_told(tmp_path, capsys):
    result = learn(tmp_path / "run", Spoil(MANY), rollbacks=0)
    assert (result.rollbacks, lines(result.path, "rollback")) == (0, [])
    assert "is usual; the update was made\n" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="step 65: the loss of 'likelihood'"):
        learn(tmp_path / "nan", Spoil([64], torch.nan), rollbacks=0)


def test_no_value_before_the_first_score_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="step 5: the loss of 'likelihood'"):
        learn(tmp_path / "run", Spoil([4], torch.nan))
    assert RunFolder(tmp_path / "run").status == "failed"


def test_an_explosion_before_the_first_score_goes_back_to_the_beginning(tmp_path):
    result = learn(tmp_path / "run", Spoil(MANY), evaluate_every=100)
    [event] = lines(result.path, "rollback")
    assert (event["step"], event["to"], result.rollbacks) == (74, 0, 1)


def test_without_a_valid_split_the_last_evaluation_is_kept(tmp_path):
    data = DataSet("toy", DATA.spec, {"train": DATA.train}, DATA.digest)
    result = learn(tmp_path / "run", Spoil([64], torch.nan), data=data)
    [event] = lines(result.path, "rollback")
    assert event["to"] == 60


@pytest.mark.parametrize("at", [63, 69, 75, 90])
def test_a_run_that_exploded_is_resumed_to_the_bit(tmp_path, at):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert learn(whole, Spoil(MANY)).rollbacks == 1
    with pytest.raises(TrainingInterrupted):
        learn(cut, Spoil(MANY), Signal(at))
    train(make("toy-chain", seed=9), DATA, cut, hooks=[Spoil(MANY)], resume=True)
    assert differences(final_tensors(whole), final_tensors(cut)) == []
    ends = [newest_valid(run / "state").state["hooks"] for run in (whole, cut)]
    assert ends[0] == ends[1]
    assert ends[0]["explosion"]["counts"]["likelihood"] > 100


def test_the_watch_is_part_of_the_state(tmp_path, monkeypatch):
    """Negative control: without it a resumed run does not see what the whole one saw."""
    cut = tmp_path / "cut"
    with pytest.raises(TrainingInterrupted):
        learn(cut, Spoil(MANY), Signal(69))
    monkeypatch.setattr(ExplosionWatch, "load_state_dict", lambda self, state: None)
    result = train(make("toy-chain"), DATA, cut, hooks=[Spoil(MANY)], resume=True)
    assert result.rollbacks == 0


def test_gradients_that_are_somewhat_long_or_short_after_all_are_not_wild(tmp_path):
    for factor in (50.0, 1e-12):
        result = learn(tmp_path / str(factor), Spoil(MANY, factor))
        assert lines(result.path, "warning") == []
    tiny = ExplosionWatch()
    tiny.usual, tiny.counts = {"a": 1e-9}, {"a": 99}

    class Shrunk:
        class objective:
            name = "a"

        norm = 0.5

    tiny.on_gradients(None, Shrunk)
    assert tiny.wild == []


TRAINED = sorted(
    name
    for name, cls in list_models().items()
    if cls.family != "adversarial" and hasattr(cls, "objectives") and not hasattr(cls, "fit")
)


@pytest.mark.parametrize("name", TRAINED)
def test_no_model_explodes_by_itself(tmp_path, name):
    """Warm-ups, stages and rising numbers of draws are no alarm."""
    assert len(TRAINED) > 20
    config = TrainConfig(steps=80, batch_size=8, evaluate_every=40, samples=0)
    data = toy_data(200, spec=replace(SPEC, classes=2)) if name == "m2" else DATA
    model = make(name, **get(name).tiny, spec=data.spec)
    result = train(model, data, tmp_path / "run", config)
    assert (result.rollbacks, lines(result.path, "rollback")) == (0, [])
    assert not [line for line in lines(result.path, "warning") if "explosion" in line]
