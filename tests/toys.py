"""Small networks with what makes explaining go wrong, one thing each."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kerascnn import explain
from kerascnn.layers import (
    AveragePooling,
    BatchNormalization,
    GridPooling,
    GroupedConv2D,
    LocalResponseNormalization,
    MaxPooling,
    PaddedIdentity,
)

SHAPE = (7, 6, 2)
IMAGES = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype("float32")


def settled(model, seed=0):
    """The model with random weights, variances among them above zero."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        values = random.normal(size=variable.shape) / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        positive = "variance" in variable.path or "gamma" in variable.path
        variable.assign(np.abs(values) + 0.5 if positive else values)
    return model


def network(body, end="softmax", *, classes=3):
    """Images, a convolution with ReLU, `body`, and a classifier."""
    inputs = keras.Input(SHAPE, name="image")
    x = body(layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs))
    x = layers.Flatten()(x) if len(x.shape) == 4 else x
    outputs = layers.Dense(classes, activation=end, name="logits")(x)
    return settled(keras.Model(inputs, outputs, name="toy"))


def gradient(model, function):
    """Of a function of the model's own outputs with regard to the images, by TensorFlow."""
    pixels = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        value = function(model(pixels, training=False))
    return tape.gradient(value, pixels).numpy()


def check_saliency(model):
    """It is the gradient that TensorFlow takes of a model that ends in scores."""
    expected = gradient(model, lambda scores: scores[:, 1])
    largest = np.abs(expected).max()
    assert largest > 0
    found = explain.saliency(model, IMAGES, 1, signed=True)
    np.testing.assert_allclose(found, expected, atol=1e-5 * largest, rtol=0)


def conv(filters=4, **arguments):
    return layers.Conv2D(filters, 3, padding="same", **arguments)


def residual(x):
    return layers.ReLU()(layers.Add()([x, conv(activation="relu")(x)]))


def branches(x):
    return layers.Concatenate()(
        [x, conv(3, activation="relu")(x), layers.MaxPooling2D(3, 1, "same")(x)]
    )


def squeeze_and_excitation(x):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    return layers.Multiply()([x, gate])


def twice(x):
    shared = conv(activation="relu", name="shared")
    return shared(shared(x))


def nested(x):
    inside = keras.Input(x.shape[1:])
    y = conv(activation="relu", name="inner")(inside)
    y = layers.BatchNormalization(name="inner_bn")(y)
    return keras.Model(inside, y, name="inside")(x)


def sequential(x):
    return keras.Sequential([conv(activation="relu", name="inner"), layers.Dropout(0.5)])(x)


def operations(x):
    x = ops.relu(ops.pad(conv()(x), ((0, 0), (1, 1), (0, 0), (0, 0))))
    return ops.mean(x[:, 1:], axis=(1, 2)) * 2.0 + 1.0


LINEAR = {
    "average pooling, padded, rounded up": lambda: AveragePooling(3, 2, padding=1, ceil=True),
    "average pooling of Keras, same": lambda: layers.AveragePooling2D(3, 2, padding="same"),
    "grid pooling": lambda: GridPooling(3),
    "grid pooling that repeats": lambda: GridPooling(8),
    "grouped convolution": lambda: GroupedConv2D(6, 3, groups=2),
    "strided convolution": lambda: layers.Conv2D(5, 3, strides=2, padding="same"),
    "dilated convolution": lambda: layers.Conv2D(5, 2, dilation_rate=2),
    "transposed convolution": lambda: layers.Conv2DTranspose(3, 3, strides=2),
    "depthwise convolution": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable convolution": lambda: layers.SeparableConv2D(5, 3),
    "batch normalization": lambda: BatchNormalization(),
    "batch normalization of Keras": lambda: layers.BatchNormalization(),
    "shortcut A": lambda: PaddedIdentity(6, 2),
    "zero padding": lambda: layers.ZeroPadding2D(((0, 1), (2, 0))),
    "cropping": lambda: layers.Cropping2D(1),
    "up-sampling": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "global average pooling": lambda: layers.GlobalAveragePooling2D(),
    "dropout": lambda: layers.Dropout(0.5),
    "dropout that is told to train": lambda: lambda x: layers.Dropout(0.5)(x, training=True),
    "augmentation": lambda: layers.RandomTranslation(0.3, 0.3),
    "rescaling": lambda: layers.Rescaling(-2.0, 1.0),
    "a dense layer on each place": lambda: layers.Dense(5),
}
"""Layers that are linear but for a bias, in inference."""

WITH_RELU = {
    "padded maxima, rounded up": lambda x: MaxPooling(3, 2, padding=1, ceil=True)(x),
    "global maxima": lambda x: layers.GlobalMaxPooling2D()(x),
    "LRN": lambda x: LocalResponseNormalization(alpha=0.5)(x),
    "residual": residual,
    "branches": branches,
    "twice": twice,
    "nested": nested,
    "sequential": sequential,
    "operations": operations,
}
"""Bodies whose only activation is ReLU."""


@keras.saving.register_keras_serializable("toys")
class Doubled(layers.Conv2D):
    """Its activation isn't the last that it does."""

    def call(self, inputs):
        """The convolution with its activation, and one less."""
        return 2 * super().call(inputs) - 1


class ReLU(layers.Layer):
    """Another one than Keras's."""

    def call(self, inputs):
        """Its slope is two."""
        return 2 * ops.relu(inputs)


def relu(x):
    """Another one than Keras's."""
    return ops.maximum(x, 0.1 * x)


OTHER_ACTIVATIONS = {
    "relu6": lambda: layers.ReLU(6.0, name="bend"),
    "relu6 as a function": lambda: layers.Activation("relu6", name="bend"),
    "leaky relu": lambda: layers.LeakyReLU(name="bend"),
    "leaky through its slope": lambda: layers.ReLU(negative_slope=0.1, name="bend"),
    "a threshold": lambda: layers.ReLU(threshold=0.1, name="bend"),
    "prelu": lambda: layers.PReLU(name="bend"),
    "elu": lambda: layers.ELU(name="bend"),
    "tanh in a convolution": lambda: conv(activation="tanh", name="bend"),
    "sigmoid in a dense layer": lambda: layers.Dense(4, activation="sigmoid", name="bend"),
    "gelu": lambda: layers.Activation("gelu", name="bend"),
    "silu": lambda: conv(activation="silu", name="bend"),
    "softmax": lambda: layers.Softmax(name="bend"),
    "a layer in a layer": lambda: conv(activation=layers.LeakyReLU(), name="bend"),
    "a layer called like ReLU": lambda: ReLU(name="bend"),
    "a function called like relu": lambda: conv(activation=relu, name="bend"),
    "a relu inside of a layer": lambda: Doubled(4, 3, activation="relu", name="bend"),
    "a relu in a wrapped layer": lambda: layers.SpectralNormalization(
        conv(activation="relu"), name="bend"
    ),
    "a function of someone's": lambda: conv(activation=lambda x: x * x, name="bend"),
}
OTHER_BODIES = {
    "squeeze and excitation": (squeeze_and_excitation, "gate"),
    "the larger of two": (lambda x: ops.maximum(conv()(x), 0.0), "maximum"),
    "clipped": (lambda x: ops.clip(conv()(x), 0.0, 6.0), "clip"),
    "tanh of keras.ops": (lambda x: ops.tanh(conv()(x)), "tanh"),
    "hard swish of keras.ops": (lambda x: ops.hard_swish(conv()(x)), "hard_s"),
}
