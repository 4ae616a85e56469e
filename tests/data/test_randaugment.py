"""RandAugment's colour operations are Pillow's, its geometric ones move by what they should."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from kerascnn.data import randaugment
from kerascnn.data.randaugment import OPERATIONS

OPERATION = {operation.__name__.strip("_"): operation for operation in OPERATIONS}


@pytest.fixture(scope="module")
def image():
    """Smooth, noisy, and not using all of the range."""
    rows, columns = np.mgrid[:24, :20]
    base = np.stack([rows * 6 + 20, columns * 9 + 10, 200 - rows * 4], axis=-1)
    return (base + np.random.default_rng(0).integers(0, 20, base.shape)).astype("uint8")


def ours(name, image, strength):
    images = tf.constant(np.stack([image, image]), tf.float32)
    result = OPERATION[name](images, tf.constant([strength, 0.0], tf.float32))
    return result.numpy()[0]


PILLOW = {
    "autocontrast": lambda image, s: ImageOps.autocontrast(image),
    "equalize": lambda image, s: ImageOps.equalize(image),
    "posterize": lambda image, s: ImageOps.posterize(image, 8 - round(4 * s)),
    "solarize": lambda image, s: ImageOps.solarize(image, int(256 * (1 - s))),
    "colour": lambda image, s: ImageEnhance.Color(image).enhance(1 + 0.9 * s),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + 0.9 * s),
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + 0.9 * s),
    "sharpness": lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * s),
}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("strength", [0.75, 0.25])
def test_colour_operations_are_pillows(name, strength, image):
    """To the rounding of Pillow's integers."""
    expected = np.asarray(PILLOW[name](Image.fromarray(image), strength), "float32")
    np.testing.assert_allclose(ours(name, image, strength), expected, atol=2)


@pytest.mark.parametrize("name", ["colour", "contrast", "brightness", "sharpness"])
def test_the_sign_is_the_direction(name, image):
    expected = np.asarray(PILLOW[name](Image.fromarray(image), -0.5), "float32")
    np.testing.assert_allclose(ours(name, image, -0.5), expected, atol=2)


def test_a_flat_image_survives_every_operation():
    """Autocontrast and equalize divide by a range that is zero here."""
    flat = np.full((6, 6, 3), 77, "uint8")
    for name in OPERATION:
        assert np.isfinite(ours(name, flat, 0.5)).all()
    np.testing.assert_array_equal(ours("equalize", flat, 0.5), flat)


@pytest.mark.parametrize(("name", "axis"), [("shift_x", 1), ("shift_y", 0)])
def test_shifts_move_whole_pixels(name, axis, image):
    by = round(randaugment.LARGEST_SHIFT * image.shape[axis] * 0.5)
    expected = np.roll(image, -by, axis)
    kept = range(image.shape[axis] - by)
    found = ours(name, image, 0.5)
    np.testing.assert_array_equal(np.take(found, kept, axis), np.take(expected, kept, axis))
    assert not np.take(found, range(image.shape[axis] - by, image.shape[axis]), axis).any()


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shears_move_rows_against_each_other(name):
    """A centre line stays, a line a quarter of the way out moves by strength × 0.3 × distance."""
    line = np.zeros((41, 41, 1), "float32")
    line[20] = line[:, 20] = 255
    found = ours(name, line, 1.0)[..., 0]
    found = found if name == "shear_x" else found.T
    places = (found[[10, 30]] * np.arange(41)).sum(1) / found[[10, 30]].sum(1)
    np.testing.assert_allclose(np.abs(places - 20), 3.0, atol=0.05)


def test_rotation_turns_by_thirty_degrees_at_most():
    dot = np.zeros((41, 41, 1), "float32")
    dot[10, 20] = 255
    found = ours("rotate", dot, 1.0)[..., 0]
    rows, columns = np.mgrid[:41, :41]
    y, x = (found * rows).sum() / found.sum() - 20, (found * columns).sum() / found.sum() - 20
    assert np.degrees(np.arctan2(abs(x), -y)) == pytest.approx(30, abs=1)
