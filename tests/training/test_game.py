"""Adversarial runs that are spoiled on purpose are seen, taken back, and given up in the end."""

import math

import pytest
import torch
from training_toys import (
    MODES,
    Sabotage,
    Signal,
    differences,
    final_tensors,
    make,
    toy_data,
    toy_modes,
)

import genus
from genus.data.base import DataSet
from genus.data.degradations import Downsample
from genus.data.degraded import degrade
from genus.errors import TrainingError
from genus.registry import get, list_models
from genus.training import Hook, RunFolder, TrainConfig, TrainingInterrupted, train
from genus.training.checkpoint import newest_valid
from genus.training.game import GameWatch

CONFIG = {
    "steps": 120, "batch_size": 32, "evaluate_every": 5, "samples": 0, "ema": 0.8,
    "precision": "float32", "schedule": "constant", "warmup": 0, "learning_rate": 0.01,
}  # fmt: skip
DATA = toy_modes()
ALWAYS = range(61, 10**6)


def game(seed=0):
    return make("gan", seed=seed, spec=MODES, latents=4, hidden=32)


def play(out, *hooks, model=None, **changes):
    return train(model or game(), DATA, out, TrainConfig(**CONFIG | changes), hooks=hooks)


def lines(run, kind):
    return [line for line in RunFolder(run).read_metrics() if line["kind"] == kind]


def distances(run):
    return {x["step"]: x["frechet_distance"] for x in lines(run, "valid")}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return play(tmp_path_factory.mktemp("runs") / "healthy")


def test_a_healthy_run_is_left_alone(healthy, tmp_path, capsys):
    assert (healthy.rollbacks, healthy.ended) == (0, None)
    assert lines(healthy.path, "warning") == lines(healthy.path, "rollback") == []
    unwatched = play(tmp_path / "unwatched", rollbacks=0)
    first, second = final_tensors(healthy.path), final_tensors(unwatched.path)
    second |= {name: v for name, v in first.items() if name.startswith("hook/rollback/")}
    assert differences(first, second) == []
    assert capsys.readouterr().err == ""


def test_the_best_weights_are_those_nearest_to_valid(healthy):
    scores = distances(healthy.path)
    assert len(scores) == 24
    assert healthy.distance == min(scores.values()) == scores[healthy.best_step] < scores[5] / 2
    assert healthy.score is None
    said = RunFolder(healthy.path).read_manifest()["score"]
    assert said["frechet_distance"] == healthy.distance
    assert (said["split"], said["features"], said["rows"]) == ("valid", "random", 320)
    assert 0 < said["frechet_floor"] < healthy.distance


def test_the_log_tells_the_state_of_the_game(healthy):
    line = lines(healthy.path, "train")[-1]
    told = {"real", "fake", "real_std", "fake_std", "accuracy", "r1", "norm", "loss", "lr"}
    assert {f"critic/{name}" for name in told} <= set(line)
    assert {"generator/norm", "generator/loss"} <= set(line)
    assert 0.5 < line["critic/accuracy"] < 1


CASES = [("collapse", 76, "collapse"), ("drift", 76, "divergence"), ("explode", 64, "explosion")]


@pytest.mark.parametrize(("what", "end", "trouble"), CASES)
def test_each_failure_is_seen_and_taken_back(tmp_path, capsys, what, end, trouble):
    result = play(tmp_path / "run", Sabotage(what, range(61, end)))
    told = capsys.readouterr().err
    event, *more = lines(result.path, "rollback")
    assert more == []
    assert (result.rollbacks, result.ended) == (1, None)
    assert event["why"] == trouble
    assert event["to"] <= 65  # a moment that was sound
    assert event["to"] < event["step"] <= 80
    assert event["step_size"] == 0.5
    assert told.count("warning: ") == 1
    assert "Try --set r1=4 (now 1); or --learning-rate 0.005 (now 0.01)\n" in told
    assert f"back to step {event['to']} because of {trouble}, rollback 1 of 3" in told
    # Steps and budget go on, and the game is sound again.
    assert result.steps == 120
    scores = distances(result.path)
    assert scores[120] < 2 * scores[event["to"]]
    rates = {x["step"]: x["critic/lr"] for x in lines(result.path, "train")}
    assert rates[10] == 2 * rates[120]


