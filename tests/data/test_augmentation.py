"""Augmentation is a function of seed, epoch and image, and its geometry is what the names say."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data import ArraySplit
from kerascnn.data.augmentation import augment, central, crops, motion, with_components
from kerascnn.errors import ArgumentError
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


def moving(count, augmentation, canvas, size, seed=0):
    """The motion of the first `count` images in epoch 0."""
    index = tf.range(count, dtype=tf.int64)
    epochs = tf.zeros_like(index)
    return motion(index, epochs, seed=seed, augmentation=augmentation, canvas=canvas, size=size)


ELASTIC = Augmentation(elastic=0.05)


def test_elastic_displacements_have_the_deviation_asked_for_at_the_grids_points():
    """U-Net, section 3.1: Gaussian on a 3×3 grid; here of 5% of a side, at edges and middle."""
    moved = moving(3000, ELASTIC, (21, 41), (21, 41)).displacement.numpy()
    knots = moved[:, ::10, ::20]
    assert knots.shape == (3000, 3, 3, 2)
    np.testing.assert_allclose(knots[..., 0].std(0), 0.05 * 41, rtol=0.06)
    np.testing.assert_allclose(knots[..., 1].std(0), 0.05 * 21, rtol=0.06)
    np.testing.assert_allclose(knots.mean(0), 0, atol=0.15)
    correlations = np.corrcoef(knots.reshape(3000, 18).T) - np.eye(18)
    assert np.abs(correlations).max() < 0.08


def test_elastic_displacements_are_interpolated_bicubically():
    """Between the grid's points: Keys' kernel with a = -1/2, the outer points repeated."""
    values = moving(1, Augmentation(elastic=0.1, elastic_grid=4), (31, 31), (31, 31))
    values = values.displacement.numpy()[0, :, :, 0]
    knots = np.pad(values[::10, ::10], 1, mode="edge")
    t = 0.3  # pixel 13 lies there between the second and the third point, pixel 23 the same
    shares = [
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (t**3 - t**2) / 2,
    ]
    assert values[13, 23] == pytest.approx(shares @ knots[1:5, 2:6] @ shares, abs=1e-5)
    assert values[3, 13] == pytest.approx(shares @ knots[0:4, 1:5] @ shares, abs=1e-5)


def test_elastic_deformation_is_a_function_of_the_image_alone(images):
    changes = replace(EVERYTHING, elastic=0.1, border="mirror")
    whole = changed(images, range(6), augmentation=changes)
    np.testing.assert_array_equal(
        changed(images[[4, 1]], [4, 1], augmentation=changes), whole[[4, 1]]
    )
    other = changed(images, range(6), epoch=1, augmentation=ELASTIC)
    assert np.abs(changed(images, range(6), augmentation=ELASTIC) - other).mean() > 1


def test_elastic_deformation_moves_pixels_by_its_displacements():
    """A canvas of numbered pixels shows where each pixel of the result comes from."""
    canvas = np.repeat(numbered(40, 40)[None], 5, 0)
    changes = Augmentation(canvas=40 / 32, elastic=0.02)
    result = changed(canvas, range(5), augmentation=changes)
    moved = moving(5, changes, (40, 40), (32, 32))
    rows, columns = np.mgrid[:32, :32]
    left, top = moved.matrices.numpy()[:, :, 2].T[:, :, None, None]
    right, down = np.moveaxis(moved.displacement.numpy(), -1, 0)
    x, y = columns + left + right, rows + top + down
    inside = (x >= 0) & (x <= 39) & (y >= 0) & (y <= 39)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(result[inside], np.stack([y, x], -1)[inside] + 1, atol=1e-3)


@pytest.mark.parametrize("border", ["zero", "mirror"])
def test_both_ways_to_resample_agree(border, images):
    """What is deformed by nothing is what is moved without a deformation."""
    plain = moving(6, replace(EVERYTHING, shift=0.7, border=border), (16, 16), (16, 16))
    deformed = replace(plain, displacement=tf.zeros([6, 16, 16, 2]))
    floats = tf.constant(images, tf.float32)
    np.testing.assert_allclose(plain.pixels(floats), deformed.pixels(floats), atol=0.02)
    masks = images[..., 0]
    alike = plain.labels(masks, 255).numpy() == deformed.labels(masks, 255).numpy()
    assert alike.mean() > 0.999  # a pixel between two may go to either


@pytest.mark.parametrize("elastic", [0.0, 0.02])
def test_a_mask_follows_its_image(elastic):
    """A mask that is 1 where the image is white: the nearest pixel of what is bilinear there."""
    discs = np.hypot(*(np.mgrid[:48, :48] - np.array([20, 26])[:, None, None])) < 12
    masks = np.repeat(discs[None].astype("uint8"), 20, 0)
    changes = replace(EVERYTHING, elastic=elastic)
    moved = moving(20, changes, (48, 48), (40, 40))
    images = moved.pixels(tf.constant(masks[..., None] * 255.0, tf.float32)).numpy()[..., 0]
    labels = moved.labels(masks, 255).numpy()
    assert set(np.unique(labels)) == {0, 1, 255}
    known = labels != 255
    assert np.abs(labels[known] * 255.0 - images[known]).max() < 192  # half a pixel on both axes
    assert np.abs(labels[known] * 255.0 - images[known]).mean() < 6


def test_borders_are_zero_or_mirrored_as_far_as_needed():
    image = numbered(4, 5)[None]
    wide = Augmentation(pad=2.0)
    still = moving(1, replace(wide, border="mirror"), (4, 5), (20, 25))
    still = replace(still, matrices=tf.constant([[[1.0, 0, -10], [0, 1, -8]]]))
    expected = np.pad(image[0], ((8, 8), (10, 10), (0, 0)), mode="symmetric")
    for displacement in (None, tf.zeros([1, 20, 25, 2])):
        found = replace(still, displacement=displacement).pixels(tf.constant(image))
        np.testing.assert_allclose(found[0], expected, atol=1e-4)
        masks = replace(still, displacement=displacement).labels(image[..., 0].astype("uint8"), 255)
        np.testing.assert_array_equal(masks[0], expected[..., 0])
    zeros = replace(still, border="zero", displacement=None).pixels(tf.constant(image))
    np.testing.assert_array_equal(zeros[0, :8], 0)


@pytest.mark.parametrize("elastic", [0.0, 0.03])
def test_points_land_where_their_pixels_are_seen(elastic):
    """The canvas' numbers are looked up where a point is said to have landed."""
    canvas = tf.constant(np.repeat(numbered(60, 60)[None], 30, 0))
    moved = moving(30, replace(EVERYTHING, elastic=elastic), (60, 60), (50, 50))
    points = np.random.default_rng(0).uniform(20, 40, (30, 7, 2)).astype("float32")
    landed = moved.landed(tf.constant(points)).numpy()
    inside = ((landed > 2) & (landed < 47)).all(-1)
    assert inside.mean() > 0.9
    at = landed.round().astype(int).clip(0, 49)
    seen = moved.pixels(canvas).numpy()[np.arange(30)[:, None], at[..., 1], at[..., 0]][..., ::-1]
    # A step of half a pixel of the result is at most one of the canvas here.
    assert np.abs(seen - 1 - points)[inside].max() < 1.1
    assert np.abs((seen - 1 - points)[inside].mean(0)).max() < 0.1


def test_nothing_that_moves_is_no_motion():
    assert moving(3, Augmentation(brightness=0.2), (8, 8), (8, 8)) is None
    assert moving(3, Augmentation(), (8, 8), (6, 6)) is not None
    assert moving(3, Augmentation(flip=True), (8, 8), (8, 8)).displacement is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"border": "wrap"},
            r"augmentation\.border must be one of zero, mirror\. Received: 'wrap'",
        ),
        ({"elastic": -0.1}, r"augmentation\.elastic must be 0 or more"),
        ({"elastic_grid": 1}, r"augmentation\.elastic_grid must be 2 to 64\. Received: 1"),
    ],
)
def test_illegal_deformations_and_borders_are_refused(values, message):
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**values)
