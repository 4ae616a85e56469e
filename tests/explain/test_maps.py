"""The outputs of layers, and filters as pictures."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import explain
from kerascnn.errors import ArgumentError
from kerascnn.layers import GroupedConv2D


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = GroupedConv2D(6, 3, padding="same", groups=2, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name="toy")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).normal(size=(40, 12, 12, 3)).astype("float32")


def by_hand(model, images):
    """conv1 and avg_pool of conv2, in NumPy."""

    def convolved(x, kernel, bias):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.maximum(np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias, 0)

    conv1 = convolved(images, *model.get_layer("conv1").get_weights())
    pool1 = conv1.reshape(len(images), 6, 2, 6, 2, 4).max(axis=(2, 4))
    kernel, bias = model.get_layer("conv2").get_weights()
    halves = [
        convolved(pool1[..., 2 * g : 2 * g + 2], kernel[..., 3 * g : 3 * g + 3], bias[3 * g :][:3])
        for g in range(2)
    ]
    return conv1, np.concatenate(halves, axis=-1).mean(axis=(1, 2))


def test_feature_maps_are_what_the_layers_compute(model, images):
    found = explain.feature_maps(model, images, ["avg_pool", "conv1"])
    conv1, avg_pool = by_hand(model, images)
    assert list(found) == ["avg_pool", "conv1"]
    np.testing.assert_allclose(found["conv1"], conv1, atol=1e-5)
    np.testing.assert_allclose(found["avg_pool"], avg_pool, atol=1e-5)


def test_feature_maps_are_in_float32_also_of_a_model_in_half_precision(model, images):
    half = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "mixed_float16"}
        ),
    )
    half.set_weights(model.get_weights())
    found = explain.feature_maps(half, images[:2], "conv1")["conv1"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(model, images[:2])[0], atol=1e-5)


def test_filters_of_the_first_convolution_are_its_weights(model, images):
    kernel = model.get_layer("conv1").get_weights()[0]
    for found in (explain.filters(model), explain.filters(model, "conv1", data=images)):
        assert (found.shape, found.dtype) == ((4, 3, 3, 3), np.float32)
        np.testing.assert_array_equal(found[2], kernel[..., 2])
    chosen = explain.filters(model, channels=[3, 1])
    np.testing.assert_array_equal(chosen, np.moveaxis(kernel, -1, 0)[[3, 1]])


def test_filters_of_deeper_layers_are_projections_where_they_lie_in_their_field(model, images):
    """The field of conv2 is 8×8; where a border cuts it, there are zeros."""
    found = explain.filters(model, "conv2", data=images)
    best = explain.top_patches(model, images, "conv2", k=1)
    assert found.shape == (6, 8, 8, 3)
    cut = 0
    for channel in range(6):
        unit = best.position[channel, 0]
        image = images[best.index[channel, 0]][None]
        whole = explain.deconvnet(model, image, ("conv2", channel, tuple(unit.tolist())))[0]
        framed = np.pad(whole, ((8, 8), (8, 8), (0, 0)))
        top, left = 2 * unit - 3 + 8  # a unit of pool1 sees 4 pixels from 2u - 1, conv2 8
        np.testing.assert_allclose(
            found[channel], framed[top : top + 8, left : left + 8], rtol=1e-4, atol=1e-5
        )
        cut += best.projections[channel][0].shape[:2] != (8, 8)
    assert cut > 0


def test_filters_that_see_all_of_the_image_are_as_large_as_it(model, images):
    found = explain.filters(model, "avg_pool", data=images, channels=[4])
    assert found.shape == (1, 12, 12, 3)
    best = explain.top_patches(model, images, "avg_pool", k=1, channels=[4])
    np.testing.assert_array_equal(found[0], best.projections[0][0])
    assert explain.filters(model, "avg_pool", data=images, channels=[]).shape == (0, 12, 12, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv2"}, "give images as data"),
        ({"layer": "conv9"}, "conv9"),
        ({"channels": [4]}, "from 0 to 3"),
    ],
)
def test_filters_that_do_not_exist_or_need_data_are_refused(model, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        explain.filters(model, **arguments)


def test_a_model_without_convolution_has_no_filters_of_its_own():
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)))
    with pytest.raises(ArgumentError, match="has no convolution"):
        explain.filters(model)


def test_feature_maps_of_no_layer_are_refused(model, images):
    with pytest.raises(ArgumentError, match="at least one layer"):
        explain.feature_maps(model, images, [])
