"""Augmentation is a function of seed, epoch and image, and its geometry is what the names say."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data import ArraySplit
from kerascnn.data.augmentation import augment, central, crops, with_components
from kerascnn.recipes.recipe import Augmentation

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


def numbered(height, width):
    """Each pixel says where it lies: channel 0 its row, channel 1 its column, from 1."""
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.stack([rows, columns], axis=-1).astype("float32")


def test_crops_from_a_larger_canvas_are_whole_pixels_at_every_place():
    """AlexNet: 224 of 256, here 8 of 10; nothing is blurred, every corner can come."""
    images = np.repeat(numbered(10, 10)[None], 300, 0)
    augmentation = Augmentation(canvas=10 / 8)
    result = changed(images, range(300), augmentation=augmentation)
    assert result.shape == (300, 8, 8, 2)
    corners = result[:, 0, 0]
    assert {tuple(corner) for corner in corners} == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)}
    np.testing.assert_array_equal(result, corners[:, None, None] + numbered(8, 8) - 1)


def test_crops_after_padding_show_zeros_outside():
    """CIFAR: 4 of 32 zeros on each side, here 1 of 8."""
    images = np.repeat(numbered(8, 8)[None], 200, 0)
    result = changed(images, range(200), augmentation=Augmentation(pad=1 / 8))
    padded = np.pad(numbered(8, 8), ((1, 1), (1, 1), (0, 0)))
    crops = [padded[r : r + 8, c : c + 8] for r in range(3) for c in range(3)]
    found = {next(i for i, crop in enumerate(crops) if np.array_equal(crop, x)) for x in result}
    assert found == set(range(9))


def spans(result):
    """Height and width, in canvas pixels, that a crop of a numbered canvas covers."""
    size = result.shape[1]
    inner = result[:, 1:-1, 1:-1]
    steps = (
        inner[:, -1, 0, 0] - inner[:, 0, 0, 0],
        inner[:, 0, -1, 1] - inner[:, 0, 0, 1],
    )
    return [step / (size - 3) * size for step in steps]


def test_scale_jitter_covers_what_the_scaled_canvas_would():
    """VGG: side from 256 to 512, 224 of it: between 224/256 and 224/512 of the image."""
    images = np.repeat(numbered(64, 64)[None], 300, 0)
    augmentation = Augmentation(canvas=64 / 28, resize=(32 / 28, 64 / 28))
    tall, wide = spans(changed(images, range(300), augmentation=augmentation))
    np.testing.assert_allclose(tall, wide, rtol=1e-3)
    assert tall.min() == pytest.approx(28, abs=0.5)
    assert tall.max() == pytest.approx(56, abs=0.5)


def test_area_crops_stay_within_area_and_aspect():
    """GoogLeNet: 8% to 100% of the area, aspect 3/4 to 4/3."""
    images = np.repeat(numbered(64, 64)[None], 400, 0)
    augmentation = Augmentation(canvas=2.0, area=(0.2, 0.5), aspect=(3 / 4, 4 / 3))
    tall, wide = spans(changed(images, range(400), augmentation=augmentation))
    share, aspect = tall * wide / 64**2, wide / tall
    assert 0.195 < share.min() < 0.22
    assert 0.48 < share.max() < 0.505
    assert 0.745 < aspect.min() < 0.78
    assert 1.28 < aspect.max() < 1.34


def test_evaluation_sees_the_middle():
    images = tf.constant(np.repeat(numbered(10, 10)[None], 2, 0))
    result = central(images, Augmentation(canvas=10 / 8), (8, 8)).numpy()
    np.testing.assert_array_equal(result[0], numbered(10, 10)[1:9, 1:9])
    # The mean of the scales: 12 of 24 pixels at twice the input's side, shrunk to 8.
    images = tf.constant(np.repeat(numbered(24, 24)[None], 2, 0))
    jitter = Augmentation(canvas=3.0, resize=(1.5, 2.5))
    assert central(images, jitter, (8, 8)).shape == (2, 8, 8, 2)
    rows = central(images, jitter, (8, 8)).numpy()[0, :, 0, 0]
    np.testing.assert_allclose(rows.mean(), 12.5, atol=0.01)
    np.testing.assert_allclose(np.diff(rows)[2:5], 1.5, atol=0.1)


def test_lighting_is_alexnets_shift_along_the_principal_components():
    """One shift for all pixels of an image, with the paper's standard deviation on each axis."""
    components = ((0.2, 0.1, 0.0), (0.0, 0.0, 0.05))
    augmentation = Augmentation(lighting=0.1, components=components)
    images = np.full((2000, 2, 2, 3), 100, "float32")
    shifts = changed(images, range(2000), augmentation=augmentation) - 100
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[:, :1, :1], shifts.shape))
    shifts = shifts[:, 0, 0] / 255
    np.testing.assert_allclose(shifts[:, 0], 2 * shifts[:, 1], atol=1e-5)
    np.testing.assert_allclose(shifts.std(0), [0.02, 0.01, 0.005], rtol=0.06)
    np.testing.assert_allclose(shifts.mean(0), 0, atol=0.002)
    assert abs(np.corrcoef(shifts[:, 0], shifts[:, 2])[0, 1]) < 0.08


