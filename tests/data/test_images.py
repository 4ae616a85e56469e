"""Files of every kind come out as a person sees them, in the size the network takes."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerascnn.data import fitting, images, jpeg
from kerascnn.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 4, 3), "uint8")
# What a viewer does with each EXIF orientation (EXIF 2.3, 4.6.4 A).
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: np.rot90,
}


def decode(path, *options):
    """The pixels, `[height, width, channels]`, and what was changed."""
    image, changes = images.decode(path, *options)
    assert image.mode in ("L", "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1), changes


def save(path, image, **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, changes = decode(save(tmp_path / "a.png", COLOUR, exif=exif))
    np.testing.assert_array_equal(pixels, UPRIGHT[orientation](COLOUR))
    assert bool(changes) == (orientation != 1)


def test_exif_orientation_of_a_large_jpeg_that_is_decoded_smaller(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    top_white = np.zeros((800, 1600, 3), "uint8")
    top_white[:400] = 255
    path = save(tmp_path / "a.jpg", top_white, exif=exif)
    pixels, _ = images.read(path, (64, 32, 3))
    assert pixels[:, 20:].mean() > 250
    assert pixels[:, :12].mean() < 5


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    grey = RNG.integers(0, 256, (9, 7), "uint8")
    pixels, changes = decode(save(tmp_path / f"a.{suffix}", grey))
    np.testing.assert_array_equal(fitting.fit(pixels[None], (9, 7, 1))[0][0, ..., 0], grey)
    assert changes == ()


def test_cmyk_jpeg(tmp_path):
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    pixels, changes = decode(save(tmp_path / "a.jpg", red, quality=100))
    np.testing.assert_allclose(pixels, np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=6)
    assert changes == ("converted from CMYK to RGB",)


def test_palette(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([9, 8, 7, 100, 110, 120, 255, 0, 0])
    image.putdata([2, 0, 1])
    pixels, _ = decode(save(tmp_path / "a.png", image))
    assert pixels.tolist() == [[[255, 0, 0], [9, 8, 7], [100, 110, 120]]]


def test_transparent_pixels_show_white_not_their_hidden_colour(tmp_path):
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [10, 20, 30, 51]]], "uint8")
    pixels, changes = decode(save(tmp_path / "a.png", rgba))
    blended = [round(0.2 * value + 0.8 * 255) for value in (10, 20, 30)]
    np.testing.assert_allclose(pixels[0], [[255] * 3, [10, 20, 30], blended], atol=1)
    assert changes == ("transparent, laid on white",)

    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 50, 60, 70])
    palette.putdata([0, 1])
    path = save(tmp_path / "p.png", palette, transparency=0)
    assert decode(path)[0].tolist() == [[[255] * 3, [50, 60, 70]]]


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    opaque = np.dstack([COLOUR, np.full((6, 4), 255, "uint8")])
    pixels, changes = decode(save(tmp_path / "a.png", opaque))
    np.testing.assert_array_equal(pixels, COLOUR)
    assert changes == ("converted from RGBA to RGB",)
    grey = Image.merge("LA", [Image.new("L", (2, 2), 9), Image.new("L", (2, 2), 255)])
    pixels, changes = decode(save(tmp_path / "g.png", grey))
    assert (pixels.shape, changes) == ((2, 2, 1), ("converted from LA to L",))
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 50, 60, 70])
    _, changes = decode(save(tmp_path / "p.png", palette, transparency=1))
    assert changes == ("converted from P with transparency to RGB",)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_changes_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, changes = decode(save(tmp_path / "a.png", COLOUR, exif=exif))
    np.testing.assert_array_equal(pixels, COLOUR)
    assert changes == ()
    content = save(tmp_path / "a.jpg", COLOUR, exif=exif).read_bytes()
    assert decode(tmp_path / "a.jpg")[1] == ()
    assert jpeg.plain(content) == (6, 4, 3)


@pytest.mark.parametrize("suffix", ["jfif", "avif", "jp2", "tga", "pbm", "dib", "webp"])
def test_further_formats_are_images(tmp_path, suffix):
    name = f"a.{suffix.upper()}"
    if not images.is_image(name):
        pytest.skip("this Pillow lacks the codec")
    kind = {"jfif": "JPEG", "jp2": "JPEG2000", "pbm": "PPM"}.get(suffix, suffix)
    save(tmp_path / name, np.full((16, 16, 3), 90, "uint8"), format=kind)
    np.testing.assert_allclose(decode(tmp_path / name)[0], 90, atol=3)
    assert decode(name, None, (tmp_path / name).read_bytes())[0].shape == (16, 16, 3)


def test_formats_that_start_programs_are_not_read(tmp_path):
    """Pillow hands EPS to Ghostscript, whatever the file's name is."""
    with Image.new("RGB", (4, 4)) as image:
        image.save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png .*of no known image format"):
        decode(tmp_path / "a.png")


