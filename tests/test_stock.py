"""Exported .keras files have layers of Keras alone, and load where kerascnn isn't installed."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import (
    TinyAlexNet,
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
from kerascnn.stock import in_stock_layers

# Every family, and every layer of ours.
NETWORKS = {
    "lenet5": lambda: kerascnn.create("lenet5", widths=(2, 3), hidden=(4,)),
    "lenet5_1998": lambda: kerascnn.create("lenet5_1998"),
    "alexnet": lambda: TinyAlexNet(input_shape=(63, 63, 3), classes=4),
    "zfnet": lambda: TinyZFNet(input_shape=(63, 63, 3), classes=4),
    "nin": lambda: TinyNiN(pools=("avg", "max")),
    "vgg": lambda: TinyVGG(input_shape=(64, 64, 3), classes=4, grid=3, norm="lrn"),
    "googlenet": TinyGoogLeNet,
    "bn_inception": TinyBNInception,
    "resnet": lambda: TinyResNet(shortcut="A", stem_pool="caffe"),
    "resnet_v2": TinyResNetV2,
    "densenet": TinyDenseNet,
    "any size": lambda: TinyNiN(pools=("avg", "avg"), include_top=False),
}
WITHOUT = """
import sys
sys.modules["kerascnn"] = None  # as if it weren't installed
import keras, numpy as np
for name in sys.argv[1:]:
    given = np.load(name + ".npz")
    found = np.asarray(keras.models.load_model(name + ".keras")(given["x"]))
    assert np.abs(found - given["y"]).max() <= 1e-5 * np.abs(given["y"]).max(), name
"""


FEW = ("lenet5_1998", "alexnet", "vgg", "resnet", "any size")  # with every layer of ours


@pytest.mark.parametrize(
    "names", [FEW, pytest.param(NETWORKS.keys() - FEW, marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_every_family_loads_without_kerascnn(names, tmp_path):
    keras.utils.set_random_seed(0)  # rounding differs by weights: LeNet-5's sums come near 1e-5
    for name in names:
        model = NETWORKS[name]()
        shape = [size or 33 for size in model.input_shape[1:]]
        pixels = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
        known = kerascnn.get("vgg16" if shape[-1] == 3 else "lenet5").card.preprocessing
        written = exporting.export(model, tmp_path / name, "keras", preprocessing=known)
        assert written.kept == ()
        assert written.difference < 1e-5
        y = exporting.with_preprocessing(model, known)(pixels)
        np.savez(tmp_path / name, x=pixels, y=y)
    command = [sys.executable, "-c", WITHOUT, *names]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_layers_with_weights_keep_their_names_and_the_model_stays_as_it_is():
    model = TinyResNet()
    before = [type(layer).__name__ for layer in model.layers]
    stock, _ = in_stock_layers(model)
    assert [type(layer).__name__ for layer in model.layers] == before
    named = [layer.name for layer in model.layers if layer.weights]
    assert [layer.name for layer in stock.layers if layer.weights] == named
    assert not {id(v) for v in model.variables} & {id(v) for v in stock.variables}


@keras.saving.register_keras_serializable("theirs")
class Scale(layers.Layer):
    """A plugin's layer with a weight of its own."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


@keras.saving.register_keras_serializable("theirs")
class Doubling(layers.Layer):
    """One that is nothing but operations of Keras."""

    def call(self, inputs):
        return 2 * ops.relu(inputs)


@keras.saving.register_keras_serializable("theirs")
class Below(layers.Layer):
    """One of operations that a file has no words for: a bound of `clip` is a tensor."""

    def call(self, inputs):
        return ops.clip(inputs, 0, ops.max(inputs) / 2)


@keras.saving.register_keras_serializable("theirs")
def cubed(x):
    """A function of their own as an activation."""
    return x * x * x


def test_what_keras_has_no_words_for_is_named(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation=cubed, name="conv")(inputs)
    x = Doubling(name="double")(x)
    x = layers.Activation(cubed, name="cube")(x)
    x = Scale(name="scale")(x)
    x = Below(name="below")(x)
    inner = keras.Sequential([keras.Input((6, 6, 4)), Doubling(), layers.Flatten()], name="inner")
    model = keras.Model(inputs, layers.Dense(3, name="logits")(inner(x)))
    written = exporting.export(model, tmp_path / "a", "keras")
    assert written.kept == ("scale (theirs.Scale)", "below (theirs.Below)")
    assert written.difference < 1e-5
