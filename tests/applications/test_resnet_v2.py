"""Pre-activation beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import keras
import numpy as np
import pytest
import tiny
from facts import FACTS

from kerascnn.applications.resnet_v2 import ResNet50V2, ResNet164V2CIFAR
from kerascnn.cost import Cost
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

TINY = tiny.TinyResNetV2
KERAS_FORM = {"first_activation": "unit", "stem_pool": "keras", "stride_at": "last"}


def test_the_papers_110_layers_of_basic_units():
    """Table 3's pre-activation ResNet-110: basic units and parameter-free shortcuts."""
    found = ResNet164V2CIFAR.cost(block="basic", shortcut="A")
    fact = FACTS["cifar_preact_resnet110"]
    assert found == Cost(fact.params, fact.macs)


def test_units_whose_branches_are_zero_pass_the_signal_unchanged():
    """Equation 4: the signal at any unit is an earlier one plus the branches between them."""
    model = TINY(include_top=False, depths=(4, 1), activation="tanh")
    for number in (2, 3, 4):
        last = model.get_layer(f"conv2_block{number}_3_conv")
        last.kernel.assign(keras.ops.zeros_like(last.kernel))
    names = ("conv2_block1_out", "conv2_block4_out")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    first, last = taps(np.random.default_rng(0).normal(size=(1, 32, 32, 3)))
    assert np.min(first) < 0  # nothing cuts off what is negative
    np.testing.assert_array_equal(first, last)


def test_first_activation_is_shared_by_both_paths_of_the_first_unit():
    """Section 3.3: "we adopt the first activation right after the stand-alone first layer"."""
    model = ResNet164V2CIFAR(depths=(1, 1, 1))
    for name in ("conv2_block1_0_conv", "conv2_block1_1_conv"):
        assert model.get_layer(name).input is model.get_layer("conv1_relu").output
    names = [layer.name for layer in ResNet50V2(input_shape=(32, 32, 3)).layers]
    assert "conv2_block1_preact_bn" not in names
    assert names.index("conv1_relu") < names.index("pool1_pool")
    assert [name for name in names if "bn" in name][-1] == "post_bn"


def test_projections_see_the_activated_input_and_are_not_normalized():
    with without_values():
        model = ResNet50V2()
    for stage in (3, 4, 5):
        projection = model.get_layer(f"conv{stage}_block1_0_conv")
        assert projection.input is model.get_layer(f"conv{stage}_block1_preact_relu").output
        assert projection.strides == (2, 2)
    assert not any(layer.name.endswith("_0_bn") for layer in model.layers)


def test_stride_at_last_is_the_form_of_keras_applications():
    """Numbers are compared elsewhere; here the layers' names, strides and shapes."""
    with without_values():
        ours = ResNet50V2(use_bias=True, **KERAS_FORM)
        theirs = keras.applications.ResNet50V2(weights=None)
    for layer in theirs.layers:
        if not layer.weights or layer.name == "predictions":
            continue
        twin = ours.get_layer(layer.name)
        assert twin.output.shape == layer.output.shape, layer.name
        assert [w.shape for w in twin.weights] == [w.shape for w in layer.weights], layer.name
        if isinstance(layer, keras.layers.Conv2D):
            assert twin.strides == layer.strides, layer.name
    assert ours.count_params() == theirs.count_params()


def test_wrong_arguments_say_what_is_expected():
    with pytest.raises(ArgumentError, match="one for each stage that depths lists"):
        ResNet50V2(kernels=(3, 3))
    with pytest.raises(ArgumentError, match=r"'A', 'B', 'C'\. Received: 'none'"):
        ResNet50V2(shortcut="none")
    with pytest.raises(ArgumentError, match="fewer maps"):
        ResNet50V2(shortcut="A", widths=(64, 128, 64, 64))
