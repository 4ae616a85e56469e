"""Augmentation is a function of seed, epoch and image, and its geometry is what the names say."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.training.augmentation import augment
from kerascnn.training.recipes import Augmentation

EVERYTHING = Augmentation(shift=0.1, rotation=20, zoom=0.2, shear=0.2, flip=True)


def changed(images, index, epoch=0, *, seed=0, augmentation=EVERYTHING):
    index = np.asarray(index, "int64")
    epochs = tf.fill(index.shape, tf.constant(epoch, tf.int64))
    return augment(images, index, epochs, seed=seed, augmentation=augmentation).numpy()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1)).astype("uint8")


def test_an_image_changes_alike_in_any_batch(images):
    """Other batch sizes, orders and workers see the same image."""
    whole = changed(images, [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(changed(images[[4, 1]], [4, 1]), whole[[4, 1]])


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_epochs_and_seeds_differ(images, other):
    index = range(6)
    assert np.abs(changed(images, index) - changed(images, index, **other)).mean() > 1


def test_nothing_asked_is_nothing_done(images):
    np.testing.assert_array_equal(
        changed(images, range(6), augmentation=Augmentation()), images.astype("float32")
    )


def test_flip_mirrors_about_half_of_the_images():
    images = np.random.default_rng(0).random((400, 4, 5, 1)).astype("float32")
    result = changed(images, range(400), augmentation=Augmentation(flip=True))
    kept = np.isclose(result, images, atol=1e-5).all((1, 2, 3))
    mirrored = np.isclose(result, images[:, :, ::-1], atol=1e-5).all((1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize("name", ["shift", "rotation", "zoom", "shear"])
def test_each_change_stays_within_its_limit(name):
    """A dot a quarter of the way out moves, but no further than the geometry allows."""
    side, out = 41, 10
    image = np.zeros((1, side, side, 1), "float32")
    image[0, 20 - out, 20] = 1
    limits = {"shift": 0.1, "rotation": 20.0, "zoom": 0.2, "shear": 0.3}
    farthest = {
        "shift": 0.1 * side * np.sqrt(2),
        "rotation": 2 * out * np.sin(np.radians(20) / 2),
        "zoom": 0.2 * out,
        "shear": 0.3 * out,
    }[name]
    result = changed(
        np.repeat(image, 200, 0),
        range(200),
        augmentation=Augmentation(**{name: limits[name]}),
    )[..., 0]
    rows, columns = np.mgrid[:side, :side]
    mass = result.sum((1, 2))
    y, x = (result * rows).sum((1, 2)) / mass, (result * columns).sum((1, 2)) / mass
    moved = np.hypot(y - (20 - out), x - 20)
    assert moved.max() <= farthest + 0.3
    assert moved.max() > 0.7 * farthest
