"""Every variant against its paper's layer list: the proof that the networks are exact.

The built Keras graph and the list of facts are both reduced to the same form: a layer is its
kind, window, padding, groups, output shape, trainable parameters and non-linearity, together with
the layers it reads. Two layers are equal if all of that is, so equality of the last layers is
equality of the networks, wiring included, whatever the layers are called and in whatever order
they were created. What carries no arithmetic of its own is folded into its neighbours: zero
padding into the next window, a non-linearity into the layer before it, flattening and dropout into
nothing. The models are built without values for their weights, which takes a tenth of the time.
"""

import ast
import copy
from collections import Counter
from typing import NamedTuple

import keras
import pytest
from facts import FACTS

import kerascnn
from kerascnn.cost import Cost
from kerascnn.keras_internals import without_values

# What is no architecture with a name: the pieces that show what the 1×1 reductions save.
PIECES = {"inception_module_3a_naive", "inception_module_3a_reduced"}
SLOW = 250  # layers


def _padded_digits(fact):
    """LeNet's facts pad a 28×28 digit inside conv1; our input is the padded digit, 32×32."""
    fact.input = (32, 32, 1)
    fact.layers[0]["pad"] = 0
    fact.field["start"] += 2


def _adaptive_pooling(fact):
    """torchvision pools the auxiliary heads adaptively to 4×4; the facts have the paper's 5×5."""
    for layer in fact.layers:
        if layer["name"] in ("aux1/ave_pool", "aux2/ave_pool"):
            layer["kind"] = "GridPooling"
            del layer["kernel"], layer["stride"]


# Where the facts describe something else than the network that we have under this name.
ADAPTED = {"lenet5": _padded_digits, "googlenet_bn?auxiliary": _adaptive_pooling}
# Where the facts describe the released Caffe model, which doesn't pad its first pooling; the
# default pads, as everybody's has since.
AS_RELEASED = {f"resnet{depth}": {"stem_pool": "caffe"} for depth in (50, 101, 152)}
# Networks of the papers that are a row of arguments here.
UNNAMED = {
    "bn_inception_576": (
        "bn_inception",
        {"pool_proj": (32, 64, 0, 128, 128, 96, 96, 0, 128, 128)},
    ),
    "cifar_preact_resnet110": (
        "resnet164v2_cifar",
        {"block": "basic", "shortcut": "A", "first_activation": "unit"},
    ),
}

KINDS = {
    "Conv2D": "conv",
    "GroupedConv2D": "conv",
    "TableConv2D": "conv_table",
    "Dense": "fc",
    "BatchNormalization": "bn",
    "MaxPooling2D": "maxpool",
    "MaxPooling": "maxpool",
    "AveragePooling2D": "avgpool",
    "AveragePooling": "avgpool",
    "GlobalAveragePooling2D": "globalavgpool",
    "TrainableSubsampling": "subsample_trainable",
    "LocalResponseNormalization": "lrn",
    "PaddedIdentity": "shortcut_A",
    "Add": "add",
    "Concatenate": "concat",
    "RadialBasis": "rbf",
}
ACTIVATIONS = {"scaled_tanh": "1.7159*tanh(2x/3)", "linear": None}


class Node(NamedTuple):
    """A layer without its name; `reads` are numbers that stand for its inputs' nodes."""

    kind: str
    kernel: int | None = None
    stride: int | None = None
    pad: tuple = (0, 0, 0, 0)
    groups: int = 1
    out: tuple = ()
    params: int = 0
    act: str | None = None
    reads: tuple = ()


class Numbers(dict):
    """One number for each distinct node, shared by the two graphs that are compared."""

    def __call__(self, node):
        if node.kind == "maxpool":  # nothing wins over a pixel: it ends where its last window does
            node = node._replace(pad=(node.pad[0], node.pad[2]))
        if node.kind == "add":  # the order of the terms doesn't matter
            node = node._replace(reads=tuple(sorted(node.reads)))
        return self.setdefault(node, len(self))


