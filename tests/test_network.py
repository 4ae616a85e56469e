"""A network has what was asked for, checked; the doors of an architecture are ways to one."""

import base64
import io
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import kerascnn
from kerascnn.errors import ArgumentError, InputSizeError, WeightsError

LENET = kerascnn.get("lenet5")


def test_its_arguments_are_complete_and_say_which_were_given():
    network = LENET.network({"widths": [3, 5]}, input_shape=[28, 28, 1], classes=np.int64(7))
    assert network.arguments == {**LENET.space.defaults(), "widths": (3, 5)}
    assert network.given == {"widths": (3, 5)}
    assert (network.input_shape, network.classes) == ((28, 28, 1), 7)


def test_without_being_asked_it_is_the_papers():
    network = LENET.network()
    assert (network.input_shape, network.classes) == (LENET.card.input_shape, LENET.card.classes)
    headless = LENET.network(include_top=False)
    assert (headless.input_shape, headless.classes) == ((None, None, 1), None)


def test_its_model_is_what_the_call_builds():
    network = LENET.network({"widths": (3, 5)}, classes=7)
    model, called = network.model(), LENET(widths=(3, 5), classes=7)
    assert model.to_json() == called.to_json()
    assert network.cost() == LENET.cost(None, 7, widths=(3, 5))
    assert network.cost().params == sum(w.numpy().size for w in model.trainable_variables)


def test_it_gets_other_classes_and_none_without_a_new_check_of_its_arguments():
    network = LENET.network({"widths": (3, 5)})
    assert replace(network, classes=3).model().output_shape == (None, 3)
    assert replace(network, classes=None).model().output_shape[1:] == (5, 5, 5)
    with pytest.raises(ArgumentError, match="classes must be a positive integer"):
        replace(network, classes=0)
    with pytest.raises(ArgumentError, match="input_shape must be"):
        replace(network, input_shape=(28, 28))


def test_it_names_its_smallest_input_whatever_its_own():
    network = LENET.network(input_shape=(None, None, 1), include_top=False)
    least = network.smallest_input()
    replace(network, input_shape=(least, least, 1)).check_input()
    with pytest.raises(InputSizeError, match=f"{least}×{least}"):
        replace(network, input_shape=(least - 1, least, 1)).check_input()


def test_weights_are_refused_before_anything_is_built(tmp_path):
    network = LENET.network()
    with pytest.raises(WeightsError, match="lenet5"):
        network.require("imagenet")
    with pytest.raises(WeightsError, match="There is no file"):
        network.require(tmp_path / "none.h5")
    file = tmp_path / "weights.h5"
    file.touch()
    assert network.require(file) is None
    assert kerascnn.get("vgg16").network().require("imagenet:keras").publisher == "keras"


def test_its_endpoints_are_those_of_its_model_without_the_classifier():
    """They are known without weights, and leave nothing behind."""
    network = kerascnn.get("vgg16").network({"depths": (1, 2), "widths": (3, 5)}, classes=7)
    waiting = keras.layers.Dense(1).name
    found = network.endpoints()
    built = replace(network, classes=None, input_shape=(512, 512, 3)).model()
    assert found == kerascnn.endpoints(built)
    assert {name: endpoint.layer for name, endpoint in found.items()} == {
        "C1": "block2_conv2_relu",
        "C2": "block2_pool",
        "pool1": "block1_pool",
        "pool2": "block2_pool",
    }
    assert int(keras.layers.Dense(1).name.rpartition("_")[2]) == 1 + _number(waiting)


def _number(name):
    return int(name.rpartition("_")[2]) if "_" in name else 0


def test_a_notebook_shows_its_size_its_arguments_and_a_drawing():
    network = LENET.network({"widths": (3, 5)}, classes=7)
    shown = network._repr_html_()
    assert f"{network.cost().params:,}" in shown
    assert "(3, 5)" in shown
    assert "7" in shown
    data = re.search(r'src="data:image/png;base64,(.+?)"', shown)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawing:
        assert len(drawing.getcolors(2**20)) > 20, "the picture is empty"
    open_ = LENET.network(include_top=False)._repr_html_()
    assert "<img" not in open_
    assert "any×any×1" in open_
    assert "none" in open_