def test_further_images_in_a_file_are_told(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (50, 200)]
    for suffix in ("gif", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        pixels, changes = decode(path)
        assert "the first of several in its file" in changes
        assert abs(int(pixels[0, 0, 0]) - 50) < 3


def test_the_most_pixels_are_an_option(tmp_path):
    path = save(tmp_path / "a.jpg", np.zeros((100, 200, 3), "uint8"))
    few, enough = images.Reading(pixels=19_999), images.Reading(pixels=20_000)
    with pytest.raises(DataError, match=r"a\.jpg .*20,000 pixels, of 19,999 .*\?max_pixels=N"):
        images.read(path, (8, 8, 3), None, few)
    with pytest.raises(DataError, match="max_pixels"):
        images.inspect(path, None, few)
    images.read(path, (8, 8, 3), None, enough)
    content = path.read_bytes()
    assert jpeg.plan(content, (8, 8, 3), few.pixels) is None
    assert jpeg.plan(content, (8, 8, 3), enough.pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_range_is_what_becomes_black_and_white(tmp_path, suffix):
    wide = np.array([[100, 0, 4195, 2148, 65535]], "uint16")
    path = save(tmp_path / f"a.{suffix}", wide)
    pixels, changes = decode(path, None, None, images.Reading(range=(100, 4195)))
    assert pixels[..., 0].tolist() == [[0, 0, 255, 128, 255]]
    assert changes == ("scaled from 100:4195 to 8 bits",)


def test_a_range_makes_other_numbers_readable(tmp_path):
    reading = images.Reading(range=(-1, 1))
    for values in (
        np.array([[-1, 0, 1, np.nan]], "float32"),
        np.array([[-1, 0, 1, -7]], "int32"),
    ):
        path = save(tmp_path / "a.tif", values)
        with pytest.raises(DataError, match=r"unknown range; add \?range=BLACK:WHITE"):
            decode(path)
        assert decode(path, None, None, reading)[0][..., 0].tolist() == [[0, 128, 255, 0]]


def test_bits_that_are_hardly_used_are_told():
    path = Path(__file__).parent / "12-bit-in-16.tif"
    most = images.peak(path)
    assert 2**11 < most < 2**12
    assert "?range=0:4095" in images.range_hint(most)
    assert images.inspect(path).peak == most
    assert images.range_hint(60_000) is None
    assert images.range_hint(None) is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    wide = np.array([[0, 256, 32768, 65535]], "uint16")
    pixels, changes = decode(save(tmp_path / f"a.{suffix}", wide))
    assert pixels[..., 0].tolist() == [[0, 1, 128, 255]]
    assert changes == ("reduced from 16 bits to 8",)


def test_one_bit(tmp_path):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert decode(save(tmp_path / "a.png", image))[0].tolist() == [[[0], [255]]]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (50, 200)]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert set(decode(path)[0].ravel().tolist()) == {50}


def test_unusable_pixels_and_damaged_files_name_the_file(tmp_path):
    save(tmp_path / "float.tif", np.zeros((2, 2), "float32"))
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    whole = save(tmp_path / "whole.jpg", RNG.integers(0, 256, (64, 64, 3), "uint8")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    reasons = {
        "float.tif": "floating-point",
        "text.png": "its content is of no known image format",
        "empty.jpg": "the file is empty",
        "cut.jpg": "truncated",
        "missing.png": "No such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=rf"{name} can't be read as an image: .*{reason}") as no:
            decode(tmp_path / name)
        assert "\n" not in str(no.value)
    with pytest.raises(DataError, match=r"^mail can.t be read as an image: the file is empty$"):
        decode("mail", None, b"")


def test_pillow_reads_the_same_from_memory(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", np.repeat(np.repeat(COLOUR, 60, 0), 60, 1), exif=exif)
    one, two = images.read(path, (64, 64, 3)), images.read("x", (64, 64, 3), path.read_bytes())
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1] == ("turned upright as the EXIF orientation says", "resized to 64×64")


def test_original_pixels_are_upright_and_whole(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(images.original(path), UPRIGHT[6](COLOUR))
    np.testing.assert_array_equal(images.original("?", path.read_bytes()), UPRIGHT[6](COLOUR))
    large = save(tmp_path / "a.jpg", np.zeros((1200, 900), "uint8"))
    assert images.original(large).shape == (1200, 900, 1)


def test_a_large_jpeg_decoded_smaller_looks_the_same(tmp_path):
    ramp = np.linspace(0, 255, 1200).astype("uint8")
    image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], ramp[::-1]), axis=-1)
    path = save(tmp_path / "a.jpg", image, quality=95)
    fast = images.read(path, (64, 64, 3))[0]
    slow = fitting.fit(decode(path)[0][None], (64, 64, 3))[0][0]
    np.testing.assert_allclose(fast.astype(int), slow, atol=4)
    assert decode(path, 128)[0].shape == (150, 150, 3)


def sixteen_bit_colours(path, top):
    """A PNG file with three channels of 16 bits, whose values are below `top`."""
    values = RNG.integers(0, top, (4, 5, 3)).astype(">u2")

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    lines = b"".join(b"\0" + line.tobytes() for line in values)
    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    return path


def test_colours_of_sixteen_bits(tmp_path):
    """Pillow drops their low bytes without a word."""
    path = sixteen_bit_colours(tmp_path / "a.png", 4096)
    pixels, changes = decode(path)
    assert pixels.max() < 16
    assert changes == ("reduced from 16 bits to 8",)
    assert "?range=0:4095" in images.range_hint(images.peak(path))
    assert images.range_hint(images.peak(sixteen_bit_colours(tmp_path / "b.png", 65536))) is None
    with pytest.raises(DataError, match=r"a\.png .*colour images with 16 bits can't be chosen"):
        decode(path, None, None, images.Reading(range=(0, 4095)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_has_no_end_is_not_read(tmp_path):
    """A pipe that nobody writes to, and a device that never ends."""
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.jpg")
    with open(tmp_path / "large.tif", "wb") as file:
        file.truncate(2**40)
    for name, why in (
        ("pipe.png", "no regular"),
        ("zero.jpg", "no regular"),
        ("large.tif", "bytes"),
    ):
        for read in (decode, images.inspect, images.original):
            with pytest.raises(DataError, match=rf"{name} can't be read as an image: .*{why}"):
                read(tmp_path / name)
