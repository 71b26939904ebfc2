"""Damaged, foreign and hostile files: refused or passed over, never silently used."""

import errno
import json
import os
import pickle
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_toys import differences, final_tensors, make, toy_data

import genus
from genus.errors import CheckpointError, ConfigError, TrainingError, VersionError
from genus.training import CheckpointWarning, Hook, RunFolder, TrainConfig, train
from genus.training.atomic import sha256_of, sweep, write_bytes, write_folder
from genus.training.checkpoint import find, newest_valid, read

CONFIG = {"steps": 6, "batch_size": 16, "checkpoint_every": 0, "samples": 0, "keep": 3}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    train(make("toy-chain"), toy_data(), out, TrainConfig(**CONFIG))
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


def edit(path, **changes):
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | changes))


def vouch(run, name="model.safetensors"):
    """Put the digest of a changed file into the manifest, as an attacker would."""
    files = json.loads((run / "manifest.json").read_text())["files"]
    edit(run / "manifest.json", files=files | {name: sha256_of(run / name)})


def unfinish(run):
    """Make a finished run look as if it had died before its end."""
    edit(run / "manifest.json", status="running", files={})
    (run / "model.safetensors").unlink()


def flip(path, place=-1):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_finished_run_loads(run):
    model = genus.load(run)
    assert not model.training
    assert model.dtype == torch.float32
    assert model.spec == make("toy-chain").spec
    x = toy_data().test.batch(torch.arange(5)).x
    assert torch.isfinite(model.log_prob(x)).all()


def test_loading_leaves_the_random_state_alone(run):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    genus.load(run)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("place", [-1, 200, 5000])
def test_a_flipped_bit_in_the_weights_is_found(run, place):
    flip(run / "model.safetensors", place)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged: its sha256 is"):
        genus.load(run)


def test_safetensors_alone_would_not_have_found_it(run):
    """Why the digest is there."""
    before = {k: v.clone() for k, v in load_file(run / "model.safetensors").items()}
    flip(run / "model.safetensors")
    assert len(differences(before, load_file(run / "model.safetensors"))) == 1


