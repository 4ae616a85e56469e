"""What Architecture does once for every family: signature, validation, head, variants."""

import inspect
from dataclasses import replace

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn import Architecture, Card, Param, Range, Space, blocks
from kerascnn.errors import ArgumentError, InputSizeError

CARD = Card(
    title="A net",
    authors="Nobody",
    year=2000,
    link="doi:10.0/0",
    input_shape=(12, 12, 3),
    classes=5,
    params=1,
    macs=1,
    smallest_input=(4, 4),
)
SPACE = Space(
    (
        Param(name="widths", default=(4, 8), search=Range(2, 16), help="Filters."),
        Param(name="kind", default="A", search=("A", "B"), help="Which."),
    )
)


def build(x, *, widths, kind):
    for stage, width in enumerate(widths, start=1):
        x = blocks.conv(x, width, 3, name=f"conv{stage}")
        x = blocks.max_pool(x, 2, name=f"pool{stage}")
    return x


NET = Architecture(name="net", build=build, card=CARD, space=SPACE)


def shapes(model):
    return [tuple(variable.shape) for variable in model.trainable_variables]


# The keras.applications call.


def test_the_signature_begins_with_that_of_keras_applications():
    """keras.applications.VGG16's own signature is the reference."""
    ours = list(inspect.signature(NET).parameters.values())
    theirs = list(inspect.signature(keras.applications.VGG16).parameters.values())
    assert [p.name for p in ours[:8]] == [p.name for p in theirs]
    assert [p.name for p in ours[8:]] == ["widths", "kind"]
    defaults = {p.name: p.default for p in ours}
    assert defaults["widths"] == (4, 8)
    assert defaults["classes"] is None
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in ours[8:])


def test_help_shows_each_argument_and_its_legal_values():
    assert "kind: Which. Legal: one of 'A', 'B'." in NET.__doc__
    assert "Nobody, 2000; doi:10.0/0" in NET.__doc__


def test_defaults_come_from_the_card():
    model = NET()
    assert model.input_shape == (None, 12, 12, 3)
    assert model.output_shape == (None, 5)
    assert model.name == "net"


def test_without_the_classifier_any_size_goes_in():
    model = NET(include_top=False)
    assert model.input_shape == (None, None, None, 3)
    assert model.output_shape == (None, None, None, 8)
    assert model(np.zeros((1, 20, 8, 3))).shape == (1, 5, 2, 8)


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_pooling(kind):
    assert NET(include_top=False, pooling=kind).output_shape == (None, 8)


def test_any_number_of_channels_and_classes_and_numpy_numbers():
    model = NET(input_shape=(np.int64(16), 16, np.int32(7)), classes=np.int64(2))
    assert model.input_shape == (None, 16, 16, 7)
    assert model.output_shape == (None, 2)


def test_a_global_average_head_takes_any_size():
    assert NET(input_shape=(None, None, 3)).input_shape == (None, None, None, 3)


def test_classifier_activations():
    x = np.random.default_rng(0).normal(size=(3, 12, 12, 3))
    logits = NET(classifier_activation=None)
    for activation in ("softmax", "sigmoid", keras.activations.softmax):
        model = NET(classifier_activation=activation)
        model.set_weights(logits.get_weights())
        expected = keras.activations.get(activation)(logits(x))
        np.testing.assert_allclose(model(x), expected, rtol=1e-6)


def test_input_tensor():
    start = keras.Input((12, 12, 1))
    tripled = keras.layers.Concatenate()([start] * 3)
    model = NET(input_tensor=tripled)
    assert model.input_shape == (None, 12, 12, 1)
    assert model(np.zeros((2, 12, 12, 1))).shape == (2, 5)
    assert NET(input_tensor=start, input_shape=(12, 12, 1)).input is start


def test_a_model_over_two_inputs():
    one, two = keras.Input((12, 12, 1), name="one"), keras.Input((12, 12, 2), name="two")
    model = NET(input_tensor=keras.layers.Concatenate()([one, two]))
    assert {tensor.name for tensor in model.inputs} == {"one", "two"}


