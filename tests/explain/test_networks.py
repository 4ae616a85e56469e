"""Whole networks are explained: one of each family of ours, a plugin's, and keras.applications'."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import kerascnn
from kerascnn import explain
from kerascnn.applications.googlenet import Widths
from kerascnn.checks.case import settle
from kerascnn.errors import ArgumentError
from kerascnn.explain.graph import Replay

NOT_RELU = {"lenet5": "conv1_tanh", "lenet5_1998": "C1_squash"}
# The check "explain" of the conformance suite looks at all of them without Grad-CAM.
FAST = ("TinyGoogLeNet", "TinyResNetV2", *NOT_RELU)


def image_for(model):
    shape = (1, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def first(outputs):
    return outputs[0] if isinstance(outputs, list) else outputs


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def check_gradients(model, image):
    """Plain gradients and Grad-CAM are those that TensorFlow takes of the model itself.

    Of the difference between two classes' scores, which is that of their probabilities' logarithms.
    """
    name = Replay(model).last_map()
    whole = keras.Model(model.input, [model.get_layer(name).output, first(model.outputs)])
    twice, classes = np.concatenate([image, image]), [2, 0]  # two: see kerascnn/explain/graph.py
    pixels = tf.constant(twice)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pixels)
        maps, outputs = whole(pixels, training=False)
        share = tf.math.log(outputs)
        difference = share[:, 2] - share[:, 0]
    one, other = explain.saliency(model, twice, classes, signed=True)
    expected = tape.gradient(difference, pixels)[0].numpy()
    assert np.abs(expected).max() > 0
    close(one - other, expected)
    one, other = explain.grad_cam(model, twice, classes, signed=True)
    weights = tape.gradient(difference, maps).numpy().mean(axis=(1, 2))[0]
    close(one - other, (weights * maps[0].numpy()).sum(axis=-1))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in [*tiny.ALL, *NOT_RELU]
    ],
)
def test_a_network_of_each_family_is_explained(name):
    architecture = tiny.ALL[name] if name in tiny.ALL else kerascnn.get(name)
    channels = architecture.card.input_shape[2]
    side = max(32, architecture.network(classes=10).smallest_input())
    keras.utils.set_random_seed(1)
    model = architecture(input_shape=(side, side, channels), classes=10)
    image = image_for(model)
    settle(model, image)
    check_gradients(model, image)
    if name in NOT_RELU:
        with pytest.raises(ArgumentError, match=f"Received: {NOT_RELU[name]} with"):
            explain.deconvnet(model, image, 1)
    else:
        projection = explain.deconvnet(model, image, 1)
        assert projection.shape == image.shape
        assert np.isfinite(projection).all()
        assert projection.any()


def test_of_googlenet_the_main_output_is_explained():
    """Its auxiliary heads, whose scores are others, get no part of the signal."""
    keras.utils.set_random_seed(1)
    narrow = dict.fromkeys(Widths._fields, (4,) * 7)
    arguments = {"depths": (2, 5), "auxiliary": True, "auxiliary_pool": "grid", **narrow}
    model = tiny.TinyGoogLeNet(input_shape=(32, 32, 3), classes=4, **arguments)
    assert len(model.outputs) == 3
    alone = keras.Model(model.input, model.outputs[0])
    image = image_for(model)
    np.testing.assert_allclose(
        explain.deconvnet(model, image, 1), explain.deconvnet(alone, image, 1)
    )
    with pytest.raises(ArgumentError, match=r"from 0 to 3\. Received: 4"):
        explain.saliency(model, image, 4)


def test_a_plugin_s_network_is_explained(monkeypatch):
    template = Path(__file__).parents[2] / "plugins" / "template"
    monkeypatch.syspath_prepend(template)
    from kerascnn_template.allcnn import AllCNNC

    model = AllCNNC(input_shape=(32, 32, 3), classes=4, widths=(4, 8))
    check_gradients(model, image_for(model))
    assert explain.deconvnet(model, image_for(model), ("C2", 0)).any()
    other = AllCNNC(input_shape=(32, 32, 3), classes=4, widths=(4, 8), activation="elu")
    with pytest.raises(ArgumentError, match="Received: block1_conv1_elu with elu"):
        explain.deconvnet(other, image_for(other), 1)


@pytest.mark.slow
def test_resnet_of_keras_applications_is_explained():
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=4)
    check_gradients(model, image_for(model))
    assert explain.deconvnet(model, image_for(model), ("conv4_block6_out", 3)).any()


@pytest.mark.slow
def test_relu6_of_keras_applications_is_refused_by_the_layer_s_name():
    model = keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=4
    )
    check_gradients(model, image_for(model))
    with pytest.raises(ArgumentError, match=r"Received: Conv1_relu with max_value=6\.0"):
        explain.deconvnet(model, image_for(model), 1)
