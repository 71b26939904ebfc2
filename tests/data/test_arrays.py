import io
import zipfile

import numpy as np
import pytest
import torch

from genus.data import arrays, as_arrays, load_data
from genus.errors import DataError


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def levels():
    return np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)


def npz(path, **contents):
    np.savez(path, **contents)
    return path


def test_every_layout_of_images_becomes_channels_first(tmp_path, levels):
    colour = np.stack([levels, levels // 2, levels // 3], axis=1)
    for x, shape in (
        (levels, (1, 5, 4)),
        (levels[..., None], (1, 5, 4)),
        (colour, (3, 5, 4)),
        (colour.transpose(0, 2, 3, 1), (3, 5, 4)),
        (levels.reshape(20, 20), (20,)),
    ):
        np.save(tmp_path / "x.npy", x)
        data = load_data(tmp_path / "x.npy")
        assert data.spec.shape == shape
        assert data.spec.levels == 256
    np.save(tmp_path / "a.npy", colour)
    np.save(tmp_path / "b.npy", np.asfortranarray(colour.transpose(0, 2, 3, 1)))
    assert load_data(tmp_path / "a.npy").digest == load_data(tmp_path / "b.npy").digest


def test_labels_stratify(tmp_path, levels):
    path = npz(tmp_path / "d.npz", x=levels, y=np.arange(20) % 2)
    data = load_data(path)
    assert data.spec.classes == 2
    assert [data.class_counts(s).tolist() for s in ("train", "valid", "test")] == [
        [8, 8], [1, 1], [1, 1],
    ]  # fmt: skip


def test_given_splits_are_kept(tmp_path, levels):
    path = npz(
        tmp_path / "d.npz", x_train=levels[:15], y_train=np.arange(15) % 3, x_test=levels[15:],
        y_test=np.arange(5) % 3,
    )  # fmt: skip
    data = load_data(path)
    assert [len(data.split(s)) for s in ("train", "valid", "test")] == [13, 2, 5]
    assert np.array_equal(as_arrays(data.test).x[:, 0], levels[15:])


def test_other_names_and_label(tmp_path, levels):
    assert load_data(npz(tmp_path / "a.npz", pictures=levels)).spec.shape == (1, 5, 4)
    path = npz(tmp_path / "b.npz", x=levels, kind=np.arange(20) % 2)
    assert load_data(path).spec.classes is None
    assert load_data(path, label="kind").spec.classes == 2
    with pytest.raises(DataError, match=r"has no array 'kinds' for the labels; did you mean kind"):
        load_data(path, label="kinds")
    with pytest.raises(DataError, match=r"name the examples x .and labels y., or x_train"):
        load_data(npz(tmp_path / "c.npz", a=levels, b=levels))


def test_real_vectors_stay_real(tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(10, 3)))
    data = load_data(tmp_path / "v.npy")
    assert data.spec.levels is None
    assert data.train.batch(torch.tensor([0])).x.dtype == torch.float32


def test_what_was_assumed_is_said(tmp_path, levels):
    np.save(tmp_path / "few.npy", levels % 17)
    assert load_data(tmp_path / "few.npy").notes == (
        "taken as 256 levels (largest value 16); --levels says otherwise",
    )
    assert load_data(tmp_path / "few.npy", levels=17).spec.levels == 17
    np.save(tmp_path / "bits.npy", levels > 99)
    assert load_data(tmp_path / "bits.npy").spec.levels == 2
    constant = np.ones((5, 2))
    constant[:, 0] = range(5)
    np.save(tmp_path / "flat.npy", constant)
    assert "entries [1] never change" in load_data(tmp_path / "flat.npy").notes[0]


def test_floating_images_need_levels(tmp_path, levels):
    np.save(tmp_path / "f.npy", levels / 255)
    with pytest.raises(DataError, match=r"--levels 256 \(levels=256\) for 8-bit images divided"):
        load_data(tmp_path / "f.npy")
    data = load_data(tmp_path / "f.npy", levels=256)
    np.save(tmp_path / "i.npy", levels)
    assert data.digest == load_data(tmp_path / "i.npy").digest
    np.save(tmp_path / "w.npy", levels / 255 * 2 - 1)
    with pytest.raises(
        DataError, match=r"neither in \[0, 1\] nor whole .* rescale them to \[0, 1\]"
    ):
        load_data(tmp_path / "w.npy", levels=256)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_pixels_are_counted_and_placed(tmp_path, levels, bad):
    x = levels / 255
    x[3, 2, 1] = bad
    np.save(tmp_path / "n.npy", x)
    message = r"holds 1 NaN or infinite values, the first at index \(3, 0, 2, 1\); drop those rows"
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "n.npy", levels=256)