def facts_graph(fact, number):
    """Name → number for each layer of a list of facts."""
    found = {"input": number(Node("input", out=fact.input))}
    skipped = {}
    previous = "input"
    for layer in fact.layers:
        reads = tuple((found | skipped)[name] for name in layer.get("in", [previous]))
        previous = layer["name"]
        if layer["kind"] == "dropout":
            skipped[previous] = reads[0]
            continue
        pad = layer.get("pad", 0)
        found[previous] = number(
            Node(
                kind=layer["kind"].replace("contrast_norm_across_maps", "lrn"),
                kernel=layer.get("kernel"),
                stride=layer.get("stride"),
                pad=pad if isinstance(pad, tuple) else (pad,) * 4,
                groups=layer.get("groups", 1),
                out=layer["out"],
                params=layer["params"],
                act=(layer.get("act") or "").split("|")[0] or None,
                reads=reads,
            )
        )
    return found


def keras_graph(model, profile, number):
    """Name → number for each layer of a model that has a counterpart in the facts."""
    nodes, waiting, found = {}, {}, {}
    for row in profile.layers:
        source = row.inputs[0] if row.inputs else None
        if row.kind == "Input":
            nodes[row.name] = Node("input", out=row.output_shape)
        elif row.kind == "ZeroPadding2D":
            nodes[row.name] = nodes[source]
            waiting[row.name] = sum(row.padding, ())
            continue
        elif row.kind in ("Flatten", "Dropout"):
            nodes[row.name] = nodes[source]
            continue
        elif row.kind == "Activation":
            assert nodes[source].act is None, f"{row.name}: a second activation"
            nodes[row.name] = nodes[source]._replace(act=_activation(model, row))
            found.pop(source)
        else:
            pads = [sum(row.padding, ()) or (0,) * 4, waiting.get(source, (0,) * 4)]
            nodes[row.name] = Node(
                kind=KINDS.get(row.kind, row.kind),
                kernel=_square(row.kernel) if row.kind != "PaddedIdentity" else None,
                stride=_square(row.strides),
                pad=tuple(map(sum, zip(*pads))),
                groups=row.groups,
                out=row.output_shape if len(row.output_shape) == 3 else (1, 1, *row.output_shape),
                params=row.params,
                act=_activation(model, row),
                reads=tuple(number(nodes[name]) for name in row.inputs),
            )
        found[row.name] = number(nodes[row.name])
    return found


def _activation(model, row):
    name = getattr(getattr(model.get_layer(row.name), "activation", None), "__name__", None)
    return ACTIVATIONS.get(name, name)


def _square(sizes):
    assert len(set(sizes)) <= 1, sizes
    return sizes[0] if sizes else None


def compare(fact, model, profile):
    """Fact's name → our layers' names, for equal layers.

    Raises:
        AssertionError: a layer has no equal; the message names the first one.
    """
    number = Numbers()
    theirs = facts_graph(fact, number)
    ours = keras_graph(model, profile, number)
    by_number = {n: node for node, n in number.items()}
    left = Counter(ours.values())
    for name, n in theirs.items():
        if not left[n]:
            wanted = by_number[n]
            near = [
                f"{k}: {by_number[m]}"
                for k, m in ours.items()
                if by_number[m].reads == wanted.reads
            ]
            raise AssertionError(
                f"{name}: no layer of the model equals {wanted}. "
                "Layers with the same inputs:\n" + "\n".join(near)
            )
        left[n] -= 1
    extra = [k for k, n in ours.items() if left[n] > 0]
    assert not extra, f"layers of the model that the paper doesn't have: {extra}"
    return {name: [k for k, m in ours.items() if m == n] for name, n in theirs.items()}


def arguments(key):
    """Name and arguments of a key: "resnet50?stride_in=3x3", "googlenet?auxiliary"."""
    name, _, text = key.partition("?")
    pairs = (item.partition("=") for item in text.split("&") if item)
    return name, {k: _value(v) if equals else True for k, equals, v in pairs}


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def build(name, **given):
    with without_values():
        return kerascnn.create(name, classifier_activation=None, **given)


