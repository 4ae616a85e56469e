"""BN-Inception beyond its layer list, which tests/test_exactness.py compares."""

import numpy as np
import pytest
import tiny
from facts import FACTS

from kerascnn.applications.bn_inception import FIGURE_5, BNInception
from kerascnn.cost import Cost
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

TINY = tiny.TinyBNInception


def test_the_other_reading_of_figure_5():
    """4c and 4d of 576 maps, as the figure prints: projections of 96 maps there."""
    projections = [m.pool_proj - 32 * (name in ("4c", "4d")) for name, m in FIGURE_5.items()]
    fact = FACTS["bn_inception_576"]
    expected = Cost(fact.params, fact.macs)
    assert BNInception.cost(pool_proj=projections) == expected


def test_modules_that_halve_pass_their_maximum_on():
    """3c and 4e: no 1×1 branch, no projection; the last layer of each branch has the stride."""
    with without_values():
        model = BNInception()
    names = {layer.name for layer in model.layers}
    for module in ("3c", "4e"):
        name = f"inception_{module}"
        assert {f"{name}_1x1", f"{name}_pool_proj"}.isdisjoint(names)
        strides = [model.get_layer(f"{name}_{part}").strides for part in ("3x3", "double_2")]
        assert strides == [(2, 2), (2, 2)]
        assert model.get_layer(f"{name}_double_1").strides == (1, 1)
        assert model.get_layer(f"{name}_pool").output is model.get_layer(name).input[-1]


@pytest.mark.parametrize("side", [8, 14, 7, 9])
def test_halving_pool_is_caffes_at_even_sizes_and_fits_at_odd_ones(side):
    """Every maximum of 3×3 pixels from an even pixel on, cut off at the border."""
    with without_values():
        model = BNInception()
    x = np.random.default_rng(0).normal(size=(1, side, side, 320)).astype("float32")
    starts = range(0, side, 2)
    expected = [[x[0, r : r + 3, c : c + 3].max((0, 1)) for c in starts] for r in starts]
    np.testing.assert_array_equal(model.get_layer("inception_3c_pool")(x)[0], expected)
    if side % 2 == 0:
        assert len(starts) == -((side - 3) // -2) + 1  # Caffe's number of windows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (3, 5)}, r"conv_1x1 needs 8 values, one for each module that depths"),
        ({"conv_3x3": (8,)}, r"conv_3x3 needs 10 values.*Received: \(8,\)"),
        ({"conv_3x3": (0,) * 10}, r"conv_3x3 must be .* from 1 to 8192"),
        ({"module_pools": ("avg",) * 9 + ("sum",)}, r"one of 'avg', 'max'"),
        ({"stem_widths": (8,) * 4}, r"stem_widths needs 3 values"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        BNInception(**arguments)
