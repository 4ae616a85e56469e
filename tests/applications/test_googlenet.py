"""GoogLeNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import keras
import numpy as np
import pytest
import tiny
from facts import FACTS

from kerascnn.applications import googlenet
from kerascnn.applications.bn_inception import GoogLeNetBN
from kerascnn.applications.common import ConvUnit
from kerascnn.applications.googlenet import TABLE_1, GoogLeNet
from kerascnn.cost import Cost
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.keras_internals import without_values
from kerascnn.sketch import Ledger, Sketch

TINY = tiny.TinyGoogLeNet
NARROW = dict.fromkeys(googlenet.Widths._fields, (4,) * 9)
UNIT = ConvUnit(activation="relu", batch_norm=False, use_bias=True, initializer="he_normal")


@pytest.mark.parametrize(("form", "reduce"), [("reduced", True), ("naive", False)])
def test_module_3a_with_and_without_reductions(form, reduce):
    """Figure 2: what the 1×1 reductions save, layer by layer."""
    fact = FACTS[f"inception_module_3a_{form}"]
    shape = fact.input
    inputs = keras.Input(shape)
    module = {"name": "inception_3a", "reduce": reduce}
    model = keras.Model(inputs, googlenet.module(inputs, TABLE_1["3a"], UNIT, **module))
    for layer in fact.layers:
        name = layer["name"].removeprefix("inc3a/")
        twin = model.get_layer("inception_3a" if name == "output" else f"inception_3a_{name}")
        assert twin.output.shape[1:] == layer["out"]
        assert twin.count_params() == layer["params"]
    assert model.count_params() == fact.params
    sketch = googlenet.module(
        Sketch((None, *shape), ledger := Ledger()), TABLE_1["3a"], UNIT, **module
    )
    assert sketch.shape == model.output.shape
    assert (ledger.params, ledger.macs) == (fact.params, fact.macs)


def test_branches_come_in_the_papers_order():
    """1×1, 3×3, 5×5, pooling: foreign weights of the next layer depend on it."""
    model = TINY(include_top=False)
    branches = [model.get_layer(f"inception_3a_{n}_relu") for n in ("1x1", "3x3", "5x5")]
    branches.append(model.get_layer("inception_3a_pool_proj_relu"))
    outputs = [layer.output for layer in branches] + [model.get_layer("inception_3a").output]
    *parts, joined = keras.Model(model.input, outputs)(np.ones((1, 40, 40, 3), "float32"))
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), joined)


@pytest.mark.parametrize("architecture", [GoogLeNet, GoogLeNetBN], ids=lambda a: a.name)
def test_auxiliary_heads_are_counted_and_hang_on_4a_and_4d(architecture):
    fact = FACTS[f"{architecture.name}?auxiliary"]
    expected = Cost(fact.params, fact.macs)
    assert architecture.cost(auxiliary=True) == expected
    with without_values():
        model = architecture(auxiliary=True)
    assert model.output_names == ["logits", "aux1_logits", "aux2_logits"]
    assert [tensor.shape for tensor in model.outputs] == [(None, 1000)] * 3
    for number, module in enumerate(("4a", "4d"), start=1):
        pool = model.get_layer(f"aux{number}_pool")
        assert pool.input is model.get_layer(f"inception_{module}").output
        assert pool.output.shape[1:3] == (4, 4)
        assert model.get_layer(f"aux{number}_dropout").rate == 0.7
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == fact.params


def test_auxiliary_heads_leave_the_trunk_alone():
    """The same layers in the same order, so the weights fit with and without them."""
    small = {**NARROW, "stem_widths": (4, 4, 8), "input_shape": (64, 64, 3), "classes": 5}
    plain, helped = GoogLeNet(**small), GoogLeNet(auxiliary=True, auxiliary_pool="grid", **small)
    for layer in plain.layers:
        if layer.weights:
            helped.get_layer(layer.name).set_weights(layer.get_weights())
    image = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(plain(image), helped(image)[0])


def test_auxiliary_heads_in_the_middle_of_another_graph():
    """`input_tensor` that layers of the user's own have made."""
    inputs = keras.Input((64, 64, 1), name="grey")
    x = keras.layers.Conv2D(3, 1, name="colour")(inputs)
    small = {**NARROW, "stem_widths": (4, 4, 8), "classes": 5}
    model = GoogLeNet(input_tensor=x, auxiliary=True, auxiliary_pool="grid", **small)
    outputs = model(np.zeros((1, 64, 64, 1), "float32"))
    assert [tuple(tensor.shape) for tensor in outputs] == [(1, 5)] * 3


