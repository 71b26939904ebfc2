import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from genus.data.images import Header, ImageError, Rules, Trait, decode, parse_size, read_header
from genus.errors import DataError


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png_header_only(width, height):
    """Return a PNG whose header promises a size and which holds nothing."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_exactly(photo, form):
    data = encoded(
        Image.fromarray(photo(0)), form, **({"lossless": True} if form == "WEBP" else {})
    )
    assert np.array_equal(decode(data, Rules(), 3), photo(0).transpose(2, 0, 1))
    assert read_header(data) == Header(8, 8, Trait(0))


def test_jpeg_and_gif_are_read(photo):
    smooth = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    assert abs(decode(encoded(smooth, "JPEG"), Rules(), 3).astype(int) - 90).max() <= 2
    assert decode(encoded(smooth.convert("P"), "GIF"), Rules(), 3).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"these are words, not pixels", "is not an image of a known format .PNG, JPEG"),
        (b"P6 2 2 255\n" + bytes(12), "is not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not an image of a known format"),
        (encoded(Image.new("RGB", (1, 1))), "is 1x1: a single pixel is no picture; remove it"),
        (png_header_only(12_000, 12_000), "12000 x 12000 = 144,000,000 pixels|more pixels than"),
        (png_header_only(9_000, 9_000), "has 9000 x 9000 = 81,000,000 pixels, above the limit"),
        (png_header_only(2**31 - 1, 2**31 - 1), "above the limit of 64,000,000; scale it down"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "save it with 8 or 16 bits, or give the values"),
    ],
)
def test_unfit_files_say_why(data, message):
    with pytest.raises(ImageError, match=message):
        read_header(data)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_animations_are_refused(photo, form):
    frames = [Image.fromarray(photo(i)) for i in range(2)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="is animated or has several pages; save one frame"):
        read_header(data)


def test_truncated_jpeg_passes_verify_and_is_found(photo):
    whole = encoded(Image.fromarray(photo(0, side=64)), "JPEG")
    cut = whole[: len(whole) * 6 // 10]
    Image.open(io.BytesIO(cut)).verify()
    assert read_header(cut).height == 64
    with pytest.raises(ImageError, match=r"is damaged or cut off .*truncated"):
        decode(cut, Rules(), 3)


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_found(photo, form):
    image = Image.fromarray(photo(0, side=64))
    whole = encoded(image.convert("P") if form == "GIF" else image, form)
    with pytest.raises(ImageError):
        decode(whole[: len(whole) * 6 // 10], Rules(), 3)


def test_png_with_a_flipped_byte_is_found(photo):
    data = bytearray(encoded(Image.fromarray(photo(0, side=32))))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="is damaged or cut off"):
        decode(bytes(data), Rules(), 3)


def test_sixteen_bits_are_rescaled_and_never_saturate():
    deep = np.array([[0, 128, 257, 1000], [32767, 32896, 65000, 65535]], np.uint16)
    data = encoded(Image.fromarray(deep))
    assert read_header(data).traits == Trait.GREY | Trait.DEEP
    got = decode(data, Rules(), 1)[0]
    assert np.array_equal(got, np.rint(deep / 257))
    assert got[0, 3] == 4  # Pillow's own conversion gives 255 here


def test_sixteen_bit_colour_is_noticed():
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
    size = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">6H", 0, 257, 65535, 256 * 7, 256 * 9, 0)
    body = zlib.compress(row)
    data = header + size + struct.pack(">I", zlib.crc32(b"IHDR" + size))
    for kind, part in ((b"IDAT", body), (b"IEND", b"")):
        data += struct.pack(">I", len(part)) + kind + part
        data += struct.pack(">I", zlib.crc32(kind + part))
    assert Trait.DEEP in read_header(data).traits
    assert decode(data, Rules(), 3)[:, 0, 0].tolist() == [0, 1, 255]


def test_transparency_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = 200, 100, 0, 255
    pixels[0, 1] = 0, 0, 0, 128
    data = encoded(Image.fromarray(pixels))
    assert read_header(data).traits == Trait.ALPHA
    got = decode(data, Rules(), 3)
    assert got[:, 0, 0].tolist() == [200, 100, 0]
    assert got[:, 0, 1].tolist() == [127, 127, 127]
    assert got[:, 1, 1].tolist() == [255, 255, 255]


def test_grey_with_transparency_stays_grey():
    pixels = np.array([[[9, 255], [9, 0]]], np.uint8)
    data = encoded(Image.merge("LA", [Image.fromarray(pixels[..., i]) for i in range(2)]))
    assert read_header(data).traits == Trait.ALPHA | Trait.GREY
    assert decode(data, Rules(), 1)[0].tolist() == [[9, 255]]


def test_palette_becomes_its_colours(photo):
    image = Image.fromarray(photo(0)).quantize(16)
    data = encoded(image)
    assert read_header(data).traits == Trait.PALETTE
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode(data, Rules(), 3), expected)


def test_cmyk_is_converted_and_noticed():
    data = encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG", quality=100)
    assert read_header(data).traits == Trait.OTHER_COLOURS
    red = decode(data, Rules(), 3)[:, 1, 1]
    assert red[0] > 250
    assert red[1:].max() < 5


def test_one_bit_images_are_black_and_white():
    data = encoded(Image.fromarray(np.eye(4, dtype=bool)))
    assert np.array_equal(decode(data, Rules(), 1)[0], np.eye(4) * 255)
    assert np.array_equal(decode(data, Rules(levels=2), 1)[0], np.eye(4))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_turns_the_size_too(form):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # the left half is white
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    data = encoded(image, form, exif=exif)
    header = read_header(data)
    got = decode(data, Rules(), 3)
    assert (header.height, header.width) == got.shape[1:] == (32, 16)
    assert got[:, :15].min() > 200
    assert got[:, 17:].max() < 50
    assert Trait.TURNED in header.traits


def test_strips_of_one_pixel_are_accepted():
    assert decode(encoded(Image.new("L", (7, 1))), Rules(), 1).shape == (1, 1, 7)


def test_levels_divide_the_range_evenly():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    for levels in (2, 3, 17, 256):
        got = decode(encoded(ramp), Rules(levels=levels), 1)
        counts = np.bincount(got.ravel(), minlength=levels)
        assert counts.min() >= 256 // levels
        assert got.max() == levels - 1


def test_resizing_crops_at_the_centre():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    got = decode(encoded(Image.fromarray(wide)), Rules(size=(10, 10)), 1)
    assert (got == 200).all()


@pytest.mark.parametrize("size", [-1, 0, 1, 5000, "12x", "axb", "3x4x5", 2.5, (8, -8), 10**30])
def test_bad_sizes_name_the_limits(size):
    with pytest.raises(DataError, match="each from 2 to 4096 pixels; for example --size 64"):
        parse_size(size)


@pytest.mark.parametrize(("size", "pair"), [(8, (8, 8)), ("8", (8, 8)), ((8, 9), (8, 9))])
def test_sizes_are_height_and_width(size, pair):
    assert parse_size(size) == pair


def test_random_damage_is_always_an_image_error(photo):
    rng = np.random.default_rng(0)
    refused = 0
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        whole = encoded(Image.fromarray(photo(1, side=16)), form)
        for _ in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(256)
            try:
                assert decode(bytes(data), Rules(size=(16, 16)), 3).shape == (3, 16, 16)
            except ImageError:
                refused += 1
    assert refused > 50


def test_no_warning_filter_is_left_behind():
    before = list(warnings.filters)
    with pytest.raises(ImageError):
        read_header(b"x")
    assert list(warnings.filters) == before
