import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from genus.data.idx import parse_idx, read_idx
from genus.errors import DataError


def encode(x):
    return struct.pack(f">I{x.ndim}I", 0x0800 | x.ndim, *x.shape) + x.tobytes()


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_what_is_written_is_read(x):
    assert np.array_equal(parse_idx(encode(x), x.ndim), x)


@given(st.binary(max_size=64), st.integers(1, 3))
def test_garbage_is_an_error_or_an_array_of_the_right_rank(data, rank):
    try:
        assert parse_idx(data, rank).ndim == rank
    except DataError as error:
        message = str(error)
        assert "fetch it again" in message or "is it another file" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x00\x08\x01" + b"\0\0\0\2" + b"ab", "magic number 0x00000801, expected 0x00000803"),
        (b"\x00\x00\x0d\x03", "expected 0x00000803 .IDX of unsigned bytes, 3 sizes"),
        (b"\x00\x00\x08\x03\x00", "ends within its header of 16 bytes; fetch it again"),
        (
            encode(np.zeros((2, 3, 3), np.uint8))[:-1],
            "2 x 3 x 3 = 18 bytes but holds 17; it was cut",
        ),
        (encode(np.zeros((2, 3, 3), np.uint8)) + b"x", "holds 19; it was cut off or altered"),
        (b"", "magic number 0x00000000"),
    ],
)
def test_wrong_magic_or_length_says_what_was_expected(data, message):
    with pytest.raises(DataError, match=message):
        parse_idx(data, 3, "images")


def test_gzip_is_known_by_its_first_bytes(tmp_path):
    x = np.arange(6, dtype=np.uint8)
    (tmp_path / "plain").write_bytes(encode(x))
    (tmp_path / "packed").write_bytes(gzip.compress(encode(x)))
    assert np.array_equal(read_idx(tmp_path / "plain", 1), x)
    assert np.array_equal(read_idx(tmp_path / "packed", 1), x)


def test_damaged_gzip_names_the_file(tmp_path):
    whole = gzip.compress(np.random.default_rng(0).bytes(5000))
    (tmp_path / "cut.gz").write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"cut.gz is a gzip file that was cut off; fetch or save"):
        read_idx(tmp_path / "cut.gz", 1)
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    (tmp_path / "bad.gz").write_bytes(flipped)
    with pytest.raises(DataError, match=r"bad.gz cannot be read: .*; fetch or save it again"):
        read_idx(tmp_path / "bad.gz", 1)


def test_missing_file_names_it(tmp_path):
    with pytest.raises(DataError, match=r"gone.gz cannot be read"):
        read_idx(tmp_path / "gone.gz", 1)
