"""Distances are those of features that NumPy moves, and no change is a distance of none."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerascnn.errors import ArgumentError
from kerascnn.explain.changing import changed, invariance
from kerascnn.explain.sheets import COLORS, invariance_sheet

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 9, 9, 2)).astype("float32")


def classifier(end="softmax"):
    """A convolution, global average pooling and two classes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 9, 2))
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="uniform", name="conv1")(inputs)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(1 if end == "sigmoid" else 2, activation=end, name="end")(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.mark.parametrize("down", [0, 2, -3])
@pytest.mark.parametrize("border", ["edge", 0.25])
def test_whole_pixels_are_copied_and_the_border_is_filled(down, border):
    expected = np.roll(IMAGES, down, axis=1)
    if down:
        outside = slice(0, down) if down > 0 else slice(down, None)
        nearest = IMAGES[:, :1] if down > 0 else IMAGES[:, -1:]
        expected[:, outside] = nearest if border == "edge" else border
    np.testing.assert_array_equal(changed(IMAGES, down=down, border=border), expected)


def test_half_a_pixel_is_the_mean_of_two():
    expected = (IMAGES[:, :-1] + IMAGES[:, 1:]) / 2
    np.testing.assert_allclose(changed(IMAGES, down=0.5)[:, 1:], expected, atol=1e-6)


def test_turns_are_counterclockwise():
    for turns in (1, 2, 3):
        turned = changed(IMAGES, degrees=90 * turns)
        np.testing.assert_allclose(turned, np.rot90(IMAGES, turns, axes=(1, 2)), atol=1e-5)


def test_a_scale_of_two_enlarges_the_middle():
    """Every other pixel of the result is one of the image's."""
    np.testing.assert_allclose(changed(IMAGES, scale=2)[:, ::2, ::2], IMAGES[:, 2:7, 2:7])


def test_distances_and_probabilities_are_those_of_the_changed_images(model):
    """Of features by Keras and images by NumPy; the batch may end with fewer images."""
    found = invariance(
        model, IMAGES, ["conv1", "mean"], translations=(0, 2), border=0.25, batch_size=2
    )
    moved = np.roll(IMAGES, 2, axis=1)
    moved[:, :2] = 0.25
    for name, distances in found.translation.distances.items():
        features = keras.Model(model.input, model.get_layer(name).output)
        apart = (np.asarray(features(moved)) - np.asarray(features(IMAGES))).reshape(3, -1)
        np.testing.assert_allclose(distances[1], np.linalg.norm(apart, axis=1), rtol=1e-4)
    classes = np.argmax(model(IMAGES), axis=1)
    np.testing.assert_array_equal(found.classes, classes)
    expected = np.asarray(model(moved))[range(3), classes]
    np.testing.assert_allclose(found.translation.probabilities[1], expected, atol=1e-6)


def test_no_change_is_a_distance_of_none(model):
    found = invariance(model, IMAGES, "conv1", translations=[0], scales=[1], rotations=[0, 90, 360])
    still = [
        found.translation.distances["conv1"][0],
        found.scaling.distances["conv1"][0],
        found.rotation.distances["conv1"][0],
    ]
    np.testing.assert_array_equal(still, np.zeros((3, 3)))
    turn, whole = found.rotation.distances["conv1"][1:]
    assert turn.min() > 1
    assert whole.max() < 1e-4


def test_a_mean_over_all_places_does_not_see_where_something_is():
    """A spot on an even ground, moved: its convolution moves, the mean over the map stays."""
    spot = np.full((1, 9, 9, 2), 0.5, "float32")
    spot[:, 4, 4] = 3.0
    model = classifier()
    found = invariance(model, spot, ["conv1", "mean"], translations=(-2, 1, 2), border=0.5)
    assert found.translation.distances["conv1"].min() > 0.5
    assert found.translation.distances["mean"].max() < 1e-5
    spread = np.ptp(found.translation.probabilities)
    assert spread < 1e-6


@pytest.mark.parametrize(
    ("end", "probabilities"),
    [
        (None, lambda scores: np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)),
        ("softmax", lambda outputs: outputs),
        ("sigmoid", lambda outputs: np.concatenate([1 - outputs, outputs], axis=-1)),
    ],
)
def test_every_end_gives_the_probability_of_the_class(end, probabilities):
    model = classifier(end)
    found = invariance(model, IMAGES, "conv1", translations=[0], scales=[], rotations=[])
    expected = probabilities(np.asarray(model(IMAGES)))
    np.testing.assert_array_equal(found.classes, expected.argmax(-1))
    np.testing.assert_allclose(found.translation.probabilities[0], expected.max(-1), atol=1e-6)
    assert found.scaling.probabilities.shape == (0, 3)


def test_the_paper_s_steps_are_taken_in_proportion():
    inputs = keras.Input((112, 8, 1))
    model = keras.Model(inputs, layers.Dense(2)(ops.mean(inputs, axis=(1, 2))))
    found = invariance(model, np.zeros((1, 112, 8, 1)), [], scales=[1], rotations=[0])
    assert found.translation.steps == tuple(range(-30, 31, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": [1, 0]}, r"scales must be above 0.*Received: \[1, 0\]"),
        ({"rotations": [float("nan")]}, r"rotations must be finite.*Received: \[nan\]"),
        ({"translations": ["up"]}, r"translations must be finite.*Received: \['up'\]"),
        ({"border": "mirror"}, r"border must be.*Received: 'mirror'"),
        ({"batch_size": 0}, r"batch_size must be a whole number, at least 1.*Received: 0"),
        ({"layers": "conv9"}, r"no layer 'conv9'"),
        ({"images": IMAGES[:, :5]}, r"images must be .*9, 9, 2.*Received: \[3, 5, 9, 2\]"),
    ],
)
def test_mistakes_are_explained(model, arguments, message):
    usual = {"images": IMAGES, "layers": "conv1"}
    with pytest.raises(ArgumentError, match=message):
        invariance(model, **(usual | arguments))


def test_a_network_without_classes_is_refused(model):
    maps = keras.Model(model.input, model.get_layer("conv1").output)
    with pytest.raises(ArgumentError, match=r"must be \[batch, classes\].*\[1, 7, 7, 4\]"):
        invariance(maps, IMAGES, "conv1")


@pytest.mark.parametrize("count", [3, len(COLORS) + 1])
def test_the_sheet_has_a_line_for_each_image_or_the_median_of_many(model, count):
    images = np.resize(IMAGES, (count, 9, 9, 2))
    found = invariance(model, images, ["conv1", "mean"], translations=(-1, 0, 1), rotations=[])
    photos = RNG.integers(0, 256, (count, 9, 9, 1), "uint8")
    figure = invariance_sheet(found, photos, [str(number) for number in range(count)])
    axes = np.reshape(figure.axes, (2, 4))  # a row for each kind that has steps
    assert [panel.get_title(loc="left") for panel in axes[0, 1:3]] == [
        "conv1: distance",
        "mean: distance",
    ]
    assert len(axes[0, 0].images) == 3
    lines = axes[0, 1].lines
    assert len(lines) == (count if count <= len(COLORS) else 1)
    expected = found.translation.distances["conv1"]
    if len(lines) == 1:
        np.testing.assert_allclose(lines[0].get_ydata(), np.median(expected, axis=1))
    else:
        np.testing.assert_array_equal([line.get_ydata() for line in lines], expected.T)
