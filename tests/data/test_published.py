import gzip
import hashlib
import io
import os
import struct
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genus.data import as_arrays, list_data, load_data, published, readers
from genus.data.download import Remote
from genus.errors import DataError

REAL = os.environ.get("GENUS_DATA")
COMPLETE = [
    "mnist", "fashion-mnist", "binarized-mnist", "mnist-dynamic", "mnist-threshold",
    "stacked-mnist", "cifar10-4000", "omniglot-small1", "frey-faces",
]  # fmt: skip


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nothing_here(monkeypatch):
    monkeypatch.delenv("GENUS_DATA", raising=False)


def idx(x):
    return struct.pack(f">I{x.ndim}I", 0x0800 | x.ndim, *x.shape) + x.tobytes()


def write_mnist(folder, n=10_020, test=5):
    """Write a set of the layout of MNIST, of which valid takes the last 10,000."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem, count in (("train", n), ("t10k", test)):
        x = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        y = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x), 1))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y), 1))


@pytest.mark.skipif(not REAL, reason="GENUS_DATA does not name a folder with the published sets")
@pytest.mark.parametrize("name", COMPLETE)
def test_real_contents_are_the_published_ones(name):
    data = load_data(name, root=REAL)
    entry = next(entry for entry in list_data(REAL) if entry.name == name)
    assert entry.where == "present"
    assert data.digest == f"sha256:{published.DIGESTS[name]}"
    assert {split: len(part) for split, part in data.splits.items()} == entry.counts
    for part in data.splits.values():
        batch = part.batch(torch.arange(min(len(part), 500)))
        data.spec.check(batch.x)
        assert (batch.y is None) == (data.spec.classes is None)
    assert data.source == {"name_or_path": name, "root": REAL}


@pytest.mark.skipif(not REAL, reason="GENUS_DATA does not name a folder with the published sets")
def test_dynamic_train_changes_and_test_does_not():
    data = load_data("mnist-dynamic", root=REAL)
    rows = torch.arange(64)

    def look(part, seed):
        return part.batch(rows, generator=torch.Generator().manual_seed(seed)).x

    assert not torch.equal(look(data.train, 0), look(data.train, 1))
    assert torch.equal(look(data.test, 0), look(data.test, 1))
    grey = as_arrays(load_data("mnist", root=REAL).train, 64).x
    assert (look(data.train, 0)[grey == 0] == 0).all()
    assert (look(data.train, 0)[grey == 255] == 1).all()


@pytest.mark.skipif(not REAL, reason="GENUS_DATA does not name a folder with the published sets")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cifar10",
            r"only data_batch_1_first4000.bin is present; load 'cifar10-4000', or put",
        ),
        ("omniglot", r"load 'omniglot-small1', or put images_background.zip and images_evaluation"),
    ],
)
def test_part_of_a_set_is_not_called_by_its_name(name, message):
    with pytest.raises(DataError, match=message):
        load_data(name, root=REAL)


def test_other_data_under_a_published_name_is_refused(tmp_path, nothing_here):
    write_mnist(tmp_path / "mnist")
    with pytest.raises(DataError, match=r"sound, but hold other data \(digest .*fetch them again"):
        load_data("mnist", root=tmp_path)


@pytest.mark.parametrize("folder", ["mnist", "", "mnist/raw"])
def test_mnist_layout_is_found_and_read(tmp_path, nothing_here, monkeypatch, folder):
    monkeypatch.delitem(published.DIGESTS, "mnist-threshold")
    write_mnist(tmp_path / "root" / folder)
    data = load_data("MNIST_Threshold", root=tmp_path / "root")
    assert [len(part) for part in data.splits.values()] == [20, 10_000, 5]
    assert data.notes == ("no digest of the published contents was at hand to compare with",)
    assert as_arrays(data.train).x.max() == 1


def test_stacked_digits_are_three_images_of_their_split(tmp_path, nothing_here, monkeypatch):
    for name in ("stacked-mnist", "mnist-threshold"):
        monkeypatch.delitem(published.DIGESTS, name)
    write_mnist(tmp_path / "mnist")
    data, single = (load_data(name, root=tmp_path) for name in ("stacked-mnist", "mnist-threshold"))
    assert data.labels[42] == "042"
    for name in ("train", "valid", "test"):
        stacked, digits = as_arrays(data.split(name)), as_arrays(single.split(name))
        assert stacked.x.shape == (len(digits.x), 3, 28, 28)
        known: dict[bytes, set[int]] = {}
        for image, label in zip(digits.x.numpy(), digits.y.tolist(), strict=True):
            known.setdefault(image.astype(np.uint8).tobytes(), set()).add(label)
        dark = (stacked.x[:50] >= 128).numpy().astype(np.uint8)
        for image, label in zip(dark, stacked.y[:50].tolist(), strict=True):
            for channel, digit in zip(image, f"{label:03}", strict=True):
                assert int(digit) in known[channel.tobytes()]


def test_unequal_labels_are_noticed(tmp_path, nothing_here):
    write_mnist(tmp_path / "mnist")
    labels = idx(np.zeros(3, np.uint8))
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    with pytest.raises(DataError, match=r"has 3 labels up to 0 for 5 images, .*fetch both again"):
        load_data("mnist", root=tmp_path)


def test_a_cut_off_published_file_is_named(tmp_path, nothing_here):
    write_mnist(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is a gzip file that was cut"):
        load_data("mnist", root=tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def shop(tmp_path):
    """Serve a folder on loopback and return (folder, address)."""
    folder = tmp_path / "shop"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def text_of(x):
    return b"".join(b" ".join(b"%d" % v for v in row) + b"\n" for row in x)


def test_absent_sets_are_downloaded_once_and_parsed_once(shop, nothing_here, monkeypatch, tmp_path):
    folder, address = shop
    rng = np.random.default_rng(0)
    bits = {
        name: rng.integers(0, 2, (4, 784), dtype=np.uint8) for name in ("train", "valid", "test")
    }
    remotes = []
    for name, x in bits.items():
        body = text_of(x)
        file = f"binarized_mnist_{name}.amat"
        (folder / file).write_bytes(body)
        sha = hashlib.sha256(body).hexdigest()
        remotes.append(Remote(file, (f"{address}/{file}",), sha, len(body)))
    entry = published.PUBLISHED["binarized-mnist"]
    changed = replace(entry, remotes=tuple(remotes))
    monkeypatch.setitem(published.PUBLISHED, "binarized-mnist", changed)
    monkeypatch.delitem(published.DIGESTS, "binarized-mnist")
    seen = []
    data = load_data("binarized-mnist", progress=lambda *args: seen.append(args))
    assert {args[0] for args in seen} == {remote.file for remote in remotes}
    assert np.array_equal(as_arrays(data.train).x.reshape(4, 784), bits["train"])
    for remote in remotes:
        (folder / remote.file).unlink()
    monkeypatch.setattr(readers, "parse_amat", None)  # would fail if it were called again
    assert load_data("binarized-mnist").digest == data.digest
    assert [e.where for e in list_data() if e.name == "binarized-mnist"] == ["present"]


def test_damaged_cache_is_replaced(nothing_here, monkeypatch, tmp_path):
    monkeypatch.delitem(published.DIGESTS, "binarized-mnist")
    x = np.random.default_rng(0).integers(0, 2, (3, 784), dtype=np.uint8)
    for name in ("train", "valid", "test"):
        packed = gzip.compress(text_of(x))
        (tmp_path / f"binarized_mnist_{name}.amat.gz").write_bytes(packed)
    first = load_data("binarized-mnist", root=tmp_path)
    (kept,) = (tmp_path / "cache" / "parsed").iterdir()
    kept.write_bytes(b"broken")
    assert load_data("binarized-mnist", root=tmp_path).digest == first.digest
    assert kept.stat().st_size > 100


def test_without_a_network_the_message_says_what_to_do(nothing_here, monkeypatch, tmp_path):
    entry = published.PUBLISHED["frey-faces"]
    far = (Remote("frey_rawface.mat", ("http://127.0.0.1:9/f.mat",), None, None),)
    monkeypatch.setitem(published.PUBLISHED, "frey-faces", replace(entry, remotes=far))
    with pytest.raises(DataError, match=r"(?s)cannot be reached .*set GENUS_DATA \(--data-root\)"):
        load_data("frey-faces")


def test_sets_that_cannot_be_fetched_say_so(nothing_here):
    with pytest.raises(DataError, match=r"needs data_batch_1_first4000.bin, which cannot be downl"):
        load_data("cifar10-4000")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0 1 2\n", "holds b'2' at byte 4, but only 0 and 1 are expected"),
        (b"0 1 10\n", "holds a number other than 0 and 1 at byte 4"),
        (b"0 1 1\n0 1\n", "has 2 values in line 2, expected 3; it was cut off"),
        (b"", "has 0 values in line 1, expected 3"),
    ],
)
def test_text_with_other_values_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        readers.parse_amat(data, 3, "text")


@pytest.mark.parametrize("text", [b"0 1 1\n1 0 0\n", b"0 1 1\r\n1 0 0", b"0  1 1 \n\n1 0 0 \n"])
def test_text_layouts_that_mean_the_same(text):
    assert readers.parse_amat(text, 3, "text").tolist() == [[0, 1, 1], [1, 0, 0]]


def cifar_batches():
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    blocks = {}
    for name in names:
        records = np.repeat(rng.integers(0, 256, (10, 3073), dtype=np.uint8), 1000, axis=0)
        records[:, 0] = np.arange(10_000) % 10
        blocks[name] = records
    return blocks


@pytest.mark.parametrize("way", ["archive", "files"])
def test_cifar_binary_layout(tmp_path, nothing_here, monkeypatch, way):
    blocks = cifar_batches()
    folder = tmp_path / "cifar10"
    folder.mkdir()
    if way == "archive":
        with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz", compresslevel=1) as archive:
            for name, block in blocks.items():
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = block.nbytes
                archive.addfile(info, io.BytesIO(block.tobytes()))
        with pytest.raises(DataError, match=r"has sha256 .*; it is damaged or another file"):
            load_data("cifar10", root=tmp_path)
        monkeypatch.setattr(published, "_check_archive", lambda remote, path: None)
    for name, block in blocks.items() if way != "archive" else ():
        data = block.tobytes()
        packed = name == "test_batch.bin"  # either will do, and so will both
        (folder / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(data, 1) if packed else data)
    data = load_data("cifar10", root=tmp_path)
    assert [len(part) for part in data.splits.values()] == [45_000, 5_000, 10_000]
    first = as_arrays(data.train, 1)
    assert np.array_equal(first.x[0].flatten(), blocks["data_batch_1.bin"][0, 1:])
    assert as_arrays(data.test, 12).y.tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(3072), "holds 3,072 bytes, expected 2 records of 3,073; it is cut off"),
        (bytes([10]) + bytes(6145), "holds label 10, outside 0..9; fetch it again"),
    ],
)
def test_cifar_records_are_checked(data, message):
    with pytest.raises(DataError, match=message):
        readers.parse_cifar(data, 2, "batch")


def test_archives_without_the_right_members(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(DataError, match=r"lacks data_batch_1.bin, .*is it the binary version\?"):
        readers.read_cifar10({"cifar-10-binary.tar.gz": path})
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="is damaged or cut off"):
        readers.read_cifar10({"cifar-10-binary.tar.gz": path})


def test_omniglot_layout(tmp_path):
    path = tmp_path / "o.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for character in ("A/character01", "B/character01"):
            for drawer in range(1, 21):
                paper = np.ones((105, 105), bool)
                paper[drawer, :] = False
                out = io.BytesIO()
                Image.fromarray(paper).save(out, "PNG")
                archive.writestr(f"images/{character}/0001_{drawer:02d}.png", out.getvalue())
    parts = readers.read_omniglot({"o.zip": path})
    assert {name: len(x) for name, (x, _) in parts.items()} == {"train": 28, "valid": 4, "test": 8}
    x, y = parts["test"]
    assert y.tolist() == [0] * 4 + [1] * 4
    assert x[0, 0].sum() == 105
    assert x[0, 0, 17].all()
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="is damaged or cut off"):
        readers.read_omniglot({"o.zip": path})


def test_frey_faces_that_are_something_else(tmp_path):
    path = tmp_path / "f.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(DataError, match="is not a sound MATLAB file"):
        readers.read_frey_faces({"frey_rawface.mat": path})
    from scipy.io import savemat

    savemat(path, {"ff": np.zeros((3, 4), np.uint8)})
    with pytest.raises(DataError, match=r"expected uint8 \(560, 1965\); fetch it again"):
        readers.read_frey_faces({"frey_rawface.mat": path})


def test_counts_in_the_list_need_no_loading(nothing_here):
    entries = {entry.name: entry for entry in list_data()}
    assert entries["cifar10"].where == "download"
    assert entries["cifar10-4000"].where == "absent"
    assert entries["mnist"].bytes == 11_594_722
    assert all(Path(r.urls[0]).name == r.file for r in published.PUBLISHED["mnist"].remotes)