class Touch:
    """A pickle that runs a program when it is opened."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
@pytest.mark.parametrize("vouched", [True, False])
def test_a_pickle_is_refused_and_not_run(run, tmp_path, writer, vouched):
    marker, path = tmp_path / "marker", run / "model.safetensors"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Touch(marker)))
    else:
        torch.save({"net.weight": Touch(marker)}, path)
    if vouched:
        vouch(run)
    with pytest.raises(CheckpointError, match=r"pickle.*can run any program, so it was not opened"):
        genus.load(run)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Touch(marker)))  # the payload does work
    assert marker.exists()


def test_a_pickle_as_checkpoint_is_refused_and_not_run(run, tmp_path):
    marker = tmp_path / "marker"
    unfinish(run)
    for folder in find(run / "state"):
        (folder / "state.safetensors").write_bytes(pickle.dumps(Touch(marker)))
    with pytest.warns(CheckpointWarning, match="can run any program"):
        assert newest_valid(run / "state") is None
    assert not marker.exists()


def test_wrong_shapes_and_names_are_listed(run):
    weights = load_file(run / "model.safetensors")
    weights["net.weight"] = weights["net.weight"][:-1].clone()
    weights["extra"] = weights.pop("net.bias")
    save_file(weights, run / "model.safetensors")
    vouch(run)
    with pytest.raises(CheckpointError) as told:
        genus.load(run)
    for part in (
        "net.bias is missing",
        "extra is not in this model",
        "net.weight has shape (47, 48), this model's has (48, 48)",
    ):
        assert part in str(told.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_without_value_are_refused(run, value):
    weights = load_file(run / "model.safetensors")
    weights["net.bias"][3] = value
    save_file(weights, run / "model.safetensors")
    vouch(run)
    with pytest.raises(CheckpointError, match=r"NaN or infinity in net.bias"):
        genus.load(run)


@pytest.mark.parametrize("garbage", [b"", b"\x00" * 100, b"hello", b"\xff" * 8 + b"{}"])
def test_garbage_is_refused(run, garbage):
    (run / "model.safetensors").write_bytes(garbage)
    vouch(run)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        genus.load(run)


def test_files_that_are_not_there(run, tmp_path):
    (run / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors is missing"):
        genus.load(run)
    with pytest.raises(CheckpointError, match=r"is not a run: it has no config.json"):
        genus.load(tmp_path / "nowhere")


def test_weights_that_nobody_vouches_for(run):
    edit(run / "manifest.json", files={})
    with pytest.raises(CheckpointError, match="nobody vouches for the weights"):
        genus.load(run)


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_newer_format(run, name):
    edit(run / name, format=2, genus="9.9")
    with pytest.raises(VersionError, match=r"has format 2, and this genus reads up to 1; upgrade"):
        genus.load(run)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', '{"format": 1}'])
def test_a_damaged_config(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.json"):
        genus.load(run)


def test_a_config_with_options_that_the_model_lacks(run):
    edit(run / "config.json", model={"name": "toy-chain", "config": {"dropuot": 0.1}})
    with pytest.raises(ConfigError, match=r"no option 'dropuot'; did you mean dropout\?"):
        genus.load(run)
    edit(run / "config.json", model={"name": "toy-chian", "config": {}})
    with pytest.raises(ConfigError, match=r"no model 'toy-chian'; did you mean toy-chain"):
        genus.load(run)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "truncated": lambda c: truncate(c / "state.safetensors"),
    "flipped": lambda c: flip(c / "state.safetensors"),
    "json": lambda c: flip(c / "state.json", 20),
    "manifest": lambda c: truncate(c / "manifest.json"),
    "no manifest": lambda c: (c / "manifest.json").unlink(),
    "empty": lambda c: (c / "state.safetensors").write_bytes(b""),
    "gone": lambda c: (c / "state.safetensors").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_loudly(finished, run, damage):
    unfinish(run)
    newest = find(run / "state")[0]
    assert read(newest).step == 6
    DAMAGE[damage](newest)
    with pytest.warns(CheckpointWarning, match=rf"{newest.name} cannot be used.*the one before"):
        result = train(make("toy-chain"), toy_data(), run, TrainConfig(**CONFIG), resume=True)
    assert result.steps == 6
    assert differences(final_tensors(finished), final_tensors(run)) == []
    assert (run / "state" / f"damaged-{newest.name}").is_dir()


def test_all_checkpoints_damaged(run):
    """The run begins again; nothing is loaded, and each is reported."""
    unfinish(run)
    count = len(find(run / "state"))
    assert count == 3
    for folder in find(run / "state"):
        flip(folder / "state.safetensors")
    with pytest.warns(CheckpointWarning) as told:
        train(make("toy-chain"), toy_data(), run, TrainConfig(**CONFIG), resume=True)
    assert len(told) == count
    assert len(list((run / "state").glob("damaged-*"))) == count


def test_a_checkpoint_of_a_newer_genus_is_not_taken_for_damaged(run):
    unfinish(run)
    edit(find(run / "state")[0] / "manifest.json", format=5)
    with pytest.raises(VersionError, match="format 5"):
        train(make("toy-chain"), toy_data(), run, TrainConfig(**CONFIG), resume=True)
    assert len(find(run / "state")) == 3


def test_an_unfinished_run_loads_with_a_warning(finished, run):
    unfinish(run)
    with pytest.warns(UserWarning, match=r"is crashed, not finished; .* of step 6"):
        model = genus.load(run)
    assert differences(dict(genus.load(finished).state_dict()), dict(model.state_dict())) == []


def test_only_the_last_checkpoints_are_kept(finished):
    steps = [read(folder).step for folder in find(finished / "state")]
    assert steps == [6, 5, 4]


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, call):
    class Full(Hook):
        def on_step(self, session):
            if session.step == 4:
                monkeypatch.setattr(os, call, full)

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"No space left.*--resume"):
        train(make("toy-chain"), toy_data(), out, TrainConfig(**CONFIG), hooks=[Full()])
    monkeypatch.undo()
    assert newest_valid(out / "state").step == 3
    assert list(out.rglob(".tmp-*")) == []
    assert train(make("toy-chain"), toy_data(), out, resume=True).steps == 6


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_disk(tmp_path, monkeypatch, code):
    def forbid(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", forbid)
    with pytest.raises(CheckpointError, match=r"make the folder writable, or choose another"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", TrainConfig(**CONFIG))


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "run").write_text("hello")
    with pytest.raises(CheckpointError, match=r"cannot write .*choose another one \(--out\)"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", TrainConfig(**CONFIG))
    assert (tmp_path / "run").read_text() == "hello"


def test_broken_weights_are_not_checkpointed(tmp_path):
    class Break(Hook):
        def on_step(self, session):
            if session.step == 3:
                session.model.net.bias.data[0] = torch.nan

    out = tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"step 3 has NaN or infinity in net.bias; no checkpoint"
    ):
        train(make("toy-chain"), toy_data(), out, TrainConfig(**CONFIG), hooks=[Break()])
    assert newest_valid(out / "state").step == 2


def test_stale_temporaries_are_swept(tmp_path):
    (tmp_path / ".tmp-step-00000001").mkdir()
    (tmp_path / ".tmp-step-00000001" / "half").write_text("x")
    (tmp_path / ".tmp-config.json").write_text("{")
    (tmp_path / "config.json").write_text("{}")
    assert sweep(tmp_path) == [".tmp-config.json", ".tmp-step-00000001"]
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TrainingError):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole(tmp_path):
    def fill(folder):
        (folder / "a").write_text("1")
        assert not (tmp_path / "done").exists()

    write_folder(tmp_path / "done", fill)
    assert (tmp_path / "done" / "a").read_text() == "1"
    with pytest.raises(OSError, match="not empty"):
        write_folder(tmp_path / "done", lambda folder: None)
    assert (tmp_path / "done" / "a").read_text() == "1"


def test_the_manifest_explains_the_run(finished):
    manifest = RunFolder(finished).read_manifest()
    for name, digest in manifest["files"].items():
        assert sha256_of(finished / name) == digest
    assert {"config.json", "metrics.jsonl", "model.safetensors"} <= manifest["files"].keys()
    assert manifest["data"] == {"name": "toy", "digest": toy_data().digest}
    assert manifest["status"] == "finished"
    assert {"genus", "python", "torch", "numpy"} <= manifest["versions"].keys()
    assert set(manifest["seconds"]) == {"training", "evaluation", "sampling", "checkpoint"}


def test_signals_are_not_lost_in_a_checkpoint(tmp_path):
    """A signal that comes while a checkpoint is written waits for the end of the step."""

    class During(Hook):
        def state_dict(self):
            signal.raise_signal(signal.SIGTERM) if self.armed else None
            self.armed = False
            return {}

        armed = False

        def on_step(self, session):
            self.armed = session.step == 3

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt) as told:
        train(make("toy-chain"), toy_data(), out, TrainConfig(**CONFIG), hooks=[During()])
    assert told.value.exit_code == 143
    assert newest_valid(out / "state").step in (3, 4)
