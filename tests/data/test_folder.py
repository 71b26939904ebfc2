import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genus.data import as_arrays, folder_index, load_data
from genus.errors import DataError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def snapshot(root):
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def classes(tmp_path, photo):
    """Return a folder with two classes of ten images."""
    root = tmp_path / "animals"
    for i in range(20):
        save(root / ("cat" if i % 2 else "birds/owl") / f"{i:02d}.png", photo(i))
    return root


def test_flat_folder_has_no_labels(folder):
    data = load_data(folder)
    assert data.spec.to_json() == {"shape": [3, 8, 8], "levels": 256, "classes": None}
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 4, "valid": 1, "test": 1,
    }  # fmt: skip
    assert data.splits["train"].batch(torch.tensor([2, 0])).x.dtype == torch.int64


def test_examples_are_the_pixels_of_the_files(folder):
    data = load_data(folder)
    for part in data.splits.values():
        for row in range(len(part)):
            expected = np.asarray(Image.open(folder / part.name(row))).transpose(2, 0, 1)
            assert np.array_equal(part.batch(torch.tensor([row])).x[0], expected)


def test_nested_folders_become_labels(classes):
    data = load_data(classes)
    assert data.labels == ("birds/owl", "cat")
    assert data.spec.classes == 2
    assert [data.class_counts(name).tolist() for name in data.splits] == [[8, 8], [1, 1], [1, 1]]
    for part in data.splits.values():
        for row in range(len(part)):
            label = data.labels[part.batch(torch.tensor([row])).y[0]]
            assert part.name(row).startswith(label + "/")


def test_split_folders_are_kept_and_valid_is_taken_from_train(tmp_path, photo):
    root = tmp_path / "wrapped"
    for i in range(24):
        save(root / "set" / ("train" if i < 20 else "test") / "ab"[i % 2] / f"{i}.png", photo(i))
    data = load_data(root)
    assert data.labels == ("a", "b")
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 18, "valid": 2, "test": 4,
    }  # fmt: skip
    assert all("/test/" in data.test.name(row) for row in range(4))
    assert all("/train/" in data.valid.name(row) for row in range(2))


def test_one_class_says_nothing(tmp_path, photo):
    for i in range(4):
        save(tmp_path / "x" / "images" / f"{i}.png", photo(i))
    data = load_data(tmp_path / "x")
    assert data.spec.classes is None
    assert any("one class says nothing" in note for note in data.notes)


def test_images_outside_the_classes_are_listed(classes, photo):
    save(classes / "stray.png", photo(99))
    with pytest.raises(DataError, match=r"missing for 1 images; move them into class folders") as e:
        load_data(classes)
    assert "stray.png: lies beside them" in str(e.value)


def test_images_outside_the_splits_are_listed(tmp_path, photo):
    for i, where in enumerate(["train", "train", "train", "other"]):
        save(tmp_path / "r" / where / f"{i}.png", photo(i))
    with pytest.raises(DataError, match="move them into train, valid or test"):
        load_data(tmp_path / "r")


def test_class_without_training_images_is_named(tmp_path, photo):
    for i, where in enumerate(["train/a", "train/a", "train/b", "train/b", "test/c", "test/a"]):
        save(tmp_path / "r" / where / f"{i}.png", photo(i))
    with pytest.raises(DataError, match="without a training image: c; add some to train"):
        load_data(tmp_path / "r")


def test_empty_folder(tmp_path):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"holds no image files .*put images there") as error:
        load_data(tmp_path / "nothing")
    assert "1 files that are not images passed over" in str(error.value)


def test_one_image(tmp_path, photo):
    save(tmp_path / "one" / "a.png", photo())
    with pytest.raises(DataError, match=r"found 1 example, .*add examples until there are 3"):
        load_data(tmp_path / "one")


def test_every_offender_is_listed_at_once_and_nothing_is_changed(folder, photo):
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    save(folder / "whole.jpg", photo(3, side=64))
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) * 6 // 10])
    save(folder / "pixel.png", photo(4, side=1))
    before = snapshot(folder)
    with pytest.raises(DataError) as error:
        load_data(folder)
    message = str(error.value)
    assert "4 damaged or unsuitable; repair or remove them:" in message
    assert "empty.png: is empty (0 bytes)" in message
    assert "text.png: is not an image of a known format" in message
    assert "cut.jpg: is damaged or cut off" in message
    assert "pixel.png: is 1x1: a single pixel is no picture" in message
    assert "1 of another size; give --size (size=) to crop and resize all:" in message
    assert "whole.jpg: is 64x64 (height x width), but 6 are 8x8" in message
    assert snapshot(folder) == before


def test_only_the_first_twenty_offenders_are_spelt_out(folder):
    for i in range(25):
        (folder / f"bad{i:02d}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)25 damaged .*- and 5 more") as error:
        load_data(str(folder))
    assert str(error.value).count("is empty") == 20


def test_mixed_sizes_are_mended_by_size(folder, photo):
    save(folder / "wide.png", np.zeros((10, 20, 3), np.uint8))
    data = load_data(folder, size="6x4")
    assert data.spec.shape == (3, 6, 4)
    assert "7 of 7 images were cropped and resized (--size)" in data.notes


def test_mixed_modes_become_rgb_or_grey_and_are_counted(folder):
    save(folder / "grey.png", np.full((8, 8), 50, np.uint8))
    data = load_data(folder)
    assert data.spec.shape == (3, 8, 8)
    assert any(n.startswith("mixed modes: 1 grey and 6 colour images") for n in data.notes)
    grey = load_data(folder, gray=True)
    assert grey.spec.shape == (1, 8, 8)
    assert "6 of 7 images had colours and were made grey" in grey.notes
    assert data.digest != grey.digest


