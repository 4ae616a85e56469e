"""Which JPEG files TensorFlow may read, and that it judges them as Pillow does."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from photographs import damaged, kinds, photograph, save, turned
from PIL import Image

from kerascnn.data import images, jpeg
from kerascnn.errors import DataError


def test_only_plain_whole_files_take_the_fast_way(tmp_path):
    def header(image, **options):
        return jpeg.plain(save(tmp_path / "x.jpg", image, **options).read_bytes())

    image = photograph(0, 90, 120)
    assert header(image) == (90, 120, 3)
    assert header(image.convert("L")) == (90, 120, 1)
    assert header(image, exif=turned(1)) == (90, 120, 3)
    assert header(image, exif=turned(3)) is None
    assert header(image, xmp=b'<x tiff:Orientation="6"/>') is None
    assert header(image.convert("CMYK")) is None
    content = save(tmp_path / "x.jpg", image).read_bytes()
    assert jpeg.plain(content[: len(content) // 2]) is None
    for cut in range(0, 400, 7):
        assert jpeg.plain(content[:cut]) is None
        jpeg.plain(content[:cut] + b"\xff\xd9")  # raises nothing
    image.save(tmp_path / "x.png")
    assert jpeg.plain((tmp_path / "x.png").read_bytes()) is None


@pytest.mark.parametrize(
    ("size", "wanted", "ratio"),
    [((375, 500), 187, 1), ((375, 500), 140, 2), ((512, 2000), 96, 4), ((4000, 3000), 32, 8)],
)
def test_decoding_at_a_fraction_is_never_smaller_than_wanted(tmp_path, size, wanted, ratio):
    content = save(tmp_path / "x.jpg", Image.new("RGB", size[::-1])).read_bytes()
    way = jpeg.plan(content, (wanted, wanted, 3))
    assert way.ratio == ratio
    assert min(way.height, way.width) >= wanted


def judged(content, shape=(32, 32, 3)):
    """Whether `data check`, `--skip-corrupt` and training read a file."""

    def reads(function):
        try:
            function()
        except (DataError, tf.errors.OpError):
            return False
        return True

    checked = reads(lambda: images.inspect("x.jpg", content))
    kept = reads(lambda: images.read("x.jpg", shape, content))
    trained = kept
    if way := jpeg.plan(content, shape):
        part = (0, 0, *shape[:2])
        trained = reads(lambda: jpeg.decode(content, tf.constant(way), shape, part))
    return checked, kept, trained


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [400, pytest.param(5000, marks=pytest.mark.slow)])
def test_checking_and_training_judge_damaged_files_alike(count):
    rng = np.random.default_rng(count)
    whole = list(kinds().values())
    assert {judged(content) for content in whole} == {(True,) * 3}
    files = [damaged(whole[number % len(whole)], rng) for number in range(count)]
    found = collections.Counter(map(judged, files))
    assert set(found) == {(True,) * 3, (False,) * 3}
    assert min(found.values()) > count / 10
    assert sum(bool(jpeg.plan(content, (32, 32, 3))) for content in files) > count / 3