def test_vectors_may_have_missing_entries(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[::3, 1], x[5] = np.nan, np.nan
    np.save(tmp_path / "x.npy", x)
    data = load_data(tmp_path / "x.npy")
    assert dict(data.missing.columns) == {"entry 1": 14}
    assert "1 rows without any value were left out, the first at index 5" in data.notes
    assert sum(map(len, data.splits.values())) == 39
    x[3, 0] = np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=r"1 NaN or infinite values, the first at index \(3, 0\)"):
        load_data(tmp_path / "x.npy")


def test_given_splits_may_differ_in_what_is_missing(tmp_path):
    x = np.random.default_rng(0).random((30, 2))
    holes = x.copy()
    holes[:4, 0], holes[9] = np.nan, np.nan
    np.savez(tmp_path / "d.npz", x_train=x, x_valid=holes, x_test=x + 1)
    data = load_data(tmp_path / "d.npz")
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 30, "valid": 29, "test": 30,
    }  # fmt: skip
    assert as_arrays(data.train).known is None
    assert int((~as_arrays(data.valid).known).sum()) == 4
    x[:, 0] = np.nan
    np.savez(tmp_path / "d.npz", x_train=x, x_valid=holes, x_test=holes)
    with pytest.raises(DataError, match="no example to train on has a value in 'entry 0'"):
        load_data(tmp_path / "d.npz")


def test_numbers_too_large_for_float32(tmp_path):
    np.save(tmp_path / "big.npy", np.full((5, 2), 1e300))
    with pytest.raises(DataError, match="as float32 holds 10 NaN or infinite values"):
        load_data(tmp_path / "big.npy")


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (
            np.full((5, 2), -3),
            {},
            "integers from -3 to -3, .*; subtract the smallest, or save real",
        ),
        (np.full((5, 2), 9), {"levels": 5}, r"outside 0..4; give --levels 10 or more"),
        (np.full((5, 2), 70_000), {}, "levels=70001 must be an integer from 2 to 65536"),
        (np.zeros((5, 2)), {"levels": 1}, "levels=1 must be an integer from 2 to 65536"),
        (np.zeros((5, 2)), {"levels": -7}, "levels=-7 must be an integer from 2 to 65536"),
        (np.zeros(5), {}, r"has shape \(5,\), expected \(N, D\)"),
        (np.zeros((5, 2, 8, 8), "u1"), {}, "with 1 or 3 channels; reshape it"),
        (np.zeros((5, 3, 8, 1), "u1"), {}, "channels first or last"),
        (np.zeros((0, 4)), {}, r"has shape \(0, 4\), so there is nothing in it"),
        (np.zeros((2, 4)), {}, "add examples until there are 3 or more"),
        (np.array([["a", "b"]] * 4), {}, "has type <U1; save numbers instead"),
        (np.ones((4, 2), complex), {}, "has type complex128; save numbers instead"),
        (np.zeros((4, 2)), {"label": "y"}, "is one array without labels; leave --label out"),
        (np.zeros((4, 2)), {"size": 3}, "--size cannot be used with the file"),
    ],
)
def test_unfit_arrays_say_what_to_do(tmp_path, x, options, message):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "x.npy", **options)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(20, -1), "holds 20 negative labels, the lowest -1; drop unlabelled examples"),
        (np.zeros(19, int), r"has shape \(19,\), expected \(20,\): one label for each example"),
        (np.arange(20) % 3 * 2, "runs to 4, but label 1 has no example; renumber: np.unique"),
        (np.full(20, 10**12), "label 0 has no example"),
        (np.full(20, 0.5), "save whole numbers 0..classes-1"),
        (np.array(["cat"] * 20), "has type <U3; save whole numbers"),
        (np.full(20, np.nan), "holds 20 NaN"),
    ],
)
def test_unfit_labels_say_what_to_do(tmp_path, levels, y, message):
    with pytest.raises(DataError, match=message):
        load_data(npz(tmp_path / "d.npz", x=levels, y=y))


