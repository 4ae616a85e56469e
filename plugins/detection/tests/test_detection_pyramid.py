"""The pyramid's layers: each box as `RoIAlign` has it on its own map, and torch's nearest pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.pyramid import NearestResizing, PyramidAlign, feature_pyramid
from kerascnn_detection.regions import RoIAlign

import kerascnn

STRIDES = (4, 8, 16)
SIDES = [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (900, 2)]


@pytest.fixture(scope="module")
def inputs():
    """Maps of an image of 160×200 pixels, and boxes of all sizes, some beyond the border."""
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, 160 // s, 200 // s, 3)).astype("float32") for s in STRIDES]
    corners = rng.uniform(-40, 150, (2, 12, 2))
    sides = 2 ** rng.uniform(0, 9, (2, 12, 1)) * rng.uniform(0.7, 1.4, (2, 12, 2))
    return [*maps, np.concatenate([corners, corners + sides], axis=-1).astype("float32")]


@pytest.mark.parametrize(("side", "level"), SIDES)
def test_a_box_is_read_from_the_map_for_its_size(side, level):
    """Equation 1: a box of 224² from level 4, one of half that side from level 3."""
    boxes = tf.constant([[[10.0, 20, 10 + side, 20 + side]]])
    assert PyramidAlign((2, 2), strides=STRIDES).levels(boxes) == level


def test_a_box_without_area_is_read_from_the_finest_map():
    assert PyramidAlign((2, 2), strides=STRIDES).levels(tf.zeros([1, 1, 4])) == 0


@pytest.mark.parametrize("aligned", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_box_is_as_on_its_own_map(inputs, aligned, compiled):
    layer = PyramidAlign((3, 2), strides=STRIDES, aligned=aligned)
    *maps, boxes = inputs
    found = tf.function(layer, jit_compile=compiled)([*map(tf.constant, maps), boxes])
    levels = layer.levels(tf.constant(boxes)).numpy()
    assert set(levels.ravel()) == {0, 1, 2}
    each = [
        RoIAlign((3, 2), stride=stride, aligned=aligned)([one, boxes])
        for one, stride in zip(maps, STRIDES)
    ]
    expected = np.choose(levels[..., None, None, None], each)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_the_slope(inputs):
    *maps, boxes = (part.astype("float64") for part in inputs)
    layer = PyramidAlign((3, 2), strides=STRIDES, dtype="float64")
    variables = [tf.Variable(one) for one in maps]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer([*variables, boxes]) ** 2)
    slopes = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(total, variables)]
    rng = np.random.default_rng(1)
    ways = [rng.normal(size=one.shape) for one in maps]
    up, down = (
        np.sum(layer([*(m + sign * 1e-6 * w for m, w in zip(maps, ways)), boxes]) ** 2)
        for sign in (1, -1)
    )
    along = sum(np.sum(slope * way) for slope, way in zip(slopes, ways))
    np.testing.assert_allclose(along, (up - down) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize(("size", "wanted"), [((2, 3), (4, 6)), ((3, 2), (5, 3)), ((1, 4), (1, 9))])
def test_a_map_is_made_larger_by_its_nearest_pixels(size, wanted):
    x = np.arange(np.prod(size), dtype="float32").reshape(1, *size, 1)
    rows, columns = (np.arange(w) * s // w for s, w in zip(size, wanted))
    found = NearestResizing()([x, np.zeros((1, *wanted, 5))])
    np.testing.assert_array_equal(found[0, ..., 0], x[0, ..., 0][rows][:, columns])


def test_a_saved_pyramid_is_the_same(inputs, tmp_path):
    """At sizes that are known only when it is called, and don't halve evenly."""
    image, boxes = keras.Input((None, None, 3)), keras.Input((None, 4))
    maps, x = [], image
    for number in range(3):
        x = keras.layers.Conv2D(4, 3, 4 if number == 0 else 2, "same", name=f"conv{number}")(x)
        maps.append(x)
    *levels, last = feature_pyramid(maps, width=3)
    found = PyramidAlign((2, 2), strides=STRIDES, name="align")([*levels, boxes])
    model = keras.Model([image, boxes], [found, last])
    model.save(tmp_path / "model.keras")
    twin = kerascnn.load_model(tmp_path / "model.keras")
    assert twin.get_layer("align").get_config() == model.get_layer("align").get_config()
    given = [np.random.default_rng(2).normal(size=(2, 90, 116, 3)).astype("float32"), inputs[-1]]
    for one, other in zip(twin(given), model(given)):
        np.testing.assert_array_equal(one, other)
    assert last.shape == (None, None, None, 3)
