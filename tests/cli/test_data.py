"""`genus data`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from genus.data import list_data


@pytest.fixture
def photos(tmp_path):
    """A folder of 30 small images in two class folders."""
    rng = np.random.default_rng(0)
    for index in range(30):
        folder = tmp_path / "photos" / ("cats" if index % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "photos"


def test_list_shape(cli):
    answer = cli("data", "--json")
    assert [entry["name"] for entry in answer.json] == [entry.name for entry in list_data()]
    for entry in answer.json:
        assert set(entry) == {
            "name", "kind", "shape", "levels", "classes", "counts", "where", "bytes", "description",
        }  # fmt: skip
        assert set(entry["counts"]) == {"train", "valid", "test"}
        assert entry["where"] in ("embedded", "present", "download", "absent")


def test_list_names_every_set(cli):
    answer = cli("data")
    for entry in list_data():
        assert f" {entry.name} " in answer.out
    assert answer.last == "next: genus data digits"


def test_one_set_shape(cli):
    answer = cli("data", "digits", "--json")
    assert answer.code == 0
    assert set(answer.json) == {
        "name", "usable", "shape", "levels", "classes", "counts", "labels", "class_counts",
        "digest", "low", "high", "duplicates", "repeats", "notes", "offending", "problem",
        "description", "missing",
    }  # fmt: skip
    assert answer.json["counts"] == {"train": 1257, "valid": 180, "test": 360}
    assert answer.json["digest"].startswith("sha256:")


def test_one_set_in_words(cli):
    answer = cli("data", "digits")
    assert "1x8x8" in answer.out
    assert "1,257" in answer.out
    assert answer.last == "next: genus train pixelcnn --data digits --time-budget 60s"


def test_a_continuous_set_suggests_a_model_that_takes_it(cli):
    assert "genus train gaussian-mixture --data wine" in cli("data", "wine").last


def test_a_folder_is_inspected_and_its_options_are_repeated(cli, photos):
    answer = cli("data", photos, "--size", 4, "--gray", "--levels", 8)
    assert answer.code == 0, answer.err
    assert "1x4x4" in answer.out
    assert "cats" in answer.out
    for words in (str(photos), "--size 4", "--levels 8", "--gray"):
        assert words in answer.last


def test_a_folder_with_a_broken_image_names_the_file(cli, photos):
    (photos / "cats" / "text.png").write_text("no image at all")
    answer = cli("data", photos, "--json")
    assert any("text.png" in file for file, _ in answer.json["offending"])


def test_data_that_cannot_be_used_fail_with_the_reason(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = cli("data", tmp_path / "empty")
    assert answer.code == 1
    assert "genus: " in answer.err
    assert answer.last == f"next: mend what is listed, then genus data {tmp_path / 'empty'}"


def test_misspelt_set(cli):
    answer = cli("data", "digts").refused("there is no data set 'digts'", "did you mean digits")
    assert answer.last == "next: genus data"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits", "--size", 16), "--size cannot be used with digits"),
        (("--size", 16), "need data: genus data PATH"),
        (("nowhere/photos",), "there is no file or folder 'nowhere/photos'"),
        (("digits", "--levels", "many"), '"many"'),
    ],
)
def test_options_that_do_not_belong(cli, words, message):
    cli("data", *words).refused(message)


@pytest.mark.parametrize("size", ["0", "-3", "1000000000", "big"])
def test_sizes_that_cannot_be(cli, photos, size):
    cli("data", photos, f"--size={size}").refused("size", size)
