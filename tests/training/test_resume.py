"""A run that was stopped and resumed is the run that was never stopped, to the bit."""

import json
import signal

import pytest
import torch
from training_toys import SPEC, differences, final_tensors, make, toy_data

from genus.data.base import DataSet
from genus.errors import CheckpointError, VersionError
from genus.spec import Spec
from genus.training import Hook, RunFolder, TrainConfig, TrainingInterrupted, train
from genus.training.checkpoint import newest_valid


class Crash(Hook):
    """Raises after a step."""

    def __init__(self, at):
        self.at = at

    def on_step(self, session):
        if session.step == self.at:
            raise RuntimeError("the power is gone")


class Signal(Hook):
    """Sends this process a signal during a step."""

    def __init__(self, at, signum=signal.SIGINT):
        self.at, self.signum = at, signum

    def before_step(self, session):
        if session.step == self.at:
            signal.raise_signal(self.signum)


class Total(Hook):
    """A hook with a tensor, a number and a list to remember."""

    def __init__(self):
        self.sum, self.count, self.steps = torch.zeros(2), 0.1, []

    def on_step(self, session):
        self.sum += torch.rand(2)  # from the global generator
        self.count *= 1.1
        self.steps.append(session.step)

    def state_dict(self):
        return {"sum": self.sum, "count": self.count, "steps": self.steps}

    def load_state_dict(self, state):
        self.sum, self.count, self.steps = state["sum"], state["count"], state["steps"]


def settings(**changes):
    return TrainConfig(
        **{"steps": 24, "batch_size": 16, "checkpoint_every": 0, "samples": 4} | changes
    )


@pytest.mark.parametrize("name", ["toy-chain", "toy-conv", "toy-players"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_resume_is_exact(tmp_path, name, precision):
    data, config = toy_data(), settings(precision=precision)
    whole, parts = Total(), Total()
    train(make(name), data, tmp_path / "whole", config, hooks=[whole])
    out = tmp_path / "parts"
    with pytest.raises(RuntimeError, match="power"):
        train(make(name), data, out, config, hooks=[parts, Crash(7)])
    assert newest_valid(out / "state").step == 6
    for at in (8, 17):
        with pytest.raises(TrainingInterrupted):
            train(make(name, seed=9), data, out, config, hooks=[Total(), Signal(at)], resume=True)
        assert newest_valid(out / "state").step == at + 1
    last = Total()
    result = train(make(name, seed=9), data, out, hooks=[last], resume=True)
    assert result.steps == 24
    assert differences(final_tensors(tmp_path / "whole"), final_tensors(out)) == []
    assert last.steps == whole.steps == list(range(1, 25))
    assert last.count == whole.count

    def losses(run):
        lines = RunFolder(run).read_metrics()
        return [{k: v for k, v in x.items() if k != "elapsed"} for x in lines]

    assert losses(out) == losses(tmp_path / "whole")


def test_the_comparison_can_fail(tmp_path):
    """Negative control: one step more, another seed, a lost optimiser state are all seen."""
    data = toy_data()
    for name, config in {
        "a": settings(),
        "b": settings(seed=1),
        "c": settings(steps=25),
    }.items():
        train(make("toy-chain"), data, tmp_path / name, config)
    finals = {name: final_tensors(tmp_path / name) for name in "abc"}
    for other in "bc":
        changed = differences(finals["a"], finals[other])
        assert {"model/net.weight", "optim/0/0/exp_avg", "hook/ema/0"} <= set(changed)
    # A flipped last bit is a difference, though every tolerance would forgive it.
    tampered = {k: v.clone() for k, v in finals["a"].items()}
    tampered["hook/ema/0"].view(torch.int32)[0, 0] ^= 1
    assert differences(finals["a"], tampered) == ["hook/ema/0"]


@pytest.mark.parametrize("part", ["optim/0/0/exp_avg", "hook/ema/0", "rng/torch"])
def test_every_part_of_the_state_matters(tmp_path, part, monkeypatch):
    """Resuming without one part of the checkpoint ends in other weights."""
    data, config = toy_data(), settings(steps=12)
    train(make("toy-chain"), data, tmp_path / "whole", config)
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, tmp_path / "cut", config, hooks=[Signal(5)])
    import genus.training.runner as runner

    def forgetful(state):
        checkpoint = newest_valid(state)
        other = torch.Generator().manual_seed(99).get_state()[None]
        lost = torch.zeros_like(checkpoint.tensors[part])
        checkpoint.tensors[part] = other if part == "rng/torch" else lost
        return checkpoint

    monkeypatch.setattr(runner, "newest_valid", forgetful)
    monkeypatch.setattr(runner, "set_aside", lambda state, sound: None)
    train(make("toy-chain"), data, tmp_path / "cut", config, resume=True)
    assert differences(final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "cut"))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, signum, code, capsys):
    out, before = tmp_path / "run", signal.getsignal(signum)
    config = settings(checkpoint_every=1000)
    with pytest.raises(TrainingInterrupted) as told:
        train(make("toy-chain"), toy_data(), out, config, hooks=[Signal(4, signum)])
    assert told.value.exit_code == code
    assert str(told.value) == (
        f"stopped at step 5, with a checkpoint; resume with: "
        f"genus train toy-chain --data toy --out {out} --resume"
    )
    assert newest_valid(out / "state").step == 5
    folder = RunFolder(out)
    assert folder.status == "interrupted"
    assert folder.read_manifest()["stopped_by"] == signal.Signals(signum).name
    assert "finishing this step" in capsys.readouterr().err
    assert signal.getsignal(signum) is before


