"""Evaluation protocols equal the plain Keras calls that the papers' words describe."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data.dataset import ArraySplit
from kerascnn.errors import ArgumentError
from kerascnn.training.protocols import predict, rank
from kerascnn.training.recipes import Protocol

SIZE = (12, 12)


@pytest.fixture(scope="module")
def network():
    """Flattened 3×3 maps and two dense layers, as AlexNet's and VGG's heads are."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(7, name="logits")(x))


def split(side, count=5):
    images = np.random.default_rng(side).integers(0, 256, (count, side, side, 3)).astype("uint8")
    return ArraySplit(images, np.arange(count, dtype="int32"))


def predicted(network, splits, **protocol):
    return predict(
        network,
        splits,
        Protocol(**protocol),
        is_logits=True,
        prepare=lambda images: tf.cast(images, "float32") / 255,
        size=SIZE,
        batch_size=2,
    )


def softmax(scores):
    share = np.exp(scores - scores.max(-1, keepdims=True))
    return share / share.sum(-1, keepdims=True)


def plain(network, images):
    return softmax(network.predict(images / 255, verbose=0))


def test_ten_crops_are_ten_predictions_averaged(network):
    """AlexNet, 4.1: corners and centre, mirrored too; the softmax is what is averaged."""
    images = split(16)
    i = images.images.astype("float32")
    crops = [i[:, :12, :12], i[:, :12, 4:], i[:, 4:, :12], i[:, 4:, 4:], i[:, 2:14, 2:14]]
    crops += [crop[:, :, ::-1] for crop in crops]
    expected = np.mean([plain(network, crop) for crop in crops], axis=0)
    found = predicted(network, [images], views="10-crop")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_dense_at_the_native_size_is_the_single_view(network):
    images = split(12)
    single = predicted(network, [images])
    np.testing.assert_allclose(predicted(network, [images], views="dense"), single, atol=1e-6)


def test_dense_averages_the_scores_of_every_window(network):
    """VGG, 3.2: of the map of class scores, then softmax, then with the mirror image."""
    images = split(20)
    i = images.images.astype("float32")

    def dense(pixels):
        # "same" padding sees the image's border once, so windows are cut from the map.
        trunk = keras.Model(network.inputs, network.layers[2].output)
        maps = trunk.layers[2](trunk.layers[1](pixels / 255)).numpy()
        places = [(r, c) for r in range(3) for c in range(3)]
        scores = []
        for r, c in places:
            x = maps[:, r : r + 3, c : c + 3].reshape(len(maps), -1)
            for layer in network.layers[4:]:
                x = layer(x)
            scores.append(np.asarray(x))
        return softmax(np.mean(scores, axis=0))

    expected = (dense(i) + dense(i[:, :, ::-1])) / 2
    found = predicted(network, [images], views="dense", flip=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scales_are_averaged(network):
    small, large = split(14), split(18)
    expected = (predicted(network, [small]) + predicted(network, [large])) / 2
    np.testing.assert_allclose(predicted(network, [small, large]), expected, atol=1e-6)
    middle = large.images[:, 3:15, 3:15].astype("float32")
    np.testing.assert_allclose(predicted(network, [large]), plain(network, middle), atol=1e-6)


def test_ten_equal_crops_are_refused(network):
    with pytest.raises(ArgumentError, match="larger than the network's input of 12×12"):
        predicted(network, [split(12)], views="10-crop")


def test_rank_counts_the_classes_in_front():
    """Against sorting, with ties as argmax breaks them."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (200, 9)).astype("float32")
    labels = rng.integers(0, 9, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    found = rank(scores, labels)
    np.testing.assert_array_equal(found, (order == labels[:, None]).argmax(1))
    np.testing.assert_array_equal(found == 0, scores.argmax(1) == labels)
    top5 = np.mean([label not in row[:5] for label, row in zip(labels, order)])
    assert (found >= 5).mean() == pytest.approx(top5)
