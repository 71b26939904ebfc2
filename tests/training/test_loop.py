"""What the loop and its hooks do, against the same thing written out by hand."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from training_toys import SPEC, differences, final_tensors, make, toy_data

import genus
from genus import Spec
from genus.data.base import ArraySplit, DataSet
from genus.errors import ConfigError, SpecError, TrainingError
from genus.random import BatchNoise
from genus.registry import get
from genus.training import Hook, RunFolder, TrainConfig, train
from genus.training.checkpoint import newest_valid
from genus.training.optim import make_players, step_size
from genus.training.progress import wants_progress
from genus.training.sampler import Sampler, generator_of

PLAIN = {"precision": "float32", "samples": 0}


def by_hand(model, data, config):
    """The loop without the library: weights and averages after ``config.steps``."""
    objective, size = model.objectives()[0], config.batch_size
    size = objective.batch_size if size is None else size
    optimizer = torch.optim.AdamW(objective.parameters, weight_decay=0.0, fused=True)
    average = [p.detach().clone() for p in model.parameters()]
    for t in range(config.steps):
        rows = Sampler(len(data.train), size, config.seed).batch(t)
        noise = BatchNoise(size, generator_of(config.seed, 3, t))
        loss = objective.loss(data.train.batch(rows), noise)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.param_groups[0]["lr"] = objective.learning_rate * step_size(config, t, 0.0)
        optimizer.step()
        decay = min(config.ema, (2 + t) / (11 + t))
        for a, p in zip(average, model.parameters(), strict=True):
            a.mul_(decay).add_((1 - decay) * p.detach())
    return average


def test_the_loop_is_what_it_says(tmp_path):
    data, config = toy_data(), TrainConfig(steps=30, clip=0.05, keep_best=False, **PLAIN)
    expected = by_hand(make("toy-conv"), data, config)
    model = make("toy-conv")
    train(model, data, tmp_path / "run", config)
    start = make("toy-conv")
    for got, wanted, before in zip(model.parameters(), expected, start.parameters(), strict=True):
        torch.testing.assert_close(got.data, wanted, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(before, wanted, atol=1e-3)


def test_training_lowers_the_score(tmp_path):
    config = TrainConfig(steps=200, learning_rate=0.01, **PLAIN)
    result = train(make("toy-chain"), toy_data(), tmp_path / "run", config)
    lines = RunFolder(result.path).read_metrics()
    scores = [line["nats_per_dim"] for line in lines if line["kind"] == "valid"]
    assert len(scores) == 10
    assert result.score == min(scores) < scores[0] < math.log(3)
    assert result.parameters == 48 * 48 + 48
    assert result.steps == 200


def test_the_best_weights_are_kept(tmp_path):
    """Overfitting: the last weights score worse than the kept ones."""
    config = TrainConfig(steps=300, learning_rate=0.1, ema=0.0, schedule="constant", **PLAIN)
    data, model = toy_data(60), make("toy-chain")
    result = train(model, data, tmp_path / "run", config)
    assert result.best_step < 300
    whole = data.valid.batch(torch.arange(len(data.valid)))
    with torch.no_grad():
        score = -model.log_prob(whole.x).mean().item() / SPEC.dims
    assert score == pytest.approx(result.score, rel=1e-5)
    assert not model.training
    last = RunFolder(result.path).read_metrics()[-1]["nats_per_dim"]
    assert last > result.score + 0.01
    loaded = genus.load(result.path)
    assert differences(dict(model.state_dict()), dict(loaded.state_dict())) == []


def test_players_move_alone_and_see_fresh_batches(tmp_path):
    model = make("toy-players")
    train(model, toy_data(), tmp_path / "run", TrainConfig(steps=4, batch_size=8, **PLAIN))
    assert [name for name, _, _ in model.shown] == ["critic", "critic", "generator"] * 4
    frozen = {"critic": {"generator"}, "generator": {"critic"}}
    assert all(without == frozen[name] for name, _, without in model.shown)
    assert all(weight.requires_grad for weight in model.parameters())
    batches = [x.flatten().tolist() for _, x, _ in model.shown]
    assert all(batches[i] != batches[j] for i in range(12) for j in range(i))


def test_a_players_gradient_stays_in_its_own_parameters():
    from training_toys import make as build

    model, data = build("toy-players"), toy_data()
    critic, generator = make_players(model.objectives(), TrainConfig(steps=1))
    batch, noise = data.train.batch(torch.arange(8)), BatchNoise(8, generator_of(0))
    with generator.alone():
        generator.objective.loss(batch, noise)["loss"].backward()
    assert len(generator.gradients()) == 2
    assert all(grad.abs().sum() > 0 for grad in generator.gradients())
    assert critic.gradients() == []


def test_a_fitted_model_is_fitted_and_kept(tmp_path):
    data, model = toy_data(), make("toy-counts")
    result = train(model, data, tmp_path / "run", TrainConfig(steps=2, **PLAIN))
    x = data.train.batch(torch.arange(len(data.train))).x.flatten(1)
    counts = torch.stack([(x == level).sum(0) for level in range(3)], 1) + 1.0
    assert torch.equal(model.counts, counts)
    assert torch.equal(genus.load(result.path).counts, counts)
    assert result.steps == 2
    assert result.parameters == 48
    assert 0.9 < result.score < 1.2


def test_a_fit_stops_at_the_time_budget(tmp_path):
    config = TrainConfig(time_budget=0.02, **PLAIN)
    result = train(make("toy-counts"), toy_data(), tmp_path / "run", config)
    assert result.steps < 1000
    assert 0.02 <= result.seconds["training"] < 5  # one slow step may overrun


class Slow(Hook):
    """An evaluation and a checkpoint that take their time."""

    def on_evaluate(self, session, scores):
        import time

        time.sleep(0.3)


def test_a_time_budget_counts_training_alone(tmp_path):
    config = TrainConfig(time_budget=0.6, evaluate_every=0.2, **PLAIN)
    result = train(make("toy-chain"), toy_data(), tmp_path / "run", config, hooks=[Slow()])
    training = [x["elapsed"] for x in RunFolder(result.path).read_metrics()]
    assert training == sorted(training)
    assert 0.6 <= result.seconds["training"] < 5
    assert result.seconds["evaluation"] > 0.3
    assert result.steps > 5


def test_evaluating_more_often_does_not_change_the_weights(tmp_path):
    data, finals = toy_data(), []
    for every in (3, 30):
        config = TrainConfig(steps=30, evaluate_every=every, keep_best=False, precision="float32")
        train(make("toy-chain"), data, tmp_path / str(every), config)
        finals.append(final_tensors(tmp_path / str(every)))
    assert differences(*finals) == []


def test_seeds_matter_and_repeat(tmp_path):
    data, finals = toy_data(), []
    for i, seed in enumerate((0, 0, 1)):
        config = TrainConfig(steps=10, seed=seed, **PLAIN)
        train(make("toy-chain"), data, tmp_path / str(i), config)
        finals.append(final_tensors(tmp_path / str(i)))
    assert differences(finals[0], finals[1]) == []
    assert "kept/net.weight" in differences(finals[0], finals[2])


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(make("toy-chain"), toy_data(), tmp_path / "run", TrainConfig(steps=3, **PLAIN))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_loss_without_value_stops_before_the_update(tmp_path, clip):
    model, config = make("toy-chain"), TrainConfig(steps=50, learning_rate=1e38, clip=clip, **PLAIN)
    with pytest.raises(TrainingError, match=r"lower learning_rate \(now 1e\+38\)") as told:
        train(model, toy_data(), tmp_path / "run", config)
    assert ("clip=1" in str(told.value)) == (clip is None)
    assert "the update was not made" in str(told.value)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    folder = RunFolder(tmp_path / "run")
    assert folder.status == "failed"
    assert "learning_rate" in folder.read_manifest()["reason"]
    with pytest.warns(UserWarning, match="not finished; these are the weights of step 0"):
        kept = genus.load(tmp_path / "run")
    assert torch.equal(kept.net.weight, make("toy-chain").net.weight)


def test_a_learning_rate_of_1e20_stops_a_real_model(tmp_path):
    cls = get("pixelcnn")
    model, config = cls(SPEC, cls.Config(**cls.tiny)), TrainConfig(steps=50, learning_rate=1e20)
    with pytest.raises(TrainingError, match=r"lower learning_rate \(now 1e\+20\)"):
        train(model, toy_data(), tmp_path / "run", config)
    assert newest_valid(tmp_path / "run" / "state").step == 0


def test_a_sane_learning_rate_passes_the_same_watch(tmp_path):
    config = TrainConfig(steps=50, learning_rate=1e-3, **PLAIN)
    assert train(make("toy-chain"), toy_data(), tmp_path / "run", config).steps == 50


class Poison(Hook):
    """Makes one gradient infinite while the loss is finite."""

    def before_step(self, session):
        if session.step == 3:
            session.model.net.weight.register_hook(lambda grad: grad * torch.inf)


def test_an_infinite_gradient_stops_the_run(tmp_path):
    with pytest.raises(TrainingError, match=r"step 4: .* gradient's norm (inf|nan)"):
        train(
            make("toy-chain"),
            toy_data(),
            tmp_path / "run",
            TrainConfig(steps=9, rollbacks=0, **PLAIN),
            hooks=[Poison()],
        )


def test_sample_grids(tmp_path):
    config = TrainConfig(steps=20, evaluate_every=10, samples=5, precision="float32")
    train(make("toy-chain"), toy_data(), tmp_path / "run", config)
    pictures = sorted((tmp_path / "run" / "samples").glob("*.png"))
    assert [path.name for path in pictures] == ["step-00000010.png", "step-00000020.png"]
    first, last = (np.asarray(Image.open(path)) for path in pictures)
    # Five images of 4x4 pixels, enlarged 12 times, framed: 3 columns and 2 rows.
    assert first.shape == (2 * 50, 3 * 50, 3)
    # This model's samples are noise from the generator, so fixed noise means equal grids.
    assert np.array_equal(first, last)
    x = torch.randint(3, (5, 1, 4, 4), generator=generator_of(0, 4))
    levels = np.array([0, 128, 255], np.uint8)[x[0, 0].numpy()]
    assert np.array_equal(first[1:49:12, 1:49:12, 0], levels)


def test_metrics_are_json_whatever_happens(tmp_path):
    class Odd(Hook):
        def on_step(self, session):
            session.log("odd", {"a": math.nan, "b": [-math.inf], "c": math.inf})

    train(
        make("toy-chain"),
        toy_data(),
        tmp_path / "run",
        TrainConfig(steps=1, **PLAIN),
        hooks=[Odd()],
    )
    text = (tmp_path / "run" / "metrics.jsonl").read_text()

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    odd = next(line for line in lines if line["kind"] == "odd")
    assert (odd["a"], odd["b"], odd["c"]) == ("NaN", ["-Infinity"], "Infinity")


def test_the_log_has_the_mean_loss(tmp_path):
    config = TrainConfig(steps=20, log_every=5, **PLAIN)
    train(make("toy-chain"), toy_data(), tmp_path / "run", config)
    lines = [x for x in RunFolder(tmp_path / "run").read_metrics() if x["kind"] == "train"]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert {"likelihood/loss", "likelihood/norm", "likelihood/lr", "likelihood/nats"} <= set(
        lines[0]
    )


def test_collapse_is_said_once(tmp_path, capsys):
    class Flat(Hook):
        def on_start(self, session):
            session.model.sample = lambda n, **_: torch.zeros(n, 1, 4, 4, dtype=torch.long)

    config = TrainConfig(steps=20, evaluate_every=5, precision="float32")
    train(make("toy-chain"), toy_data(), tmp_path / "run", config, hooks=[Flat()])
    told = capsys.readouterr().err
    assert told.count("samples collapse at step 5") == 1
    assert told.count("collapse") == 1


def test_labels_reach_conditional_models_only(tmp_path):
    spec = Spec(shape=(1, 4, 4), levels=3, classes=2)
    data, seen = toy_data(spec=spec), []

    class Look(Hook):
        def on_start(self, session):
            seen.append(session.next_batch()[0].y is None)

    for i, model in enumerate((make("toy-chain", spec=spec), make("toy-chain"))):
        train(model, data, tmp_path / str(i), TrainConfig(steps=2, **PLAIN), hooks=[Look()])
        if i == 0:
            counts = torch.from_numpy(data.class_counts("train")) + 1.0
            torch.testing.assert_close(model.log_prior_Y.exp(), counts / counts.sum())
    assert seen == [False, True]


def test_data_dependent_initialisation_comes_first(tmp_path):
    model = make("toy-chain")
    calls = []
    cls = type("Ready", (type(model),), {"initialise": lambda self, b: calls.append(b.x.shape)})
    model.__class__ = cls
    train(model, toy_data(), tmp_path / "run", TrainConfig(steps=2, batch_size=8, **PLAIN))
    assert calls == [(8, 1, 4, 4)]


def test_units_of_real_columns_are_not_those_of_one_batch(tmp_path):
    """A column that differs in one row of 50 does not vary in most batches of 8."""
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype("f4")
    x[:, 1] = np.arange(1000) % 50 == 0
    data = DataSet("rare", Spec((3,)), {"train": ArraySplit(x)}, "sha256:0")
    model, config = genus.create("made", data.spec, hidden=8), TrainConfig(steps=1, **PLAIN)
    train(model, data, tmp_path / "run", config)
    np.testing.assert_allclose(genus.load(tmp_path / "run").scale_D, x.std(0), rtol=1e-5)


def test_an_infinite_score_is_a_number(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 3)).astype("f4")
    far = np.where(np.arange(30)[:, None] == 7, 1e25, x).astype("f4")
    splits = {"train": ArraySplit(x), "valid": ArraySplit(far)}
    data = DataSet("far", Spec((3,)), splits, "sha256:0")
    model, config = genus.create("independent", data.spec), TrainConfig(steps=1, **PLAIN)
    assert train(model, data, tmp_path / "run", config).score == math.inf


def test_every_process_has_an_example(tmp_path):
    data = toy_data(4)
    with pytest.raises(ConfigError, match=r"processes=3 is more than the 2 training examples"):
        train(make("toy-chain"), data, tmp_path / "run", TrainConfig(steps=1, processes=3))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(tmp_path):
    data = toy_data()
    config = TrainConfig(steps=1)
    with pytest.raises(SpecError, match="built for"):
        train(make("toy-chain", spec=Spec((1, 4, 4), 2)), data, tmp_path / "run", config)
    with pytest.raises(ConfigError, match="neither be trained nor fitted"):
        train(object(), data, tmp_path / "run", config)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"sees 0 GPUs here; use device=cpu \(--device cpu\)"):
            train(make("toy-chain"), data, tmp_path / "run", TrainConfig(steps=1, device="cuda"))
    with pytest.raises(ConfigError, match="device='tpu' is not known"):
        train(make("toy-chain"), data, tmp_path / "run", TrainConfig(steps=1, device="tpu"))
    with pytest.raises(ConfigError, match="there is no budget"):
        train(make("toy-chain"), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_fitted_needs_no_options(tmp_path):
    data = toy_data()
    result = train(genus.create("independent", data.spec), data, tmp_path / "run")
    assert result.steps == 1


def test_a_model_without_a_name_is_refused(tmp_path):
    model = make("toy-chain")
    model.__class__ = type("Nameless", (type(model),), {"name": "unregistered"})
    with pytest.raises(ConfigError, match=r"@genus.register\(\"name\"\)"):
        train(model, toy_data(), tmp_path / "run", TrainConfig(steps=1))


def test_vectors_have_no_pictures(tmp_path):
    spec = Spec(shape=(6,), levels=4)
    data = DataSet("v", spec, {"train": ArraySplit(np.zeros((20, 6), int))}, "sha256:1")
    result = train(make("toy-chain", spec=spec), data, tmp_path / "run", TrainConfig(steps=3))
    assert result.score is None  # there is no valid split
    assert list((tmp_path / "run" / "samples").iterdir()) == []


def test_bf16_is_used_where_asked(tmp_path):
    seen = []

    class Look(Hook):
        def on_start(self, session):
            with session.engine.autocast():
                seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)

    for precision in ("bf16", "float32"):
        config = TrainConfig(steps=1, precision=precision, samples=0)
        train(make("toy-chain"), toy_data(), tmp_path / precision, config, hooks=[Look()])
        manifest = RunFolder(tmp_path / precision).read_manifest()
        assert manifest["precision"] == precision
    assert seen == [torch.bfloat16, torch.float32]


def test_two_hooks_of_one_name_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two hooks are called slow"):
        train(
            make("toy-chain"),
            toy_data(),
            tmp_path / "run",
            TrainConfig(steps=1),
            hooks=[Slow(), Slow()],
        )


def test_weight_decay_spares_biases(tmp_path):
    model = make("toy-chain")
    (player,) = make_players(model.objectives(), TrainConfig(steps=1, weight_decay=0.1))
    decays = {id(p): g["weight_decay"] for g in player.optimizer.param_groups for p in g["params"]}
    assert decays == {id(model.net.weight): 0.1, id(model.net.bias): 0.0}


def test_progress_goes_to_a_terminal_alone(tmp_path, capsys, monkeypatch):
    data, config = toy_data(), TrainConfig(steps=5, **PLAIN)
    train(make("toy-chain"), data, tmp_path / "quiet", config)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # how rich is told that there is a terminal
    train(make("toy-chain"), data, tmp_path / "bar", config, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "toy-chain" in err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert wants_progress(None)
    assert not wants_progress(False)


def test_the_bar_may_come_and_go(tmp_path):
    """A run that was begun with a bar is resumed without one."""

    class Crash(Hook):
        def on_step(self, session):
            if session.step == 3:
                raise RuntimeError("the power is gone")

    data, config = toy_data(), TrainConfig(steps=5, checkpoint_every=0, **PLAIN)
    with pytest.raises(RuntimeError, match="power"):
        train(make("toy-chain"), data, tmp_path / "run", config, hooks=[Crash()], progress=True)
    result = train(make("toy-chain"), data, tmp_path / "run", resume=True, progress=False)
    assert result.steps == 5