class Twice(Hook):
    """A second signal in the middle of a step."""

    def before_step(self, session):
        if session.step == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second signal did not end the step")


def test_a_second_signal_ends_it_at_once(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(TrainingInterrupted, match="at once") as told:
        train(make("toy-chain"), toy_data(), out, settings(), hooks=[Twice()])
    assert told.value.exit_code == 130
    assert newest_valid(out / "state").step == 4
    assert train(make("toy-chain"), toy_data(), out, resume=True).steps == 24


def test_every_difference_is_listed(tmp_path):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Signal(3)])
    other, changed = toy_data(seed=1), settings(batch_size=8, seed=3, learning_rate=0.1)
    with pytest.raises(CheckpointError) as told:
        train(make("toy-chain", dropout=0.2), other, out, changed, resume=True)
    message = str(told.value)
    for part in (
        "training.batch_size was 16, now 8",
        "training.seed was 0, now 3",
        "training.learning_rate was None, now 0.1",
        "model.config.dropout was 0.1, now 0.2",
        f"data.digest was '{data.digest}', now '{other.digest}'",
        "cannot resume",
        "begin a new one in another folder",
    ):
        assert part in message
    assert message.count("\n") == 5
    double = make("toy-chain").double()
    with pytest.raises(CheckpointError, match=r"model.dtype was 'float32', now 'float64'"):
        train(double, data, out, settings(), resume=True)
    wide = Spec((1, 4, 4), 4)
    with pytest.raises(CheckpointError, match=r"spec.levels was 3, now 4"):
        train(make("toy-chain", spec=wide), toy_data(spec=wide), out, settings(), resume=True)
    with pytest.raises(CheckpointError, match=r"model.name was 'toy-chain', now 'toy-conv'"):
        train(make("toy-conv"), data, out, settings(), resume=True)
    assert newest_valid(out / "state").step == 4


def test_what_does_not_touch_the_weights_may_differ(tmp_path):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Signal(3)])
    config = settings(checkpoint_every=9, keep=5, log_every=2)
    assert train(make("toy-chain"), data, out, config, resume=True).steps == 24


