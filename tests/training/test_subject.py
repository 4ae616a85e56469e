"""What is trained is checked once, before any data is read."""

import keras
import pytest

import kerascnn
from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.network import Network
from kerascnn.training.subject import checked

LENET = kerascnn.get("lenet5")


def test_an_architecture_becomes_a_network_with_the_classes_of_the_data():
    subject = checked(LENET, {"widths": (2, 4)}, None, None)
    assert isinstance(subject.network, Network)
    assert (subject.name, subject.shape) == ("lenet5", (32, 32, 1))
    assert subject.preprocessing == LENET.card.preprocessing
    assert subject.of(3).network.classes == 3
    assert subject.trained.arguments == {"widths": (2, 4)}


def test_the_recipes_dropout_stands_for_the_argument_unless_that_was_given():
    assert checked(LENET, None, None, 0.25).network.arguments["dropout"] == 0.25
    assert checked(LENET, {"dropout": 0.5}, None, 0.25).network.arguments["dropout"] == 0.5
    with pytest.raises(ArgumentError, match="lenet5_1998 has no argument `dropout`"):
        checked(kerascnn.get("lenet5_1998"), None, None, 0.25)


def test_too_small_an_input_is_refused():
    with pytest.raises(InputSizeError, match="lenet5"):
        checked(LENET, None, (4, 4, 1), None)


def test_a_model_of_ones_own_has_its_shape_and_its_classes():
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    subject = checked(model, None, None, None)
    assert (subject.shape, subject.trained) == ((8, 8, 1), None)
    assert subject.preprocessing == Preprocessing()
    assert subject.of(3).network is model
    with pytest.raises(ArgumentError, match="The data has 4 classes"):
        subject.of(4)
    with pytest.raises(ArgumentError, match="belong to an architecture"):
        checked(model, {"widths": (2, 4)}, None, None)
    with pytest.raises(ArgumentError, match="has no argument `dropout`"):
        checked(model, None, None, 0.5)
    with pytest.raises(ArgumentError, match="Received: int"):
        checked(3, None, None, None)
