"""AlexNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import keras
import numpy as np
import pytest
import tiny

from kerascnn.applications.alexnet import AlexNet, AlexNetOWT
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

TINY = tiny.TinyAlexNet
TINY_OWT = tiny.TinyAlexNetOWT


def pooled(size):
    """Caffe's 3×3 pooling with stride 2, rounded up."""
    return -((size - 3) // -2) + 1


@pytest.mark.parametrize("side", [63, 64, 65, 66, 123, 224, 225, 226, 227, 228])
def test_sizes_are_those_of_the_authors_code(side):
    """`1 + ceil((size - kernel) / stride)` for convolution and pooling, at every input size."""
    conv1 = -((side - 11) // -4) + 1
    sizes = [conv1, pooled(conv1), pooled(pooled(conv1)), pooled(pooled(pooled(conv1)))]
    with without_values():
        model = TINY(input_shape=(side, side, 3))
    found = [model.get_layer(n).output.shape[1] for n in ("conv1", "pool1", "pool2", "pool5")]
    assert found == sizes


def test_224_is_227_with_zeros_at_the_right_and_bottom():
    """The windows of the paper's 224 pixels hang over the border; the others' 227 do not."""
    model = TINY(include_top=False, input_shape=(224, 224, 3))
    conv1 = keras.Model(model.input, model.get_layer("conv1").output)
    image = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    wider = np.pad(image, ((0, 0), (0, 3), (0, 3), (0, 0)))
    kernel, bias = model.get_layer("conv1").get_weights()
    expected = keras.ops.conv(wider, kernel, strides=4, padding="valid") + bias
    assert expected.shape[1] == 55
    np.testing.assert_allclose(conv1(image), expected, rtol=1e-4, atol=1e-4)


def test_towers_meet_in_conv3_only():
    """Figure 2: half of the maps of conv2 see one half of conv1's; each map of conv3 sees all."""
    import tensorflow as tf

    model = TINY(include_top=False, input_shape=(63, 63, 3), norm="none")
    names = ("conv2", "conv3")
    tail = keras.Model(
        model.get_layer("pool1").output, [model.get_layer(name).output for name in names]
    )
    maps = tf.Variable(np.random.default_rng(0).uniform(size=(1, 7, 7, 8)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        conv2, conv3 = tail(maps)
        first_tower = tf.reduce_sum(conv2[..., :8])
        one_map = tf.reduce_sum(conv3[..., 0])
    seen = np.abs(tape.gradient(first_tower, maps)).sum(axis=(0, 1, 2))
    assert np.all(seen[:4] > 0)
    assert np.all(seen[4:] == 0)
    assert np.all(np.abs(tape.gradient(one_map, maps)).sum(axis=(0, 1, 2)) > 0)


@pytest.mark.parametrize(
    ("convention", "k", "divide"),
    [("paper", 2.0, False), ("cuda-convnet", 2.0, True), ("caffe", 1.0, True)],
)
def test_lrn_follows_the_relu_with_the_constants_asked_for(convention, k, divide):
    model = TINY(input_shape=(63, 63, 3), lrn=convention)
    norms = [model.get_layer(name) for name in ("norm1", "norm2")]
    for norm, source in zip(norms, ("conv1_relu", "conv2_relu")):
        assert norm.input is model.get_layer(source).output
        assert (norm.size, norm.k, norm.alpha, norm.beta) == (5, k, 1e-4, 0.75)
        assert norm.divide_alpha is divide


def test_dropout_is_behind_the_hidden_layers_or_before_them():
    """The paper's two towers drop the outputs of fc6 and fc7, torchvision their inputs."""
    paper = [layer.name for layer in TINY(input_shape=(63, 63, 3)).layers]
    assert paper[-7:] == [
        *("fc6", "fc6_relu", "fc6_dropout", "fc7", "fc7_relu", "fc7_dropout"),
        "logits",
    ]
    owt = [layer.name for layer in TINY_OWT(input_shape=(63, 63, 3)).layers]
    assert owt[-7:] == [
        *("fc6_dropout", "fc6", "fc6_relu", "fc7_dropout", "fc7", "fc7_relu"),
        "logits",
    ]


def test_owt_has_the_same_weights_at_every_size():
    """torchvision averages the last map to 6×6; without the grid the map is flattened."""
    assert AlexNetOWT.cost((288, 256, 3)).params == AlexNetOWT.card.params
    assert AlexNetOWT.cost((288, 256, 3), grid=0).params == AlexNetOWT.card.params + (
        (8 * 7 - 6 * 6) * 256 * 4096
    )
    model = TINY_OWT(input_shape=(None, None, 3))
    assert model(np.zeros((1, 70, 99, 3), "float32")).shape == (1, 1000)


def test_ungrouped_network_has_the_published_count():
    """Ungrouping adds 1,413,120 parameters, the number of a common mistake."""
    assert AlexNet.cost(groups=1).params == 62_378_344


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (96, 255, 384, 384, 256)}, "groups must divide"),
        ({"groups": 3, "widths": (96, 255, 384, 384, 256)}, "groups must divide"),
        ({"widths": (96, 256, 384)}, "widths needs 5"),
        ({"kernels": (5, 3)}, "kernels needs 4"),
        ({"pool_size": 6}, "pool_size must be"),
        ({"norm": "layer"}, "norm must be"),
    ],
)
def test_illegal_arguments_are_refused_before_anything_is_built(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        AlexNet.cost(**arguments)
    with pytest.raises(ArgumentError, match=message):
        AlexNet(**arguments)


def test_dense_layers_need_a_known_size():
    with pytest.raises(ArgumentError, match="include_top=False"):
        TINY(input_shape=(None, None, 3))
