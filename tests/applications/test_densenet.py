"""DenseNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import keras
import numpy as np
import pytest
import tiny

from kerascnn.applications.densenet import DenseNet40K12CIFAR, DenseNet121, DenseNetBC100K12CIFAR
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

TINY = tiny.TinyDenseNet


@pytest.mark.parametrize(
    ("layers", "growth_rate", "architecture"),
    [(40, 12, DenseNet40K12CIFAR), (100, 12, DenseNetBC100K12CIFAR)],
)
def test_name_counts_the_layers_with_weights(layers, growth_rate, architecture):
    """L counts convolutions and the classifier, k the maps that each layer adds."""
    with without_values():
        model = architecture()
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    assert sum(isinstance(layer, kinds) for layer in model.layers) == layers
    assert model.get_layer("conv3_block1_2_conv").filters == growth_rate


def test_released_code_begins_with_2k_filters():
    """The count that the authors' Torch code has where it departs from the paper."""
    assert DenseNet40K12CIFAR.cost(stem_width=24).params == 1_059_298


def test_new_maps_come_behind_the_old_ones():
    model = TINY(include_top=False)
    names = ("pool1_pool", "conv2_block1_2_conv", "conv2_block1_concat")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    old, new, both = taps(np.random.default_rng(0).normal(size=(1, 32, 32, 3)))
    np.testing.assert_array_equal(both, np.concatenate([old, new], axis=-1))
    assert new.shape[-1] == 4


@pytest.mark.parametrize(
    ("compression", "kept"), [(1.0, 100), (0.5, 50), (0.29, 29), (0.333, 33), (0.01, 1)]
)
def test_transition_keeps_the_floor_of_its_share(compression, kept):
    """⌊θm⌋, also where θm is 28.999999999999996 in binary; never nothing."""
    with without_values():
        model = TINY(stem_width=92, growth_rate=4, compression=compression)
    assert model.get_layer("conv2_block2_concat").output.shape[-1] == 100
    assert model.get_layer("pool2_conv").filters == kept


def test_dropout_follows_every_convolution_but_the_first():
    """Section 3: "after each convolutional layer (except the first one)"; none by default."""
    model = TINY(dropout=0.2)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    dropouts = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert {x.rate for x in dropouts} == {0.2}
    dropped = [x.input for x in dropouts]
    assert [any(c.output is x for x in dropped) for c in convolutions] == [False, *[True] * 9]
    assert not any(isinstance(x, keras.layers.Dropout) for x in TINY().layers)


def test_every_convolution_but_the_first_reads_a_normalized_map():
    """The composite function: normalization, non-linearity, convolution."""
    for arguments in ({}, {"bottleneck": False}, {"stem_pool": "none"}):
        layers = {layer.name: layer for layer in TINY(**arguments).layers}
        for name, layer in layers.items():
            if name.endswith("_conv") and name != "conv1_conv":
                before = {"1": "0", "2": "1" if arguments != {"bottleneck": False} else "0"}
                prefix, _, number = name.removesuffix("_conv").rpartition("_")
                unit = f"{prefix}_{before[number]}" if "block" in name else f"{prefix}{number}"
                assert layer.input is layers[f"{unit}_relu"].output
                assert layers[f"{unit}_relu"].input is layers[f"{unit}_bn"].output


@pytest.mark.parametrize("side", [224, 123, 61, 29])
def test_stem_rounds_up_and_transitions_round_down(side):
    """Padded windows in the stem; 2×2 windows without padding in the transitions."""
    with without_values():
        model = DenseNet121(input_shape=(side, side, 3), include_top=False)
    for name in ("conv1_conv", "pool1_pool"):
        side = (side + 1) // 2
        assert model.get_layer(name).output.shape[1:3] == (side, side)
    for name in ("pool2_pool", "pool3_pool", "pool4_pool"):
        side //= 2
        assert model.get_layer(name).output.shape[1:3] == (side, side)


def test_wrong_arguments_say_what_is_expected():
    with pytest.raises(
        ArgumentError, match=r"kernels needs . values?, one for each stage.*\(3, 3, 3, 3\)"
    ):
        DenseNet121(kernels=(3, 3, 3, 3), depths=(6, 12))
    with pytest.raises(ArgumentError, match=r"compression must be .* 0\.01 to 1\. Received: 1\.5"):
        DenseNet121(compression=1.5)
    with pytest.raises(ArgumentError, match=r"bottleneck must be one of True, False\. Received: 4"):
        DenseNet121(bottleneck=4)
