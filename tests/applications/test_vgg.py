"""VGG beyond its layer lists, which tests/test_exactness.py compares with the paper's."""

import keras
import numpy as np
import pytest
import tiny

from kerascnn.applications import vgg
from kerascnn.applications.vgg import VGG11, VGG11BN, VGG16, VGG16C
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

TINY = tiny.TinyVGG


@pytest.mark.parametrize("name", ["VGG16", "VGG19"])
def test_layers_have_the_names_of_keras_applications(name):
    """Code that asks for `block5_conv3` or `fc2` finds it, with the same shapes."""
    with without_values():
        theirs = getattr(keras.applications, name)(weights=None)
        ours = getattr(vgg, name)()
    renamed = {"predictions": "logits", theirs.layers[0].name: "input"}
    for layer in theirs.layers:
        mine = ours.get_layer(renamed.get(layer.name, layer.name))
        assert mine.output.shape == layer.output.shape
        assert [w.shape for w in mine.weights] == [w.shape for w in layer.weights]
    extra = {layer.name for layer in ours.layers} - {layer.name for layer in theirs.layers}
    assert {n.rpartition("_")[2] for n in extra} == {"relu", "dropout", "logits", "input"}


@pytest.mark.parametrize("side", [32, 33, 63, 65])
def test_equals_keras_applications_at_odd_sizes(side):
    theirs = keras.applications.VGG16(weights=None, include_top=False)
    ours = VGG16(include_top=False)
    ours.set_weights(theirs.get_weights())
    image = np.random.default_rng(0).normal(0, 50, (1, side, side, 3)).astype("float32")
    expected = theirs(image)
    np.testing.assert_allclose(ours(image), expected, atol=1e-4 * np.abs(expected).max())


def test_configuration_c_ends_blocks_3_to_5_with_1x1():
    with without_values():
        model = VGG16C(include_top=False)
    sides = {
        layer.name: layer.kernel_size[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    small = {name for name, side in sides.items() if side == 1}
    assert small == {"block3_conv3", "block4_conv3", "block5_conv3"}
    assert len(sides) == 13


def test_lrn_follows_the_first_convolution_only():
    model = TINY(include_top=False, norm="lrn")
    norms = [layer for layer in model.layers if type(layer).__name__.startswith("Local")]
    assert [layer.name for layer in norms] == ["block1_lrn"]
    assert norms[0].input is model.get_layer("block1_conv1_relu").output
    assert (norms[0].size, norms[0].k, norms[0].alpha, norms[0].beta) == (5, 2.0, 1e-4, 0.75)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("conv-bn-act", ["block1_conv1", "block1_conv1_bn", "block1_conv1_relu", "block1_pool"]),
        ("conv-act-bn", ["block1_conv1", "block1_conv1_relu", "block1_conv1_bn", "block1_pool"]),
    ],
)
def test_order_of_normalization(order, names):
    model = TINY(include_top=False, norm="batch", order=order)
    assert [layer.name for layer in model.layers[1:5]] == names
    assert model.get_layer("block1_conv1").use_bias  # torchvision keeps it


def test_grid_gives_the_same_weights_at_every_size():
    """torchvision's forms average to 7×7; the paper's own flatten what there is."""
    assert VGG11BN.cost((288, 255, 3)).params == VGG11BN.card.params
    assert VGG11.cost((288, 255, 3), grid=7).params == VGG11.card.params
    larger = (9 * 7 - 7 * 7) * 512 * 4096
    assert VGG11.cost((288, 255, 3)).params == VGG11.card.params + larger
    model = TINY(input_shape=(None, None, 3), grid=2)
    assert model(np.zeros((1, 40, 99, 3), "float32")).shape == (1, 1000)


def test_maps_may_be_padded_more_and_pooled_up_as_by_caffe():
    """FCN's 100 zeros; Faster R-CNN's 600×800 pixels become 38×50 and not 37×50."""
    padded = TINY(input_shape=(50, 50, 3), include_top=False, stem_padding=100)
    assert padded.get_layer("block1_conv1").output.shape[1] == 50 + 200 - 2
    plain, ceil = (VGG16(include_top=False, pool_ceil=up, widths=(1,) * 5) for up in (False, True))
    shape = (1, 600, 800, 3)
    assert plain.compute_output_shape(shape) == (1, 18, 25, 1)
    assert ceil.compute_output_shape(shape) == (1, 19, 25, 1)
    names = [layer.name for layer in ceil.layers]
    assert names == [layer.name for layer in plain.layers]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1, 1)}, "widths needs 2 values, one for each stage"),
        ({"pointwise_blocks": 6}, "pointwise_blocks must be at most the number of blocks, 5"),
        ({"depths": (1, 1, 0, 1, 1)}, "depths must be"),
        ({"kernels": 0}, "kernels must be"),
        ({"kernels": (3, 3)}, "kernels needs 5 values, one for each of depths"),
    ],
)
def test_illegal_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        VGG11.cost(**arguments)
