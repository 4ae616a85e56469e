"""A rectangle of some images becomes noise: of which, how large and where, as in the paper."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data.augmentation import augment, refuse_strays
from kerascnn.data.boxes import Boxes
from kerascnn.data.draws import Draw
from kerascnn.data.erasing import rectangles
from kerascnn.data.labels import Labels
from kerascnn.data.masks import Masks
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Augmentation

COUNT = 400
INDEX, EPOCH = tf.range(COUNT, dtype=tf.int64), tf.zeros(COUNT, tf.int64)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 20, 3)).astype("uint8")


def changed(changes, index=INDEX, images=IMAGES, seed=0, epoch=0):
    epochs = tf.fill(tf.shape(index), tf.constant(epoch, tf.int64))
    return augment(images, index, epochs, seed=seed, augmentation=changes).numpy()


@pytest.fixture(scope="module")
def erased():
    return changed(Augmentation(erase=0.5))


def test_so_many_images_lose_one_rectangle_and_nothing_else_changes(erased):
    touched = (erased != IMAGES).any(-1)
    some = touched.any((1, 2))
    assert 0.4 < some.mean() < 0.6, "erase is the probability"
    draws = Draw(INDEX, EPOCH, 0)
    tops, lefts, talls, wides = (
        part.numpy() for part in rectangles(draws, Augmentation(erase=0.5), (16, 20))
    )
    for number in np.flatnonzero(some):
        top, left = tops[number], lefts[number]
        inside = np.zeros((16, 20), bool)
        inside[top : top + talls[number], left : left + wides[number]] = True
        np.testing.assert_array_equal(touched[number], inside)


def test_area_and_aspect_are_within_their_limits_and_rectangles_within_the_image():
    changes = Augmentation(erase=1.0, erase_area=(0.1, 0.3), erase_aspect=(0.5, 2.0))
    top, left, tall, wide = (
        part.numpy() for part in rectangles(Draw(INDEX, EPOCH, 0), changes, (160, 200))
    )
    area, aspect = tall * wide / (160 * 200), tall / wide
    assert 0.098 < area.min() < 0.11
    assert 0.29 < area.max() < 0.302
    assert 0.48 < aspect.min() < 0.52
    assert 1.9 < aspect.max() < 2.05
    assert 0 <= top.min() <= 2
    assert 0 <= left.min() <= 2
    assert 158 <= (top + tall).max() <= 160
    assert 198 <= (left + wide).max() <= 200


def test_what_never_fits_leaves_the_image():
    """An upright of nine tenths of the area is higher than a square image."""
    changes = Augmentation(erase=1.0, erase_area=(0.9, 0.9), erase_aspect=(2.0, 2.0))
    np.testing.assert_array_equal(changed(changes), IMAGES.astype("float32"))


def test_noise_is_even_over_all_pixel_values_and_differs_between_images(erased):
    noise = erased[(erased != IMAGES).any(-1)]
    counts = np.histogram(noise, 8, (0, 256))[0] / noise.size
    assert noise.min() >= 0
    assert noise.max() < 256
    assert np.abs(counts - 1 / 8).max() < 0.01
    whole = changed(Augmentation(erase=1.0, erase_area=(0.8, 0.8), erase_aspect=(0.8, 0.8)))
    assert np.abs(whole[0] - whole[1]).mean() > 20


def test_it_is_a_function_of_seed_epoch_and_image(erased):
    some = [7, 3, 390]
    again = changed(Augmentation(erase=0.5), tf.constant(some, tf.int64), IMAGES[some])
    np.testing.assert_array_equal(again, erased[some])
    for other in ({"seed": 1}, {"epoch": 1}):
        assert np.abs(changed(Augmentation(erase=0.5), **other) - erased).mean() > 1


def test_only_labels_stay_true_where_something_was_erased():
    refuse_strays(Augmentation(erase=0.5), Labels)
    for kind in (Masks, Boxes):
        with pytest.raises(ArgumentError, match=r"erasing hides .* augmentation\.erase=0"):
            refuse_strays(Augmentation(erase=0.5), kind)