KEYS = [
    pytest.param(key, marks=pytest.mark.slow if len(FACTS[key].layers) > SLOW else ())
    for key in sorted(FACTS.keys() - PIECES)
]


@pytest.mark.parametrize("key", KEYS)
def test_network_is_the_papers(key):
    name, given = UNNAMED.get(key) or arguments(key)
    given = given | AS_RELEASED.get(key, {})
    fact = copy.deepcopy(FACTS[key])
    ADAPTED.get(key, lambda fact: None)(fact)
    model = build(name, **given)
    profile = kerascnn.profile(model)
    same = compare(fact, model, profile)
    assert profile.params == fact.params
    assert profile.macs == fact.macs
    assert not profile.uncounted
    buffers = sum(layer.get("buffers", 0) for layer in fact.layers)
    assert profile.other_params == buffers + fact.fixed
    rates = [row.get("rate", row.get("dropout")) for row in fact.layers]
    ours = [row.rate for row in model.layers if isinstance(row, keras.layers.Dropout)]
    assert sorted(ours) == sorted(rate for rate in rates if rate is not None)
    for stated in (fact.field, *fact.fields_elsewhere):
        for layer in same[stated["layer"]]:
            field = profile[layer].receptive_field
            assert field.size == (stated["size"],) * 2
            assert field.stride == (stated["stride"],) * 2
            assert "start" not in stated or field.start == (stated["start"],) * 2
    architecture = kerascnn.get(name)
    counted = Cost(fact.params, fact.macs)
    assert architecture.cost(**given) == counted
    if key == name:
        assert Cost(architecture.card.params, architecture.card.macs) == counted


def edit(layer, **changes):
    return lambda fact: next(r for r in fact.layers if r["name"] == layer).update(changes)


@pytest.mark.parametrize(
    "change",
    [
        edit("C1", kernel=3),
        edit("C1", pad=2),
        edit("C1", act="relu"),
        edit("S2", params=6),
        edit("C3", groups=2),
        edit("S4", stride=1),
        edit("C5", out=(2, 2, 120)),
        edit("F6", kind="conv"),
        edit("F6", **{"in": ["S4"]}),
        lambda fact: fact.layers.pop(3),
        lambda fact: fact.layers.append(fact.layers[-1] | {"name": "again"}),
        lambda fact: setattr(fact, "input", (28, 28, 1)),
    ],
)
def test_a_difference_is_found(change):
    model = build("lenet5_1998")
    profile = kerascnn.profile(model)
    fact = copy.deepcopy(FACTS["lenet5_1998"])
    compare(fact, model, profile)
    change(fact)
    with pytest.raises(AssertionError, match=r"no layer of the model|paper doesn't have"):
        compare(fact, model, profile)


def test_wiring_is_compared():
    """Two networks of the same layers, one with its shortcut from elsewhere."""

    def network(early):
        x = inputs = keras.Input((8, 8, 4), name="input")
        a = keras.layers.Conv2D(4, 3, padding="same", name="a")(x)
        b = keras.layers.Conv2D(4, 3, padding="same", name="b")(a)
        return keras.Model(inputs, keras.layers.Add(name="add")([b, x if early else a]))

    conv = {"kind": "conv", "kernel": 3, "stride": 1, "pad": 1, "out": (8, 8, 4), "params": 148}
    add = {"kind": "add", "name": "add", "in": ["a", "b"], "out": (8, 8, 4), "params": 0}
    fact = copy.deepcopy(FACTS["lenet5_1998"])
    fact.input = (8, 8, 4)
    fact.layers = [{**conv, "name": "a"}, {**conv, "name": "b"}, add]
    right, wrong = network(early=False), network(early=True)
    compare(fact, right, kerascnn.profile(right))
    with pytest.raises(AssertionError, match=r"^add: no layer of the model"):
        compare(fact, wrong, kerascnn.profile(wrong))