def test_a_finished_run_says_so(tmp_path):
    out, data = tmp_path / "run", toy_data()
    first = train(make("toy-chain"), data, out, settings())
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = train(make("toy-chain", seed=4), data, out, resume=True)
    assert again == first
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_resuming_says_where_and_finished(tmp_path, capsys):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Signal(3)])
    train(make("toy-chain"), data, out, resume=True)
    assert f"resuming {out} at step 4" in capsys.readouterr().err
    train(make("toy-chain"), data, out, resume=True)
    assert f"{out} is finished already, at step 24" in capsys.readouterr().err


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no run in .* to resume; leave resume"):
        train(make("toy-chain"), toy_data(), tmp_path / "no", settings(), resume=True)
    assert not (tmp_path / "no").exists()


def test_an_old_run_is_never_overwritten(tmp_path):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Signal(3)])
    with pytest.raises(CheckpointError, match=r"an unfinished run.*--resume.*run-2 \(--out\)"):
        train(make("toy-chain"), data, out, settings())
    train(make("toy-chain"), data, out, resume=True)
    with pytest.raises(CheckpointError, match=r"a finished run.*never overwritten; choose.*run-2"):
        train(make("toy-chain"), data, out, settings())
    other = tmp_path / "papers"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds other files \(thesis.tex\)"):
        train(make("toy-chain"), data, other, settings())
    assert sorted(path.name for path in other.iterdir()) == ["thesis.tex"]


def test_a_lost_hook_is_told(tmp_path):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Total(), Signal(3)])
    with pytest.raises(CheckpointError, match="hooks that were not given: total"):
        train(make("toy-chain"), data, out, resume=True)


def test_a_newer_format_is_its_own_error(tmp_path):
    out, data = tmp_path / "run", toy_data()
    train(make("toy-chain"), data, out, settings(steps=2))
    config = json.loads((out / "config.json").read_text()) | {"format": 99, "genus": "7.0"}
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(VersionError, match=r"format 99.*upgrade genus.*7\.0"):
        train(make("toy-chain"), data, out, resume=True)


def test_a_fit_begins_again(tmp_path):
    out, data = tmp_path / "run", toy_data()

    class Stop(Hook):
        def on_step(self, session):
            session.interrupts.received = signal.SIGINT

    with pytest.raises(TrainingInterrupted):
        train(make("toy-counts"), data, out, settings(steps=4), hooks=[Stop()])
    train(make("toy-counts"), data, out, resume=True)
    train(make("toy-counts"), data, tmp_path / "whole", settings(steps=4))
    assert differences(final_tensors(tmp_path / "whole"), final_tensors(out)) == []


def test_elapsed_time_survives(tmp_path):
    out, data = tmp_path / "run", toy_data()
    config = TrainConfig(time_budget=0.5, samples=0, evaluate_every=10)

    class Late(Hook):
        def on_step(self, session):
            if session.elapsed > 0.3:
                session.interrupts.received = signal.SIGINT

    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, config, hooks=[Late()])
    spent = newest_valid(out / "state").state["elapsed"]
    assert spent > 0.3
    lines_before = len(RunFolder(out).read_metrics())
    result = train(make("toy-chain"), data, out, resume=True)
    assert 0.5 <= result.seconds["training"] < 5  # one slow step may overrun
    elapsed = [line["elapsed"] for line in RunFolder(out).read_metrics()]
    assert len(elapsed) > lines_before
    assert elapsed == sorted(elapsed)


def test_a_renamed_data_set_is_another_one(tmp_path):
    out, data = tmp_path / "run", toy_data()
    with pytest.raises(TrainingInterrupted):
        train(make("toy-chain"), data, out, settings(), hooks=[Signal(3)])
    renamed = DataSet("mnist", SPEC, data.splits, data.digest)
    with pytest.raises(CheckpointError, match=r"data.name was 'toy', now 'mnist'"):
        train(make("toy-chain"), renamed, out, resume=True)
