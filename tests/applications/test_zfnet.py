"""ZFNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import numpy as np
import pytest
from tiny import TinyZFNet

import kerascnn
from kerascnn.applications.zfnet import ZFNet
from kerascnn.cost import Cost
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.keras_internals import without_values


def rounded_up(size, window):
    return -((size - window) // -2) + 1


@pytest.mark.parametrize("side", [63, 64, 65, 123, 224, 225, 227])
def test_sizes_at_odd_inputs(side):
    """Convolutions with stride 2 round down, pooling rounds up."""
    conv1 = (side + 2 - 7) // 2 + 1
    pool1 = rounded_up(conv1, 3)
    conv2 = (pool1 - 5) // 2 + 1
    pool2 = rounded_up(conv2, 3)
    expected = [conv1, pool1, conv2, pool2, rounded_up(pool2, 3)]
    with without_values():
        model = TinyZFNet(input_shape=(side, side, 3))
    names = ("conv1", "pool1", "conv2", "pool2", "pool5")
    assert [model.get_layer(name).output.shape[1] for name in names] == expected


@pytest.mark.parametrize("kernel", [7, 9, 11])
def test_larger_first_kernels_keep_the_papers_sizes(kernel):
    """The comparison of kernels that the paper makes needs maps of one size."""
    with without_values():
        model = TinyZFNet(stem_kernel=kernel)
    names = ("conv1", "conv2", "conv3", "pool5")
    assert [model.get_layer(name).output.shape[1] for name in names] == [110, 26, 13, 6]


def test_pooling_comes_before_the_normalization():
    model = TinyZFNet(include_top=False, input_shape=(63, 63, 3))
    assert model.get_layer("norm1").input is model.get_layer("pool1").output
    assert model.get_layer("norm2").input is model.get_layer("pool2").output


def test_unknown_size_gives_the_maps_of_the_known_size():
    free = TinyZFNet(include_top=False)
    for side in (66, 91):
        fixed = TinyZFNet(include_top=False, input_shape=(side, side, 3))
        fixed.set_weights(free.get_weights())
        image = np.random.default_rng(0).normal(0, 50, (1, side, side, 3)).astype("float32")
        np.testing.assert_allclose(free(image), fixed(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"widths": (96, 256, 512, 1024, 512)},  # table 2's larger layers 3 to 5
        {"norm": "batch", "order": "conv-act-bn", "hidden": (64, 32, 16)},
        {"stem_kernel": 11, "stem_stride": 4, "kernels": (3, 5, 3, 1), "pool": "avg"},
        {"norm": "none", "pool_size": 2, "grid": 4, "dropout": 0.0, "activation": "silu"},
    ],
)
@pytest.mark.parametrize("shape", [(224, 224, 3), (171, 180, 4)])
def test_cost_is_the_built_models(arguments, shape):
    with without_values():
        model = ZFNet(input_shape=shape, classes=7, **arguments)
    profile = kerascnn.profile(model)
    assert ZFNet.cost(shape, 7, **arguments) == Cost(profile.params, profile.macs)


def test_smallest_input_builds_and_one_less_is_refused():
    least = ZFNet.card.smallest_input[0]
    model = TinyZFNet(include_top=False, input_shape=(least, least, 3))
    assert model(np.zeros((1, least, least, 3), "float32")).shape[1:3] == (1, 1)
    with pytest.raises(InputSizeError, match=f"{least}×{least}"):
        TinyZFNet(include_top=False, input_shape=(least - 1, least, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (96, 256)}, "widths needs 5"),
        ({"kernels": (5, 3, 3, 3, 3)}, "kernels needs 4"),
        ({"groups": 2}, "no argument 'groups'"),
    ],
)
def test_illegal_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ZFNet.cost(**arguments)
