"""Pixels of any size and channels come out as the network takes them."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data import fitting
from kerascnn.errors import DataError

RNG = np.random.default_rng(0)


def test_mnist_is_padded_as_in_the_paper():
    digits = RNG.integers(1, 256, (3, 28, 28, 1), "uint8")
    padded, changes = fitting.fit(digits, (32, 32, 1))
    np.testing.assert_array_equal(padded[:, 2:30, 2:30], digits)
    assert padded.sum(dtype=int) == digits.sum(dtype=int)
    assert changes == ("padded with zeros to 32×32",)


@pytest.mark.parametrize(
    ("size", "padded"), [((32, 32), True), ((24, 31), True), ((23, 32), False), ((33, 32), False)]
)
def test_padding_or_resizing(size, padded):
    fitted, changes = fitting.fit(np.full((1, *size, 1), 7, "uint8"), (32, 32, 1))
    assert fitted.shape == (1, 32, 32, 1)
    assert any("resized" in change for change in changes) == (not padded)
    assert (fitted == 7).sum() == (size[0] * size[1] if padded else 32 * 32)


def test_resizing_agrees_with_tensorflow():
    image = RNG.integers(0, 256, (1, 60, 80, 3), "uint8")
    ours = fitting.fit(image, (30, 40, 3))[0]
    theirs = tf.image.resize(image, (30, 40), "bilinear", antialias=True)
    np.testing.assert_allclose(ours, theirs, atol=1.01)


@pytest.mark.parametrize("target", [32, 224])
def test_every_size_can_be_resized(target):
    """Rounding may not take the window beyond the image: Pillow refuses 49×56 to 32×32 then."""
    for height in range(40, 110):
        for width in (height - 3, height + 7, 2 * height + 1, 177):
            image = np.full((1, height, width, 1), 7, "uint8")
            fitted, changes = fitting.fit(image, (target, target, 1))
            assert (fitted == 7).all()
            assert changes


def test_resizing_any_number_of_channels_treats_each_alike():
    image = RNG.integers(0, 256, (2, 60, 80, 3), "uint8")
    five = np.concatenate([image, image[..., :2]], axis=-1)
    fitted = fitting.fit(five, (30, 40, 5))[0]
    np.testing.assert_array_equal(fitted[..., :3], fitting.fit(image, (30, 40, 3))[0])
    np.testing.assert_array_equal(fitted[..., 3:], fitted[..., :2])


def test_resizing_keeps_the_aspect_ratio_and_the_middle():
    wide = np.zeros((1, 64, 128, 1), "uint8")
    wide[:, :, 32:96] = 255
    middle = fitting.fit(wide, (32, 32, 1))[0]
    assert (middle[:, :, 1:-1] == 255).all()  # antialiasing mixes at the edges
    assert (middle > 200).all()


@pytest.mark.parametrize("size", [(37, 61), (61, 37), (37, 37), (41, 333), (300, 199)])
def test_uncut_images_have_the_shorter_side_and_their_aspect_ratio(size):
    """VGG, 3.1: "the smallest side of an isotropically-rescaled image", here to 50 pixels."""
    rows, columns = np.meshgrid(*(np.linspace(0, 255, side) for side in size), indexing="ij")
    image = np.stack([rows, columns], axis=-1).astype("uint8")
    whole = fitting.uncut(image, (50, 50, 2))
    factor = 50 / min(size)
    assert whole.shape[:2] == tuple(round(side * factor) for side in size)
    ramps = np.meshgrid(*(np.linspace(0, 255, side) for side in whole.shape[:2]), indexing="ij")
    np.testing.assert_allclose(whole, np.stack(ramps, axis=-1), atol=4)


def test_uncut_images_hold_the_square_ones():
    """What training pads is padded alike; rectangles are not, however near their size is."""
    wide, small = RNG.integers(0, 256, (48, 96, 3), "uint8"), RNG.integers(0, 256, (28, 27, 1))
    square = fitting.fit(wide[None], (32, 32, 3))[0][0].astype(int)
    np.testing.assert_allclose(fitting.uncut(wide, (32, 32, 3))[:, 16:48], square, atol=2)
    assert fitting.uncut(wide[:, :50], (50, 50, 3)).shape == (50, 50, 3)
    near = fitting.uncut(wide[:, :54], (50, 50, 3))
    assert near.shape == (50, 56, 3)
    assert (near.mean((1, 2)) > 64).all()
    small = small.astype("uint8")
    padded = fitting.fit(small[None], (32, 32, 3))[0][0]
    np.testing.assert_array_equal(fitting.uncut(small, (32, 32, 3)), padded)


def test_colour_to_grey_and_back():
    image = RNG.integers(0, 256, (2, 8, 8, 3), "uint8")
    grey, changes = fitting.fit(image, (8, 8, 1))
    np.testing.assert_allclose(grey[..., 0], image @ [0.299, 0.587, 0.114], atol=0.51)
    assert changes == ("converted from colour to grey",)
    repeated, changes = fitting.fit(grey, (8, 8, 3))
    np.testing.assert_array_equal(repeated, np.concatenate([grey] * 3, axis=-1))
    assert changes == ("grey repeated to 3 channels",)


def test_channels_without_a_rule_are_refused():
    with pytest.raises(DataError, match=r"4 channels can't be converted to 3.*\[1, 8, 8, 4\]"):
        fitting.fit(np.zeros((1, 8, 8, 4), "uint8"), (8, 8, 3))
