"""ZFNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import pytest
from tiny import TinyZFNet

from kerascnn.applications.zfnet import ZFNet
from kerascnn.errors import ArgumentError
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