def test_grid_pooling_is_torchs():
    """Part i of 4 spans the pixels from floor(i·n/4) to ceil((i+1)·n/4)."""
    with without_values():
        model = GoogLeNetBN(auxiliary=True)
    layer = model.get_layer("aux1_pool")
    x = np.random.default_rng(0).normal(size=(1, 14, 14, 512)).astype("float32")
    spans = [(i * 14 // 4, -((i + 1) * 14 // -4)) for i in range(4)]
    expected = [[x[0, a:b, c:d].mean((0, 1)) for c, d in spans] for a, b in spans]
    np.testing.assert_allclose(layer(x)[0], expected, atol=1e-5)


def test_unknown_sizes_and_auxiliary_heads():
    """Windows leave a map of unknown size, which no dense layer can read; a grid doesn't."""
    small = {**NARROW, "stem_widths": (4, 4, 8), "classes": 5, "input_shape": (None, None, 3)}
    with pytest.raises(ArgumentError, match="known input size"):
        GoogLeNet(auxiliary=True, **small)
    model = GoogLeNet(auxiliary=True, auxiliary_pool="grid", **small)
    assert [t.shape for t in model(np.zeros((1, 70, 99, 3), "float32"))] == [(1, 5)] * 3


@pytest.mark.parametrize("side", [224, 123, 97, 64, 47])
def test_pools_round_up_as_caffe_does(side):
    """224 gives 112, 56, 28, 14, 7; rounding down would give 55, 27, 13 and 6."""
    with without_values():
        model = GoogLeNet(input_shape=(side, side, 3), include_top=False)
    side = (side + 1) // 2
    for name in ("pool1", "pool2", "pool3", "pool4"):
        side = -((side - 3) // -2) + 1
        assert model.get_layer(name).output.shape[1:3] == (side, side)


def test_response_normalization_is_caffes_and_in_its_places():
    """After pool1, and before pool2."""
    model = TINY()
    norms = [model.get_layer(name) for name in ("norm1", "norm2")]
    assert norms[0].input is model.get_layer("pool1").output
    assert model.get_layer("pool2").input is norms[1].output
    for norm in norms:
        assert (norm.size, norm.k, norm.alpha, norm.beta) == (5, 1.0, 1e-4, 0.75)
        assert norm.divide_alpha
    for kind in ("batch", "none"):
        assert "norm1" not in {layer.name for layer in TINY(normalization=kind).layers}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2, 5)}, r"conv_1x1 needs 7 values, one for each module that depths"),
        ({"conv_3x3": (8,)}, r"conv_3x3 needs 9 values.*Received: \(8,\)"),
        ({"stem_widths": (8, 8)}, r"stem_widths needs 3 values"),
        ({"auxiliary": True, "depths": (3, 3, 3)}, r"needs the modules 4a and 4d"),
        ({"normalization": "layer"}, r"'lrn', 'batch', 'none'\. Received: 'layer'"),
        ({"reduce_3x3": 16}, r"reduce_3x3 must be a sequence"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        GoogLeNet(**arguments)


def test_an_input_too_small_for_the_auxiliary_heads_is_refused():
    with pytest.raises(InputSizeError, match="aux1_pool"):
        GoogLeNet(input_shape=(64, 64, 3), auxiliary=True)