def test_components_are_those_of_the_training_images():
    """Against NumPy's covariance of all pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5, 5, 3))
    pixels[..., 1] = pixels[..., 0] // 2 + pixels[..., 1] // 2
    split = ArraySplit(pixels.astype("uint8"), np.zeros(40, "int32"))
    found = np.array(with_components(Augmentation(lighting=0.1), split).components)
    covariance = np.cov(pixels.reshape(-1, 3).T / 255, bias=True)
    for row in found:
        size = np.linalg.norm(row)
        np.testing.assert_allclose(covariance @ row, size * row, atol=1e-12)
    assert np.linalg.norm(found, axis=1).sum() == pytest.approx(np.trace(covariance))
    assert with_components(Augmentation(), split).components is None


def test_colour_jitter_stays_within_its_limits():
    images = np.full((500, 1, 1, 3), (50, 100, 80), "float32")
    result = changed(images, range(500), augmentation=Augmentation(brightness=0.4))
    factors = result[:, 0, 0] / images[:, 0, 0]
    np.testing.assert_allclose(factors, factors[:, :1] * np.ones(3), rtol=1e-5)
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_is_a_function_of_the_image_alone(channels):
    """In whatever batch, though operations are applied to groups of images."""
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, channels)).astype("uint8")
    augmentation = Augmentation(canvas=1.0, pad=0.1, randaugment=2, brightness=0.2)
    whole = changed(images, range(40), augmentation=augmentation)
    some = [31, 7, 8, 0]
    np.testing.assert_array_equal(
        changed(images[some], some, augmentation=augmentation), whole[some]
    )
    assert whole.min() >= 0
    assert whole.max() <= 255
    assert (np.abs(whole - images).mean((1, 2, 3)) > 1).mean() > 0.8


def test_strength_zero_leaves_images_nearly_alone():
    """`scaled(0)` is what a search tries as no augmentation, mirroring aside."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype("uint8")
    strong = Augmentation(area=(0.1, 0.5), pad=0.2, rotation=20, brightness=0.4, contrast=0.3)
    weak = replace(strong.scaled(0), aspect=(1.0, 1.0))
    np.testing.assert_allclose(changed(images, range(30), augmentation=weak), images, atol=1e-3)
    assert strong.scaled(1) == strong


@pytest.mark.parametrize("changes", [{"rotation": 5.0}, {"resize": (1.0, 2.0)}, {"pad": 0.1}])
def test_other_changes_are_left_to_the_augmentation(changes):
    recipe = Augmentation(canvas=36 / 32, flip=True, **changes)
    assert crops(recipe, seed=0, canvas=(36, 36), size=(32, 32)) == (None, recipe)