@pytest.mark.parametrize("what", ["collapse", "drift", "explode"])
def test_a_game_that_always_fails_ends_with_its_best_weights(tmp_path, capsys, what):
    result = play(tmp_path / "run", Sabotage(what, ALWAYS), steps=400)
    told = capsys.readouterr().err
    assert result.rollbacks == 3
    assert result.ended in ("collapse", "divergence", "explosion")
    assert result.steps < 200
    assert result.best_step <= 65
    assert "after 3 rollbacks; the run ends early and keeps the weights of step " in told
    warnings = [x["game"] for x in lines(result.path, "warning")]
    assert len(set(warnings)) == len(warnings) == told.count("warning: ")  # of each trouble once
    scores = distances(result.path)
    assert result.distance == min(scores.values())
    assert scores[result.steps] == pytest.approx(result.distance)  # the last weights are the best
    manifest = RunFolder(result.path).read_manifest()
    assert (manifest["status"], manifest["ended_early"]) == ("finished", result.ended)
    x = genus.load(result.path).sample(300, generator=torch.Generator().manual_seed(0))
    assert float(x.std(0).min()) > 0.3


@pytest.mark.parametrize(("what", "end", "trouble"), CASES)
def test_without_rollbacks_a_failure_is_only_told(tmp_path, capsys, what, end, trouble):
    result = play(tmp_path / "run", Sabotage(what, range(61, end)), rollbacks=0)
    assert (result.rollbacks, result.ended, result.steps) == (0, None, 120)
    assert lines(result.path, "rollback") == []
    assert lines(result.path, "warning")[0]["game"] == trouble
    assert "warning: " in capsys.readouterr().err
    assert not [name for name in final_tensors(result.path) if name.startswith("hook/rollback")]
    assert result.distance == min(distances(result.path).values())


def test_a_gradient_without_a_value_is_taken_back(tmp_path, capsys):
    result = play(tmp_path / "run", Sabotage("nan", range(61, 62)))
    (event,) = lines(result.path, "rollback")
    assert (event["step"], event["why"], result.rollbacks) == (62, "explosion", 1)
    assert "the update was not made" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="step 62: the loss of 'generator'"):
        play(tmp_path / "off", Sabotage("nan", range(61, 62)), rollbacks=0)


def test_a_game_that_fails_before_its_first_score_fails(tmp_path):
    with pytest.raises(TrainingError, match="step 4: the loss of 'generator'"):
        play(tmp_path / "run", Sabotage("nan", range(9)))
    assert RunFolder(tmp_path / "run").status == "failed"
    with pytest.raises(TrainingError, match="before there was any score, and rolling back 3 times"):
        play(tmp_path / "huge", Sabotage("explode", range(99)), evaluate_every=99)


def test_without_a_valid_split_an_explosion_is_taken_back(
    tmp_path,
):
    data = DataSet("modes", MODES, {"train": DATA.train}, DATA.digest)
    spoil = Sabotage("explode", range(61, 64))
    result = train(game(), data, tmp_path / "run", TrainConfig(**CONFIG), hooks=[spoil])
    (event,) = lines(result.path, "rollback")
    assert (event["to"], event["why"], result.distance) == (60, "explosion", None)


def test_what_is_gone_back_to_is_the_whole_moment(tmp_path):
    """Weights, averages and optimisers of both players, to the bit."""

    class Look(Hook):
        kept, found = None, None

        def state(self, session):
            tensors = {f"model/{k}": v for k, v in session.model.state_dict().items()}
            tensors |= {f"ema/{k}": v for k, v in session.ema.state_dict().items()}
            for i, player in enumerate(session.players):
                tensors |= {f"optim/{i}/{k}": v for k, v in player.state_dict().items()}
            return {k: v.clone() for k, v in tensors.items()}

        def after_evaluation(self, session):
            if session.rollback.step == session.step and not session.rollback.done:
                self.kept = self.state(session)
            if session.rollback.done and self.found is None:
                self.found = self.state(session)

    look = Look()
    result = play(tmp_path / "run", Sabotage("drift", range(61, 76)), look, steps=85)
    assert result.rollbacks == 1
    assert any(name.startswith("optim/1/") for name in look.kept)
    assert differences(look.kept, look.found) == []


