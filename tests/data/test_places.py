import gzip

import pytest

from genus.data.places import read_plain, write_atomically
from genus.errors import DataError


def test_gzip_bomb_stops_at_the_limit(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes, the limit"):
        read_plain(tmp_path / "bomb.gz", limit=1_000_000)


def test_gzip_of_several_members_and_padding_is_whole(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 8)
    assert read_plain(tmp_path / "a.gz") == b"one two"


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left on device; make room there"):
        write_atomically(target, fail)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_that_cannot_be_made_names_the_remedy(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot write .*set GENUS_CACHE to a folder"):
        write_atomically(tmp_path / "file" / "below", lambda file: file.write(b"x"))
