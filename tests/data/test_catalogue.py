import subprocess
import sys

import pytest

from genus.data import list_data, load_data
from genus.errors import DataError


@pytest.mark.parametrize("name", ["Digits", "DIGITS", " digits "])
def test_names_are_taken_in_any_case(name):
    assert load_data(name).name == "digits"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("didgits", r"no data set 'didgits' and no such file or folder; did you mean digits\?"),
        ("FashionMNIST", r"did you mean fashion-mnist"),
        ("qqqqq", "choose from: binarized-mnist, cifar10"),
        ("no/such/folder", "there is no file or folder 'no/such/folder'; check the path"),
        ("data.npz", "there is no file or folder 'data.npz'; check the path"),
    ],
)
def test_misspelt_names_have_near_matches(name, message):
    with pytest.raises(DataError, match=message):
        load_data(name)


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"size": 32}, "--size"),
        ({"gray": True}, "--gray"),
        ({"levels": 2, "seed": 1}, "--levels, --seed"),
        ({"label": "y"}, "--label"),
    ],
)
def test_named_sets_cannot_be_changed(options, flags):
    with pytest.raises(DataError, match=f"{flags} cannot be used with digits, whose contents and"):
        load_data("digits", **options)


def test_folders_have_no_label_option(folder):
    with pytest.raises(DataError, match="--label cannot be used with the folder"):
        load_data(folder, label="y")


def test_a_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(load_data("digits").train) == 1257
    with pytest.raises(DataError, match="holds no image files"):
        load_data("./digits")


def test_unknown_kinds_of_files(tmp_path):
    (tmp_path / "data.h5").write_bytes(b"")
    with pytest.raises(DataError, match=r"neither a folder nor one of .npy, .npz, .csv, .csv.gz"):
        load_data(tmp_path / "data.h5")


def test_the_list_has_every_name_once():
    names = [entry.name for entry in list_data()]
    assert names[:5] == ["digits", "wine", "patches", "rings", "moons"]
    assert len(set(names)) == len(names)
    assert {"mnist", "fashion-mnist", "binarized-mnist", "mnist-dynamic", "mnist-threshold"} <= {
        *names
    }


def test_listing_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys, genus.data; genus.data.list_data(); "
        "print([m for m in ('torch', 'sklearn', 'PIL') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
