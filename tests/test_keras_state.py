"""Keras's global settings change nothing: each network is the same, or as precise as was asked."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops
from rich.console import Console
from tiny import (
    TinyAlexNet,
    TinyAlexNetOWT,
    TinyBNInception,
    TinyDenseNet,
    TinyGoogLeNet,
    TinyNiN,
    TinyResNet,
    TinyResNetV2,
    TinyVGG,
    TinyZFNet,
)

import kerascnn
from kerascnn import exporting
from kerascnn.applications.lenet import LeNet5, LeNet5_1998
from kerascnn.architecture import Architecture
from kerascnn.card import Card
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.layers import AveragePooling, GridPooling, GroupedConv2D, MaxPooling
from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe

# Every family, and among them every layer whose arithmetic depends on where the channels are.
FAMILIES = {
    "lenet5": (LeNet5, {"widths": (2, 3), "hidden": (5,)}),
    "lenet5_1998": (LeNet5_1998, {}),
    "alexnet": (TinyAlexNet, {"input_shape": (63, 79, 3), "classes": 5}),
    "alexnet_owt": (TinyAlexNetOWT, {"input_shape": (65, 79, 3), "classes": 5}),
    "zfnet": (TinyZFNet, {"input_shape": (63, 79, 3), "classes": 5}),
    "nin": (TinyNiN, {"input_shape": (13, 17, 3)}),
    "vgg": (TinyVGG, {"input_shape": (40, 33, 3), "classes": 5, "grid": 2, "norm": "lrn"}),
    "googlenet": (TinyGoogLeNet, {"input_shape": (41, 33, 3)}),
    "bn_inception": (TinyBNInception, {"input_shape": (41, 33, 3)}),
    "resnet": (TinyResNet, {"stem_pool": "keras"}),
    "resnet, shortcut A": (TinyResNet, {"stem_pool": "caffe", "shortcut": "A"}),
    "plain": (TinyResNet, {"stem_pool": "max", "shortcut": "none", "order": "conv-act-bn"}),
    "resnet_v2": (TinyResNetV2, {"stem_pool": "none"}),
    "densenet": (TinyDenseNet, {}),
}


@contextlib.contextmanager
def state(*, data_format="channels_last", floatx="float32", epsilon=1e-7, policy=None):
    """Keras with other global settings, for a while."""
    keras.config.set_image_data_format(data_format)
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_dtype_policy(policy or floatx)
    try:
        yield
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_dtype_policy("float32")


SETTINGS = {
    "channels first": {"data_format": "channels_first"},
    "float16": {"floatx": "float16"},
    "bfloat16": {"floatx": "bfloat16"},
    "float64": {"floatx": "float64"},
    "epsilon": {"epsilon": 1e-2},
    "mixed_float16": {"policy": "mixed_float16"},
    "mixed_bfloat16": {"policy": "mixed_bfloat16"},
    "policy float64": {"policy": "float64"},
}
# Of the largest output: what the coarsest type on the way has room for.
ROUNDING = {"float16": 2e-2, "mixed_float16": 2e-2, "bfloat16": 1.5e-1, "mixed_bfloat16": 1.5e-1}


def images(model):
    return np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")


def outputs(model, given):
    return np.asarray(ops.cast(model(given), "float32"))


def gap(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def plain():
    """Each family's network as the default settings give it, with its logits and features."""
    found = {}
    for name, (architecture, arguments) in FAMILIES.items():
        keras.utils.set_random_seed(0)
        model = architecture(classifier_activation=None, **arguments)
        for layer in model.layers:  # so that each statistic counts
            if isinstance(layer, layers.BatchNormalization):
                layer.moving_variance.assign(ops.full_like(layer.moving_variance, 1.5))
        found[name] = model, outputs(model, images(model))
    return found


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_the_same_network(name, setting, plain):
    """The same shapes, the same weights, and with them the same outputs."""
    expected, logits = plain[name]
    architecture, arguments = FAMILIES[name]
    with state(**SETTINGS[setting]):
        model = architecture(classifier_activation=None, **arguments)
        found = [(x.name, x.output.shape) for x in model.layers]
        assert found == [(x.name, x.output.shape) for x in expected.layers]
        assert [w.shape for w in model.weights] == [w.shape for w in expected.weights]
        model.set_weights([np.asarray(w) for w in expected.weights])
        assert gap(outputs(model, images(expected)), logits) < ROUNDING.get(setting, 1e-5)
        wide = "float64" if "float64" in setting else "float32"
        assert keras.backend.standardize_dtype(model.outputs[0].dtype) == wide


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
@pytest.mark.parametrize("name", ["resnet", "vgg", "lenet5"])
def test_features_extractors_and_costs_are_the_same(name, pooling, plain):
    architecture, arguments = FAMILIES[name]
    given = {**arguments, "include_top": False, "pooling": pooling}
    expected = architecture(**given)
    with state(data_format="channels_first"):
        model = architecture(**given)
        model.set_weights(expected.get_weights())
        assert (
            gap(outputs(model, images(plain[name][0])), outputs(expected, images(plain[name][0])))
            < 1e-5
        )
        assert kerascnn.endpoints(model) == kerascnn.endpoints(expected)
        extractor = kerascnn.feature_extractor(model, "C2")
        theirs = kerascnn.feature_extractor(expected, "C2")
        given = images(plain[name][0])
        assert gap(outputs(extractor, given), outputs(theirs, given)) < 1e-5
        model, logits = plain[name]
        sliding = kerascnn.convolutionalize(model)
        assert gap(outputs(sliding, images(model))[:, 0, 0], logits) < 1e-5
        shape, classes = model.input_shape[1:], model.output_shape[-1]
        own = {k: v for k, v in arguments.items() if k not in ("input_shape", "classes")}
        params = kerascnn.profile(architecture(**arguments)).params
        assert params == architecture.cost(shape, classes, **own).params
        assert params == kerascnn.profile(model).params


