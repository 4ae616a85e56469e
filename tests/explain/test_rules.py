"""deconvnet and guided back-propagation of every kind of layer, against matrices.

What a linear layer hands back is the product with its matrix transposed. The matrix is found by the
forward pass alone: column i is what a one at place i makes of the output.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import toys
from keras import layers

from kerascnn import explain
from kerascnn.errors import ArgumentError


def matrix(layer, shape):
    """Of a layer that is linear but for its bias: `[outputs, inputs]`."""
    size = int(np.prod(shape))
    basis = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape)
    inputs = keras.Input(shape)
    outputs = keras.Model(inputs, layer(inputs))(basis.astype("float32"), training=False)
    outputs = np.asarray(outputs).reshape(size + 1, -1).astype("float64")
    return (outputs[1:] - outputs[0]).T


def linear_part(layer):
    """The layer without its ReLU."""
    inputs = keras.Input(layer.input.shape[1:])
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    model = keras.Model(inputs, twin(inputs))
    twin.set_weights(layer.get_weights())
    return model


def relu_back(signal, before, rule):
    signal = np.maximum(signal, 0)
    return signal * (before > 0) if rule == "guided" else signal


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


METHODS = {"deconvnet": explain.deconvnet, "guided": explain.guided_backprop}


def back_to_pixels(model, image, signal, rule):
    """From a signal at the output of `first`, the first convolution and its ReLU."""
    first = linear_part(model.get_layer("first"))
    before = np.asarray(first(image[None])).reshape(-1)
    signal = relu_back(signal, before, rule)
    return (matrix(first, toys.SHAPE).T @ signal).reshape(toys.SHAPE)


def after_first(model, image):
    return np.asarray(keras.Model(model.input, model.get_layer("first").output)(image[None]))


@pytest.mark.parametrize("name", toys.LINEAR)
def test_a_linear_layer_hands_back_its_transposed(name):
    model = toys.network(lambda x: toys.LINEAR[name]()(x), end=None)
    layer = model.layers[2]
    between = matrix(layer, model.get_layer("first").output.shape[1:])
    dense = model.get_layer("logits").kernel.numpy()[:, 1]
    for rule, method in METHODS.items():
        for image, projection in zip(toys.IMAGES, method(model, toys.IMAGES, 1)):
            close(projection, back_to_pixels(model, image, between.T @ dense, rule))
    toys.check_saliency(model)


@pytest.mark.parametrize("rule", METHODS)
def test_a_residual_block_adds_what_both_ways_hand_back(rule):
    """ReLU after the sum, and one within the convolution beside the shortcut."""
    model = toys.network(toys.residual)
    (inside,) = [x for x in model.layers if isinstance(x, layers.Conv2D) and x.name != "first"]
    beside = linear_part(inside)
    weights = matrix(beside, inside.input.shape[1:])
    dense = model.get_layer("logits").kernel.numpy()[:, 0]
    found = METHODS[rule](model, toys.IMAGES, 0)
    for image, projection in zip(toys.IMAGES, found):
        x = after_first(model, image)
        before = np.asarray(beside(x)).reshape(-1)
        total = x.reshape(-1) + np.maximum(before, 0)
        signal = relu_back(dense, total, rule)
        signal = signal + weights.T @ relu_back(signal, before, rule)
        close(projection, back_to_pixels(model, image, signal, rule))


@pytest.mark.parametrize("rule", METHODS)
def test_branches_take_their_part_and_add_up(rule):
    """Concatenated: the maps themselves, a convolution, and overlapping maxima."""
    model = toys.network(toys.branches)
    (inside,) = [x for x in model.layers if isinstance(x, layers.Conv2D) and x.name != "first"]
    beside = linear_part(inside)
    weights = matrix(beside, inside.input.shape[1:])
    dense = model.get_layer("logits").kernel.numpy()[:, 2].reshape(*toys.SHAPE[:2], -1)
    own, convolved, pooled = np.split(dense, [4, 7], axis=-1)
    found = METHODS[rule](model, toys.IMAGES, 2)
    for image, projection in zip(toys.IMAGES, found):
        x = after_first(model, image)
        signal = relu_back(convolved.reshape(-1), np.asarray(beside(x)).reshape(-1), rule)
        signal = own + (weights.T @ signal).reshape(own.shape)
        signal += through_switches(x[0], pooled, size=3, strides=1, before=1)
        close(projection, back_to_pixels(model, image, signal.reshape(-1), rule))


def through_switches(maps, signal, *, size, strides, before):
    """Each pooled unit's signal at the place of its maximum; padding never wins."""
    back = np.zeros(maps.shape)
    rows, columns, channels = signal.shape
    for row, column, channel in np.ndindex(rows, columns, channels):
        best, place = -np.inf, None
        for y in range(row * strides - before, row * strides - before + size):
            for x in range(column * strides - before, column * strides - before + size):
                if 0 <= y < maps.shape[0] and 0 <= x < maps.shape[1] and maps[y, x, channel] > best:
                    best, place = maps[y, x, channel], (y, x, channel)
        back[place] += signal[row, column, channel]
    return back


