import os
from dataclasses import replace

import pytest
from training_toys import make, toy_data

from genus.errors import CheckpointError
from genus.training import RunFolder, TrainConfig, free_folder, train
from genus.training.metrics import MetricsFile, read_metrics
from genus.training.run_folder import describe


def test_a_free_folder_has_a_new_suffix(tmp_path):
    assert free_folder(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    assert free_folder(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a" / "x").touch()
    (tmp_path / "a-2").touch()
    assert free_folder(str(tmp_path / "a")) == tmp_path / "a-3"


def test_the_config_comes_back(tmp_path):
    config = TrainConfig(steps=2, time_budget=9.0, clip=None, samples=0, batch_size=64)
    train(make("toy-chain", dropout=0.25), toy_data(), tmp_path / "run", config)
    read = RunFolder(tmp_path / "run").read_config()
    assert read.training == config
    assert read.model == "toy-chain"
    assert read.options == {"dropout": 0.25, "double": False, "memory": False}
    assert read.spec == toy_data().spec
    assert read.data["digest"] == toy_data().digest
    assert read.data["rows"] == {"train": 100, "valid": 50, "test": 50}


def test_a_lock_names_its_holder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        assert folder.holder() == os.getpid()
        with (
            pytest.raises(CheckpointError, match=f"trained by process {os.getpid()}"),
            RunFolder(tmp_path / "run").locked(),
        ):
            pass
    assert folder.holder() is None
    with folder.locked():
        pass


def test_a_dead_process_holds_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    pid = os.fork()
    if pid == 0:
        with folder.locked():
            os._exit(0)
    os.waitpid(pid, 0)
    assert (folder.state / "lock").read_text() == str(pid)
    assert folder.holder() is None
    with folder.locked():
        assert folder.holder() == os.getpid()


def test_a_new_run_is_not_begun_twice(tmp_path, monkeypatch):
    """Two processes that pass the first look together: the lock lets one of them in."""
    out, data = tmp_path / "run", toy_data()
    config = TrainConfig(steps=1, samples=0)
    with (
        RunFolder(out).locked(),
        pytest.raises(CheckpointError, match="is being trained by process"),
    ):
        train(make("toy-chain"), data, out, config)
    assert train(make("toy-chain"), data, out, config).steps == 1


def test_differences_look_inside(tmp_path):
    model, data = make("toy-chain"), toy_data()
    folder = RunFolder(tmp_path)
    folder.begin(describe(model, data, TrainConfig(steps=5)))
    folder.check_same(describe(model, data, TrainConfig(steps=5, keep=7)))
    with pytest.raises(CheckpointError, match=r"training.steps was 5, now 6"):
        folder.check_same(describe(model, data, TrainConfig(steps=6)))


def test_data_may_be_moved_but_not_changed(tmp_path):
    """Where they lie now is written down, so that what comes after the training finds them."""
    model, config, source = make("toy-chain"), TrainConfig(steps=5), {"name_or_path": "a/x.npy"}
    old, folder = replace(toy_data(), source=source), RunFolder(tmp_path)
    folder.begin(describe(model, old, config))
    moved = replace(old, source={"name_or_path": "b/x.npy", "root": "b"})
    folder.check_same(describe(model, moved, config))
    folder.follow_data(describe(model, moved, config))
    assert folder.read_config().data["source"] == moved.source
    with pytest.raises(CheckpointError, match=r"data.digest was .*, now 'sha256:other'"):
        folder.check_same(describe(model, replace(moved, digest="sha256:other"), config))
    changed = replace(moved, source={**source, "levels": 4})
    with pytest.raises(CheckpointError, match=r"data.source.levels was None, now 4"):
        folder.check_same(describe(model, changed, config))


def test_metrics_are_cut_back_and_torn_lines_skipped(tmp_path):
    path = tmp_path / "m.jsonl"
    file = MetricsFile(path)
    file.write({"a": 1})
    size = file.sync()
    file.write({"a": 2})
    file.close()
    with path.open("ab") as raw:
        raw.write(b'{"a": 3')
    assert read_metrics(path) == [{"a": 1}, {"a": 2}]
    file = MetricsFile(path, size)
    file.write({"a": 4})
    file.close()
    assert read_metrics(path) == [{"a": 1}, {"a": 4}]
    # The machine lost the end of the file: what is left of a line goes too.
    file = MetricsFile(path, 10**6)
    file.close()
    assert read_metrics(path) == [{"a": 1}, {"a": 4}]


def test_status_of_nothing(tmp_path):
    assert RunFolder(tmp_path).status == "none"
    with pytest.raises(CheckpointError, match="is not a run"):
        RunFolder(tmp_path).read_manifest()
