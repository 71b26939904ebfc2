import json
import shutil

import numpy as np
import pytest

from genus.data import inspect_data, load_data
from genus.errors import DataError


def test_digits():
    report = inspect_data("digits")
    assert report.usable
    assert report.counts == {"train": 1257, "valid": 180, "test": 360}
    assert sum(map(sum, report.class_counts.values())) == 1797
    assert (report.low, report.high) == (0, 16)
    assert report.digest == load_data("digits").digest
    assert report.duplicates == {"train/valid": 0, "train/test": 0, "valid/test": 0}
    json.dumps(report.to_json(), allow_nan=False)


def test_duplicates_across_and_within_splits_are_counted(tmp_path):
    x = np.arange(40).reshape(20, 2)
    test = np.concatenate([x[:3], x[:1], x[:1] + 100])
    np.savez(tmp_path / "d.npz", x_train=x, x_valid=x[19:] + 100, x_test=test)
    report = inspect_data(tmp_path / "d.npz")
    assert report.duplicates == {"train/valid": 0, "train/test": 4, "valid/test": 0}
    assert report.repeats == {"train": 0, "valid": 0, "test": 1}


def test_offending_files_are_in_the_report(folder):
    (folder / "empty.png").write_bytes(b"")
    report = inspect_data(folder)
    assert not report.usable
    assert report.offending == (("empty.png", "is empty (0 bytes)"),)
    assert "repair or remove them" in report.problem
    json.dumps(report.to_json(), allow_nan=False)


def test_every_file_is_decoded(folder, monkeypatch):
    from genus.data import folder_index

    monkeypatch.setattr(folder_index, "DECODE_FILES", 0)
    whole = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(whole[:-40])
    load_data(folder)
    report = inspect_data(folder)
    assert [name for name, _ in report.offending] == ["5.png"]


def test_sound_folder(folder):
    shutil.copy(folder / "0.png", folder / "copy.png")
    report = inspect_data(folder, size=4)
    assert report.usable
    assert report.shape == (3, 4, 4)
    assert report.offending == ()
    assert sum(report.duplicates.values()) + sum(report.repeats.values()) == 1
    assert report.digest == load_data(folder, size=4).digest


def test_what_cannot_be_used_is_said_rather_than_raised(tmp_path):
    (tmp_path / "none").mkdir()
    assert "put images there" in inspect_data(tmp_path / "none").problem
    np.save(tmp_path / "x.npy", np.full((4, 2), np.nan))
    assert "drop those rows" in inspect_data(tmp_path / "x.npy").problem


def test_names_that_do_not_exist_are_errors(folder):
    with pytest.raises(DataError, match=r"did you mean digits\?"):
        inspect_data("digit")
    with pytest.raises(DataError, match="--label cannot be used with a folder"):
        inspect_data(folder, label="y")


def test_missing_cells_are_counted_and_are_no_values(tmp_path):
    (tmp_path / "t.csv").write_text(
        "a,b\n" + "5,?\n" * 4 + "".join(f"{i},{i}\n" for i in range(5, 20))
    )
    report = inspect_data(tmp_path / "t.csv")
    assert report.missing == {"b": 4}
    assert (report.low, report.high) == (5, 19)  # not the 0 that stands for what is missing
    assert any("4 of 38 cells are missing" in note for note in report.notes)
    json.dumps(report.to_json(), allow_nan=False)