@pytest.mark.parametrize(
    "layer",
    [
        lambda: GroupedConv2D(4, 3, groups=2, padding="same"),
        lambda: GroupedConv2D(4, (3, 2), (2, 2), "valid", None, groups=2),
        lambda: MaxPooling(3, 2, padding=1, ceil=True),
        lambda: AveragePooling(3, 2, padding=1, ceil=True),
        lambda: GridPooling(2),
    ],
)
def test_layers_by_themselves_take_channels_last(layer):
    """Also when they are copied by their config under the other setting."""
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 4)).astype("float32")
    expected = layer()
    y = np.asarray(expected(x))
    with state(data_format="channels_first"):
        for found in (layer(), type(expected).from_config(expected.get_config())):
            found.build(x.shape)
            found.set_weights(expected.get_weights())
            np.testing.assert_array_equal(found(x), y)
            assert found.compute_output_shape(x.shape) == y.shape


@pytest.mark.parametrize(
    "arguments", [((), {"data_format": "channels_first"}), ((1, "same", "channels_first"), {})]
)
def test_a_grouped_convolution_refuses_channels_first(arguments):
    with pytest.raises(ArgumentError, match=r'"channels_last".*Received: \'channels_first\''):
        GroupedConv2D(4, 3, *arguments[0], groups=2, **arguments[1])


def test_a_plugin_s_builder_of_keras_layers_is_protected():
    """It needn't know of the setting, and the setting is as it was afterwards."""

    def build(x):
        x = layers.Conv2D(4, 3, strides=2, name="conv1")(x)
        return layers.MaxPooling2D(2, name="pool1")(x)

    def head(x, *, classes):
        return layers.Dense(classes, dtype="float32", name="logits")(layers.Flatten()(x))

    card = Card(title="T", authors="N", year=2000, link="d", input_shape=(12, 10, 3), classes=3)
    theirs = Architecture(name="theirs", build=build, head=head, card=card)
    expected = theirs()
    with state(data_format="channels_first"):
        model = theirs()
        assert keras.config.image_data_format() == "channels_first"
        model.set_weights(expected.get_weights())
        np.testing.assert_array_equal(model(images(model)), expected(images(model)))


def test_errors_are_one_message_without_keras_s_filter_of_tracebacks():
    keras.config.disable_traceback_filtering()
    try:
        for call, error, message in (
            (lambda: LeNet5(width=3), ArgumentError, "Did you mean widths"),
            (lambda: LeNet5(input_shape=(4, 4, 1)), InputSizeError, "16"),
            (lambda: TinyVGG(input_shape=(None, None, 3)), ArgumentError, "known input size"),
            (lambda: TinyResNet(input_shape=(2, 2, 3)), InputSizeError, "Smallest"),
            (lambda: GroupedConv2D(4, 3, data_format="x"), ArgumentError, "channels_last"),
            (lambda: kerascnn.convolutionalize(LeNet5_1998()), ArgumentError, "RadialBasis"),
        ):
            with pytest.raises(error, match=message) as found:
                call()
            assert "\n" not in str(found.value).strip()
    finally:
        keras.config.enable_traceback_filtering()


ALL_AT_ONCE = {
    "data_format": "channels_first",
    "floatx": "float16",
    "epsilon": 1e-2,
    "policy": "mixed_bfloat16",
}


def trained(folder):
    """A training with everything that could read a global setting."""
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (64, 36, 36, 1), "uint8"), np.arange(64) % 4
    np.savez(folder / "data.npz", x_train=pictures, y_train=labels, x_test=pictures, y_test=labels)
    return kerascnn.train(
        "lenet5",
        f"npz:{folder / 'data.npz'}",
        arguments={"widths": (2, 3), "hidden": (6,), "pool": "max", "dropout": 0.1},
        recipe=Recipe(augmentation=Augmentation(shift=0.1, rotation=5, flip=True), clip_norm=1.0),
        epochs=1,
        batch_size=16,
        strategy="none",
        run=folder / "run",
        console=Console(quiet=True),
        record=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs"))


PROTOCOLS = (
    Protocol(),
    Protocol(views="dense", resize=(1.25,)),
)


def test_training_evaluation_and_export_are_the_same(run, tmp_path):
    """A run's precision is what its recipe says, whatever the process's is."""
    with state(**ALL_AT_ONCE):
        other = trained(tmp_path)
        assert other.history[0]["loss"] == run.history[0]["loss"]
        for protocol in PROTOCOLS:
            found = other.evaluate(echo=None, protocol=protocol)["loss"]
            with state():
                assert found == pytest.approx(run.evaluate(echo=None, protocol=protocol)["loss"])
        model = run.model()
        known = run.config.preprocessing
        written = exporting.export(model, tmp_path / "file", "keras", preprocessing=known)
        assert written.difference < 1e-5