def test_mixed_precision_keeps_the_head_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = NET()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert keras.backend.standardize_dtype(model(np.zeros((1, 12, 12, 3))).dtype) == "float32"


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 3}, "no argument 'width'. Did you mean widths? Its own arguments: widths, k"),
        ({"num_classes": 3}, "Did you mean classes?"),
        ({"q": 3}, "Those of every architecture: include_top, weights, input_tensor, input_shape"),
        ({"widths": 3}, "widths must be a sequence, each an integer from 2 to 16. Received: 3"),
        ({"classes": 0}, "classes must be a positive integer. Received: 0"),
        ({"classes": True}, "Received: True"),
        ({"classes": 2.0}, "Received: 2.0"),
        ({"pooling": "mean", "include_top": False}, 'None, "avg" or "max". Received: \'mean\''),
        ({"pooling": "avg"}, "pooling has an effect with include_top=False only"),
        ({"input_shape": (12, 12)}, "input_shape must be (height, width, channels)"),
        ({"input_shape": (12, 12, None)}, "Received: (12, 12, None)"),
        ({"input_shape": (12, -1, 3)}, "Received: (12, -1, 3)"),
        ({"input_shape": 12}, "Received: 12"),
        ({"input_shape": "abc"}, "Received: 'abc'"),
        ({"input_tensor": np.zeros((1, 12, 12, 3))}, "input_tensor must be a Keras tensor"),
        ({"input_tensor": keras.Input((12,))}, "Received: (12,)"),
        ({"input_tensor": keras.Input((9, 9, 3)), "input_shape": (8, 8, 3)}, "contradicts"),
        ({"name": "two words"}, "Received: 'two words'"),
        ({"weights": "no_such_file.h5"}, "no_such_file.h5"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(kerascnn.errors.KerascnnError) as error:
        NET(**arguments)
    assert message in str(error.value)


@pytest.mark.parametrize("shape", [(3, 12, 3), (12, 3, 3), (None, 3, 3)])
def test_too_small_an_input_names_the_smallest_and_the_layer(shape):
    with pytest.raises(InputSizeError, match=r"pool2: .*Smallest .*: 4×4\. Received: "):
        NET(include_top=False, input_shape=shape)
    assert NET(include_top=False, input_shape=(4, 4, 3)).output_shape == (None, 1, 1, 8)


def test_a_flattening_head_needs_a_known_size():
    with pytest.raises(ArgumentError, match="need a known input size"):
        kerascnn.create("lenet5", input_shape=(None, None, 1))


def test_cost_refuses_what_cant_be_counted():
    with pytest.raises(ArgumentError, match=r"positive integers\. Received: \(None, None, 3\)"):
        NET.cost(input_shape=(None, None, 3))
    with pytest.raises(ArgumentError, match="no argument"):
        NET.cost(width=3)
    with pytest.raises(InputSizeError, match="4×4"):
        NET.cost(input_shape=(3, 3, 3))


# Declaring one.


def with_default(x, *, widths=(1,), kind):
    return x


def with_kwargs(x, *, widths, **kind):
    return x


def positional(x, widths, kind):
    return x


@pytest.mark.parametrize("builder", [with_default, with_kwargs, positional])
def test_a_builder_with_hidden_arguments_is_refused(builder):
    with pytest.raises(ValueError, match=rf"net: {builder.__name__} must take one tensor"):
        Architecture(name="net", build=builder, card=CARD, space=SPACE)


def test_a_head_that_asks_for_the_image_gets_the_networks_input():
    """What it is built upon, not what that was made of."""

    def head(x, *, classes, image):
        x = blocks.conv(x, classes, 1, name="logits")
        return blocks.resize(x, image, name="resize")

    net = Architecture(name="net", build=build, card=CARD, space=SPACE, head=head)
    larger = keras.layers.UpSampling2D(2)(keras.Input((8, 12, 3)))
    assert net(input_tensor=larger).output_shape == (None, 16, 24, 5)
    assert net(input_shape=(None, None, 3)).output_shape == (None, None, None, 5)
    assert net(include_top=False).output_shape == (None, None, None, 8)
    assert net.cost((9, 13, 3)).params == net(input_shape=(9, 13, 3)).count_params()


def test_the_space_and_the_builder_must_agree():
    with pytest.raises(ValueError, match=r"Missing: \['kind'\]; unknown to both: \[\]"):
        Architecture(name="net", build=build, card=CARD, space=Space(SPACE.params[:1]))
    more = Space((*SPACE.params, Param(name="extra", default=1)))
    with pytest.raises(ValueError, match=r"unknown to both: \['extra'\]"):
        Architecture(name="net", build=build, card=CARD, space=more)


def test_a_config_outside_of_the_space_is_refused():
    with pytest.raises(ArgumentError, match="net: widths must be"):
        Architecture(name="net", build=build, card=CARD, space=SPACE, config={"widths": 1})


@pytest.mark.parametrize("name", ["_private", "two words", "", "größe", None])
def test_a_name_that_tensorflow_cant_compile_is_refused(name):
    with pytest.raises(ArgumentError, match="must begin with a letter"):
        NET.variant(name)


# Variants.


def test_a_variant_is_one_line():
    wide = NET.variant("wide", widths=(8, 16))
    assert wide.name == "wide"
    assert shapes(wide())[0] == (3, 3, 3, 8)
    assert shapes(NET())[0] == (3, 3, 3, 4)
    assert inspect.signature(wide).parameters["widths"].default == (8, 16)
    assert wide(widths=(4, 8)).count_params() == NET().count_params()


def test_a_variant_of_a_variant_keeps_both_changes():
    second = NET.variant("one", widths=(6,)).variant("two", kind="B")
    assert second.config == {"widths": (6,), "kind": "B"}
    assert second.space.defaults() == {"widths": (6,), "kind": "B"}


def test_a_variants_card_claims_nothing_that_the_paper_doesnt():
    card = NET.variant("wide", widths=(8, 16)).card
    assert (card.params, card.macs, card.smallest_input, card.results) == (None, None, None, ())
    assert card.title == CARD.title


def test_variants_refuse_unknown_and_illegal_arguments():
    with pytest.raises(ArgumentError, match="wide has no argument 'width'"):
        NET.variant("wide", width=3)
    with pytest.raises(ArgumentError, match="wide: kind must be one of 'A', 'B'"):
        NET.variant("wide", kind="C")


def test_a_network_and_a_variant_are_for_their_architectures_task():
    """A name is enough: nobody needs to have the task to say that a network is made for it."""
    assert NET.task == NET.network().task == "classification"
    other = replace(NET, task="counting")
    assert other.variant("wide", widths=(8, 16)).task == other.network().task == "counting"
    with pytest.raises(ArgumentError, match="net: task must begin with a letter"):
        replace(NET, task="no such name")


def test_notebooks_show_the_card_and_the_arguments():
    shown = kerascnn.get("googlenet")._repr_html_()
    assert "Going Deeper with Convolutions" in shown
    assert "top-1/top-5 error % 31.3/11.1 (224 centre crop)" in shown
    assert all(f">{param.name}<" in shown for param in kerascnn.get("googlenet").space)
