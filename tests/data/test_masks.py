"""Masks follow their images: onto the canvas, through crops, and as augmentation moves them."""

import numpy as np
import pytest
import tensorflow as tf
from sample_targets import masks_of, motion, painted, ramp

from kerascnn.data import fitting
from kerascnn.data.masks import Masks
from kerascnn.data.sentinels import VOID
from kerascnn.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("size", "canvas"), [((28, 24), (32, 32)), ((15, 14), (15, 14)), ((64, 49), (31, 30))]
)
def test_a_mask_comes_to_be_where_its_image_is(size, canvas):
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = (1 + 2 * rows + columns).astype("uint8")  # smooth, so that it is its own mask
    pixels = fitting.fit(image[None, ..., None], (*canvas, 1))[0][0, ..., 0]
    mask = masks_of(image).fitted(0, (*canvas, 1))
    inside = mask != VOID
    assert (inside == (pixels > 0)).all()
    difference = pixels[inside].astype(int) - mask[inside]
    assert abs(difference.mean()) < 0.75, "where half a pixel of the canvas is three levels"
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("size", [(19, 41), (61, 47), (97, 211), (333, 125)])
def test_a_scaled_mask_is_the_image_that_the_nearest_pixel_would_give(size):
    """Pillow's own resizing of the window that `cover` shows, with the nearest pixel."""
    from PIL import Image

    height, width = 30, 30
    mask = RNG.integers(0, 255, size, "uint8")
    scale = max(height / size[0], width / size[1])
    tall, wide = height / scale, width / scale
    left, top = (size[1] - wide) / 2, (size[0] - tall) / 2
    box = (max(0, left), max(0, top), min(size[1], left + wide), min(size[0], top + tall))
    theirs = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST, box)
    ours = masks_of(mask).fitted(0, (height, width, 3))
    np.testing.assert_array_equal(ours, theirs)


def test_outside_of_a_padded_image_a_mask_is_void():
    found = masks_of(np.zeros((28, 28))).fitted(0, (32, 32, 1))
    assert (found[2:30, 2:30] == 0).all()
    assert (found == VOID).sum() == 32 * 32 - 28 * 28


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_part_of_a_mask_is_the_part_of_its_image(mirrored):
    mask = np.stack([ramp(12, 14), ramp(12, 14).T[:12, :].repeat(2, 1)[:, :14]])
    top, left = tf.constant([0, 3]), tf.constant([2, 5])
    found = Masks.cut(tf.constant(mask), top, left, tf.constant([mirrored] * 2), (8, 9)).numpy()
    step = -1 if mirrored else 1
    np.testing.assert_array_equal(found[0], mask[0, 0:8, 2:11][:, ::step])
    np.testing.assert_array_equal(found[1], mask[1, 3:11, 5:14][:, ::step])


def bilinear(image, matrices, size):
    from kerascnn.data.randaugment import transformed

    pixels = tf.cast(image, tf.float32)[..., None]
    return transformed(pixels, matrices, size)[..., 0].numpy()


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 3], [0, 1, -2]],
        [[-1, 0, 31], [0, 1, 0]],
        [[0, 1, 0], [1, 0, 0]],
        [[0.5, 0, 8], [0, 0.5, 6]],
    ],
    ids=["shifted", "mirrored", "transposed", "enlarged"],
)
def test_a_mask_is_moved_as_its_image_is(matrix):
    image, matrices = painted(), tf.constant([matrix], tf.float32)
    size = (24, 24)
    pixels = bilinear(255.0 * (image[None] == 2), matrices, size)[0]
    mask = Masks.moved(tf.constant(image[None]), motion(matrices, size)).numpy()[0]
    sure = (pixels == 0) | (pixels == 255)  # the others are between two pixels
    np.testing.assert_array_equal((mask == 2)[sure], (pixels == 255)[sure])
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    source = np.einsum("ij,hwj->hwi", matrix, np.stack([x, y, np.ones_like(x)], -1))
    outside = (source < -0.5) | (source > np.array([31.5, 23.5]))
    np.testing.assert_array_equal(mask == VOID, outside.any(-1))


def test_a_displacement_moves_each_pixel_of_a_mask_by_itself():
    mask = ramp(6, 7)[None]
    still = [[[1, 0, 0], [0, 1, 0]]]
    shift = RNG.integers(-3, 4, (1, 6, 7, 2)).astype("float32")
    found = Masks.moved(tf.constant(mask), motion(still, (6, 7), shift + 0.3))
    for row in range(6):
        for column in range(7):
            x, y = column + int(shift[0, row, column, 0]), row + int(shift[0, row, column, 1])
            inside = 0 <= x < 7 and 0 <= y < 6
            assert found[0, row, column] == (mask[0, y, x] if inside else VOID)


def test_a_label_beyond_the_classes_is_refused_with_its_file():
    masks = masks_of([[0, 1]], [[2, 7]], classes=2, root="photos")
    assert masks.stored(0).tolist() == [[0, 1]]
    with pytest.raises(DataError, match=r"photos/m/1\.png: .*0 to 1.*Received: 2 pixels .* as 2"):
        masks.stored(1)


def test_a_mask_of_another_size_than_its_image_is_refused_with_its_file():
    masks = masks_of(ramp(4, 5), ramp(4, 5), root="photos").beside(
        lambda position: (4, 5 + position)
    )
    masks.fitted(0, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png: .*as large as its image, 4×6.*4×5"):
        masks.fitted(1, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png"):
        masks.take(np.array([1])).fitted(0, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png"):
        masks.joined([masks]).fitted(3, (4, 4, 1))