@pytest.mark.parametrize("rule", METHODS)
def test_maxima_are_undone_through_their_switches_also_padded_and_rounded_up(rule):
    """Caffe's pooling. Where a window is zero throughout, any of its places has the maximum."""
    model = toys.network(toys.WITH_RELU["padded maxima, rounded up"])
    shape = model.layers[2].output.shape[1:]
    dense = model.get_layer("logits").kernel.numpy()[:, 1].reshape(shape)
    shift = 3.0  # so that there is no ReLU at zero, and no two maxima
    model.get_layer("first").bias.assign_add(np.full(4, shift))
    found = METHODS[rule](model, toys.IMAGES, 1)
    for image, projection in zip(toys.IMAGES, found):
        signal = through_switches(after_first(model, image)[0], dense, size=3, strides=2, before=1)
        close(projection, back_to_pixels(model, image, signal.reshape(-1), rule))


def test_without_max_pooling_a_projection_is_the_same_for_every_image():
    """But for its strength: no switch and no ReLU of the image is on the way back."""
    model = toys.network(lambda x: toys.conv(activation="relu", name="second")(x))
    strength = keras.Model(model.input, model.get_layer("second").output)(toys.IMAGES)
    place = next(p for p in np.ndindex(7, 6, 4) if np.asarray(strength)[(slice(None), *p)].all())
    *unit, channel = place
    target = "second", channel, tuple(unit)
    values = np.asarray(strength)[:, unit[0], unit[1], channel]
    shapes = explain.deconvnet(model, toys.IMAGES, target) / values[:, None, None, None]
    close(shapes[1:], shapes[:1].repeat(2, axis=0))
    guided = explain.guided_backprop(model, toys.IMAGES, target) / values[:, None, None, None]
    assert np.abs(guided[1] - guided[0]).max() > 0.01 * np.abs(guided).max()


def test_lrn_is_an_identity_on_the_way_back_of_the_deconvnet_alone():
    """The paper leaves it out; guided back-propagation and the gradient take its own."""
    model = toys.network(toys.WITH_RELU["LRN"])
    dense = model.get_layer("logits").kernel.numpy()[:, 1]
    for image, projection in zip(toys.IMAGES, explain.deconvnet(model, toys.IMAGES, 1)):
        close(projection, back_to_pixels(model, image, dense, "deconvnet"))
    for image, projection in zip(toys.IMAGES, explain.guided_backprop(model, toys.IMAGES, 1)):
        x = tf.constant(after_first(model, image))
        with tf.GradientTape() as tape:
            tape.watch(x)
            normalized = model.layers[2](x)
        start = tf.constant(dense.reshape(x.shape))
        signal = tape.gradient(normalized, x, start).numpy().reshape(-1)
        assert np.abs(signal - dense).max() > 0.1 * np.abs(dense).max(), "it does something"
        close(projection, back_to_pixels(model, image, signal, "guided"))


FORMS = {
    "in the layer": lambda: [toys.conv(activation="relu", name="conv")],
    "a function": lambda: [toys.conv(activation=keras.ops.relu, name="conv")],
    "TensorFlow's": lambda: [toys.conv(activation=tf.nn.relu, name="conv")],
    "a layer in the layer": lambda: [toys.conv(activation=layers.ReLU(), name="conv")],
    "a layer": lambda: [toys.conv(name="conv"), layers.ReLU()],
    "a layer that says so": lambda: [toys.conv(name="conv"), layers.ReLU(None, 0.0, 0.0)],
    "an activation": lambda: [toys.conv(name="conv"), layers.Activation("relu")],
    "an operation": lambda: [toys.conv(name="conv"), keras.ops.relu],
    "TensorFlow's as an activation": lambda: [
        toys.conv(name="conv"),
        layers.Activation(tf.nn.relu),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_relu_is_the_same_wherever_it_is_written(form):
    def body(x):
        for part in FORMS[form]():
            x = part(x)
        return x

    model, plain = toys.network(body), toys.network(lambda x: layers.ReLU()(toys.conv()(x)))
    for method in (*METHODS.values(), explain.saliency):
        close(method(model, toys.IMAGES, 1), method(plain, toys.IMAGES, 1))


@pytest.mark.parametrize("name", [*toys.OTHER_ACTIVATIONS, *toys.OTHER_BODIES])
def test_what_is_not_relu_is_refused_by_name_where_relu_defines_the_method(name):
    """Below it, and for the gradient, nothing is refused."""
    if name in toys.OTHER_BODIES:
        body, layer = toys.OTHER_BODIES[name]
    else:
        body, layer = (lambda x: toys.OTHER_ACTIVATIONS[name]()(x)), "bend"
    model = toys.network(body, end=None)
    for method in METHODS.values():
        with pytest.raises(ArgumentError, match=rf"toy: .*ReLU.*saliency.*Received: {layer}"):
            method(model, toys.IMAGES, 1)
        assert method(model, toys.IMAGES, ("first", 1)).any()
    toys.check_saliency(model)