def spoil():
    return Sabotage("collapse", range(61, 76))


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    result = play(tmp_path_factory.mktemp("runs") / "spoiled", spoil())
    assert result.rollbacks == 1
    return result.path


@pytest.mark.parametrize("at", [64, 71, 77])  # before it is seen, in a streak, rolled back
def test_a_spoiled_run_is_resumed_to_the_bit(spoiled, tmp_path, at):
    out = tmp_path / "cut"
    with pytest.raises(TrainingInterrupted):
        play(out, spoil(), Signal(at))
    train(game(seed=9), DATA, out, hooks=[spoil()], resume=True)
    assert differences(final_tensors(spoiled), final_tensors(out)) == []
    ends = [newest_valid(run / "state").state["hooks"] for run in (out, spoiled)]
    assert ends[0] == ends[1]
    both = [RunFolder(run).read_metrics() for run in (out, spoiled)]
    first, second = ([{**x, "elapsed": 0} for x in run] for run in both)
    assert first == second


IMAGES = toy_data(120)
EVERY = sorted(name for name, cls in list_models().items() if cls.family == "adversarial")


@pytest.mark.parametrize("name", EVERY)
def test_every_adversarial_model_is_resumed_to_the_bit(tmp_path, name):
    """20 steps are 10 and 10 more: both players, averages, augmentation and the watch."""
    config = TrainConfig(steps=20, batch_size=8, evaluate_every=4, samples=4, precision="float32")
    cls = get(name)
    options = cls.tiny | ({"augment": 0.5} if hasattr(cls.Config(), "augment") else {})
    assert len(EVERY) >= 6
    data = degrade(IMAGES, Downsample(2)) if cls.takes_condition else IMAGES
    spec = data.spec
    train(make(name, spec=spec, **options), data, tmp_path / "whole", config)
    with pytest.raises(TrainingInterrupted):
        train(make(name, spec=spec, **options), data, tmp_path / "cut", config, hooks=[Signal(9)])
    assert newest_valid(tmp_path / "cut" / "state").step == 10
    train(make(name, seed=7, spec=spec, **options), data, tmp_path / "cut", resume=True)
    first, second = final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "cut")
    assert {"hook/ema/0", "optim/0/0/exp_avg", "optim/1/0/exp_avg"} <= set(first)
    assert differences(first, second) == []


@pytest.mark.parametrize("part", ["rollback", "game"])
def test_the_watch_is_part_of_the_state(spoiled, tmp_path, part, monkeypatch):
    """Negative control: resuming without it ends in other weights."""
    import genus.training.runner as runner

    with pytest.raises(TrainingInterrupted):
        play(tmp_path / "cut", spoil(), Signal(77 if part == "rollback" else 71))

    def forgetful(state):
        checkpoint = newest_valid(state)
        del checkpoint.state["hooks"][part]
        for name in [n for n in checkpoint.tensors if n.startswith(f"hook/{part}/")]:
            del checkpoint.tensors[name]
        return checkpoint

    monkeypatch.setattr(runner, "newest_valid", forgetful)
    monkeypatch.setattr(runner, "set_aside", lambda state, sound: None)
    train(game(), DATA, tmp_path / "cut", hooks=[spoil()], resume=True)
    first, second = final_tensors(spoiled), final_tensors(tmp_path / "cut")
    common = {k for k in first if k.startswith("model/")}
    assert differences({k: first[k] for k in common}, {k: second[k] for k in common})


def test_a_game_that_was_given_up_stays_so(tmp_path, monkeypatch):
    """The process dies between the last checkpoint and the manifest."""
    import genus.training.runner as runner

    def die(session):
        raise RuntimeError("the power is gone")

    out = tmp_path / "run"
    monkeypatch.setattr(runner, "_keep", die)
    with pytest.raises(RuntimeError, match="power"):
        play(out, Sabotage("collapse", ALWAYS), steps=400)
    monkeypatch.undo()
    steps = newest_valid(out / "state").step
    result = train(game(), DATA, out, hooks=[Sabotage("collapse", ALWAYS)], resume=True)
    assert (result.steps, result.rollbacks, result.ended is not None) == (steps, 3, True)