def test_conversions_are_counted(folder, photo):
    Image.fromarray(photo(9)).quantize(8).save(folder / "palette.png")
    Image.fromarray(photo(9)).convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(photo(9)).convert("RGBA").save(folder / "clear.png")
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(folder / "deep.png")
    notes = "\n".join(load_data(folder).notes)
    assert "1 of 10 images had a palette" in notes
    assert "1 of 10 images were CMYK" in notes
    assert "1 of 10 images had transparency and were laid on white" in notes
    assert "1 of 10 images had 16 bits a channel and were rescaled to 8" in notes


def test_grey_folders_have_one_channel_and_levels_are_taken(tmp_path):
    for i in range(5):
        save(tmp_path / "g" / f"{i}.png", np.full((4, 6), i * 60, np.uint8))
    data = load_data(tmp_path / "g", levels=4)
    assert (data.spec.shape, data.spec.levels) == ((1, 4, 6), 4)
    assert sorted(
        int(as_arrays(part).x[row].max())
        for part in data.splits.values()
        for row in range(len(part))
    ) == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("levels", [-1, 0, 1, 257, 10**9])
def test_levels_out_of_range(folder, levels):
    with pytest.raises(DataError, match=rf"levels={levels}.* (give 2 to 256|from 2 to 65536)"):
        load_data(folder, levels=levels)


def test_digest_is_of_contents_not_of_names(folder, tmp_path, photo):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert load_data(copy).digest == load_data(folder).digest
    save(copy / "0.png", photo(77))
    assert load_data(copy).digest != load_data(folder).digest


def test_copies_across_splits_are_noted(tmp_path, photo):
    for i, where in enumerate(["train", "train", "train", "train", "test"]):
        save(tmp_path / "r" / where / f"{i}.png", photo(i % 4))
    notes = load_data(tmp_path / "r").notes
    assert "1 images of test are also in train, byte for byte; remove one copy" in notes


def test_file_that_changes_or_goes_is_named_when_read(folder, photo):
    data = load_data(folder)
    save(folder / data.train.name(0), photo(50))
    with pytest.raises(DataError, match="has changed since the folder was indexed; load the data"):
        data.train.batch(torch.tensor([0]))
    (folder / data.train.name(1)).unlink()
    with pytest.raises(DataError, match=r"png cannot be read .*repair or remove it"):
        data.train.batch(torch.tensor([1]))


def test_large_folders_decode_only_headers_at_first(folder, monkeypatch, photo):
    save(folder / "z.jpg", photo(3, side=64))
    whole = (folder / "z.jpg").read_bytes()
    (folder / "z.jpg").write_bytes(whole[: len(whole) * 6 // 10])
    monkeypatch.setattr(folder_index, "DECODE_FILES", 3)
    data = load_data(folder, size=8)
    assert any(note.startswith("only the headers of 4 images were checked") for note in data.notes)
    where = next(
        (part, row)
        for part in data.splits.values()
        for row in range(len(part))
        if part.name(row) == "z.jpg"
    )
    with pytest.raises(DataError, match=r"z.jpg is damaged or cut off .*; repair or remove it"):
        where[0].batch(torch.tensor([where[1]]))


def test_links_hidden_files_and_other_files_are_passed_over(folder):
    os.symlink(folder, folder / "circle", target_is_directory=True)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "readme.txt").write_text("hello")
    notes = load_data(folder).notes
    assert "1 links to folders passed over" in notes
    assert "1 hidden files or folders passed over" in notes
    assert "1 files that are not images passed over" in notes


def test_file_without_permission_is_listed(folder, monkeypatch):
    read = Path.read_bytes

    def locked(path):
        if path.name == "0.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", locked)
    with pytest.raises(DataError, match=r"0.png: cannot be read \(Permission denied\)"):
        load_data(folder)


def test_names_with_blanks_and_other_alphabets(tmp_path, photo):
    root = tmp_path / "мои картинки"
    for i in range(4):
        save(root / f"bild {i} ü.png", photo(i))
    assert len(load_data(root).train) == 2


def test_loading_again_from_the_source_gives_the_same(classes):
    data = load_data(classes, size=6, gray=True, seed=3)
    again = load_data(**data.source)
    assert again.digest == data.digest
    assert torch.equal(as_arrays(again.test).x, as_arrays(data.test).x)


def test_index_stays_small(folder):
    index = folder_index.index_folder(folder)
    arrays = (index.ends, index.digests, index.sizes, index.traits)
    assert sum(array.nbytes for array in arrays) + len(index.names) <= len(index) * 64


def test_orientation_that_comes_after_the_pixels_is_noticed(tmp_path, monkeypatch):
    root = tmp_path / "late"
    for i in range(4):
        save(root / f"{i}.png", np.full((4, 8, 3), i, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + body
    late = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    whole = (root / "0.png").read_bytes()
    (root / "0.png").write_bytes(whole[:-12] + late + whole[-12:])
    with pytest.raises(DataError, match="decodes to 8x4, but its header says 4x8; save it again"):
        load_data(root)
    monkeypatch.setattr(folder_index, "DECODE_FILES", 0)
    parts = load_data(root).splits.values()
    with pytest.raises(DataError, match="decodes to 8x4, but its header says 4x8; save it again"):
        [as_arrays(part) for part in parts]