def test_test_labels_outside_those_of_train(tmp_path, levels):
    path = npz(
        tmp_path / "d.npz", x_train=levels, y_train=np.arange(20) % 2, x_test=levels[:3],
        y_test=np.array([0, 1, 7]),
    )  # fmt: skip
    with pytest.raises(
        DataError, match=r"y_test holds label 7, outside the 0..1 of train; correct"
    ):
        load_data(path)


def test_labels_for_some_splits_only(tmp_path, levels):
    path = npz(tmp_path / "d.npz", x_train=levels, y_train=np.arange(20) % 2, x_test=levels)
    with pytest.raises(DataError, match="some splits have labels and some do not"):
        load_data(path)


def test_splits_of_different_shapes(tmp_path, levels):
    with pytest.raises(DataError, match="shapes of the splits differ"):
        load_data(npz(tmp_path / "d.npz", x_train=levels, x_test=levels[:, :3]))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_object_arrays_are_refused_and_never_run(tmp_path, kind):
    marker = tmp_path / "was-run"
    x = np.array([Trap(marker)] * 4, dtype=object)
    path = tmp_path / f"o.{kind}"
    if kind == "npy":
        np.save(path, x, allow_pickle=True)
    else:
        np.savez(path, x=x)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"holds Python objects, .*np.savez\(path, x=np.stack"):
        load_data(path)
    assert not marker.exists()
    assert path.read_bytes() == before


def test_a_header_that_promises_too_much_is_refused_before_reading(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((400, 50, 50), np.uint8))
    assert (tmp_path / "bomb.npz").stat().st_size < 5_000
    monkeypatch.setattr(arrays, "MAX_BYTES", 100_000)
    message = r"bomb.npz:x would unpack to 1,000,128 bytes, above the limit of 100,000; save a"
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "bomb.npz")


def lying_npy(shape):
    out = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + b"1234"


@pytest.mark.parametrize("shape", [(5,), (2, 1), (10**9, 10**9)])
def test_a_header_that_lies_is_refused(tmp_path, shape):
    (tmp_path / "l.npy").write_bytes(lying_npy(shape))
    with pytest.raises(DataError, match=r"but holds 4; it was cut off|above the limit"):
        load_data(tmp_path / "l.npy")
    with zipfile.ZipFile(tmp_path / "l.npz", "w") as archive:
        archive.writestr("x.npy", lying_npy(shape))
    with pytest.raises(DataError, match=r"but holds 4; it was cut off|above the limit"):
        load_data(tmp_path / "l.npz")


@pytest.mark.parametrize(
    "contents", [b"", b"words", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x09\x00"]
)
def test_files_that_are_no_arrays(tmp_path, contents):
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(DataError, match=r"is not a NumPy array|is not a sound .npz file"):
            load_data(tmp_path / name)


def test_damaged_npz(tmp_path, levels):
    path = npz(tmp_path / "d.npz", x=levels)
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is not a sound .npz file \(Bad CRC-32.*save it again"):
        load_data(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"is not a sound .npz file"):
        load_data(path)