def test_time_does_not_run_back(tmp_path):
    changes = {"steps": None, "time_budget": 1.0, "evaluate_every": 0.05}
    spoil = Sabotage("collapse", range(20, 10**6))
    result = play(tmp_path / "run", spoil, **changes)
    elapsed = [x["elapsed"] for x in RunFolder(result.path).read_metrics()]
    assert elapsed == sorted(elapsed)
    steps = [x["step"] for x in RunFolder(result.path).read_metrics()]
    assert steps == sorted(steps)
    assert result.rollbacks >= 1


SOUND = {
    "frechet_distance": 5.0, "frechet_floor": 1.0, "rows": 200.0, "feature_spread": 0.9,
    "distinct": 0.9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "accuracy", "norm", "late", "seen"),
    [
        ({}, 0.8, 1.0, True, set()),
        ({"frechet_distance": 11.0}, 0.8, 1.0, False, set()),  # 2 * 5 + 1 is not beyond
        ({"frechet_distance": 11.1}, 0.8, 1.0, False, {"divergence"}),
        ({"frechet_distance": math.inf}, 0.8, 1.0, False, {"divergence"}),
        ({"distinct": 0.1}, 0.8, 1.0, False, {"collapse"}),
        ({"feature_spread": 0.1}, 0.8, 1.0, False, {"collapse"}),
        ({}, 0.995, 0.005, False, {"vanishing"}),
        ({}, 0.995, 0.5, False, set()),  # a critic that wins and still teaches
        ({}, 0.8, 0.005, False, set()),
        ({}, 0.5, 1.0, False, set()),  # at chance, because samples are good
        ({"frechet_distance": 40.0}, 0.5, 1.0, False, {"chance", "divergence"}),
        ({}, math.nan, 1.0, False, set()),  # before the first step
    ],
)
def test_what_the_figures_mean(change, accuracy, norm, late, seen):
    watch = GameWatch()
    watch.best, watch.variety, watch.liveliest = 5.0, 0.9, 1.0
    assert set(watch._symptoms(SOUND | change, accuracy, norm, late=late)) == seen


def test_a_game_that_has_not_varied_yet_is_given_time():
    watch = GameWatch()
    watch.best, watch.variety, watch.liveliest = 60.0, 0.1, 1.0
    alike = SOUND | {"frechet_distance": 60.0, "distinct": 0.1}
    assert watch._symptoms(alike, 0.9, 1.0, late=False) == {}
    assert set(watch._symptoms(alike, 0.9, 1.0, late=True)) == {"alike"}


def test_a_critic_that_won_is_told_once(tmp_path, capsys):
    """Planted: the critic is always right, and the generator's gradient is scaled away."""

    class Won(Hook):
        def on_gradients(self, session, player):
            if session.step >= 20:
                if player.name == "critic":
                    player.metrics["accuracy"] = torch.tensor(1.0)
                else:
                    player.norm = 1e-6

    result = play(tmp_path / "run", Won())
    told = capsys.readouterr().err
    assert told.count("warning: the critic has won at step 55") == 1
    assert told.count("warning") == 1
    assert result.rollbacks == 0


@pytest.mark.slow
def test_two_processes_agree(tmp_path):
    for name, processes in (("one", 1), ("two", 2)):
        play(tmp_path / name, Sabotage("drift", range(61, 76)), processes=processes)
    runs = [lines(tmp_path / name, "rollback") for name in ("one", "two")]
    assert [(x["step"], x["why"], x["to"]) for x in runs[0]] == [
        (x["step"], x["why"], x["to"]) for x in runs[1]
    ]
    assert len(runs[1]) == 1
    first, second = distances(tmp_path / "one"), distances(tmp_path / "two")
    assert second[5] == pytest.approx(first[5], rel=1e-3)
    assert second[120] < 2 * second[60]
