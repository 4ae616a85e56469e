"""Walking graphs: in time proportional to their size, in a reader's order."""

import subprocess
import sys

import keras
import pytest
from keras import layers

from kerascnn.keras_internals import calls, calls_forgotten, sources, tensor_at


def diamonds(count):
    """Two branches and their sum, `count` times: 2^count paths from the input to the output."""
    x = inputs = keras.Input((4,), name="input")
    for number in range(count):
        left = layers.Dense(4, name=f"left{number}")(x)
        right = layers.Dense(4, name=f"right{number}")(x)
        x = layers.Add(name=f"add{number}")([right, left])
    return inputs, x


def test_paths_are_not_followed_one_by_one():
    """2^60 of them would outlast us."""
    inputs, x = diamonds(60)
    assert sources(x) == [inputs]
    assert tensor_at(x, "left3").shape == (None, 4)
    assert tensor_at(x, "add59") is x
    with pytest.raises(LookupError, match="'add60'"):
        tensor_at(x, "add60")
    assert sources(inputs) == [inputs]


def test_a_branch_is_finished_before_the_next_begins():
    inputs, x = diamonds(2)
    names = [call.operation.name for call in calls(keras.Model(inputs, x))]
    assert names == ["right0", "left0", "add0", "right1", "left1", "add1"]


def test_a_walk_ends_at_the_models_inputs():
    _, x = diamonds(3)
    middle = tensor_at(x, "add0")
    names = [call.operation.name for call in calls(keras.Model(middle, x))]
    assert names == ["right1", "left1", "add1", "right2", "left2", "add2"]


def test_calls_that_are_forgotten_leave_no_trace_and_stay_readable():
    """In nested models, and for the layers in front of them."""
    inside = keras.Model(*diamonds(1), name="inside")
    inputs = keras.Input((4,), name="outside")
    model = keras.Model(inputs, inside(layers.Dense(4, name="before")(inputs)))
    layer, before = inside.get_layer("left0"), model.get_layer("before")
    made = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in (layer, before)]
    for _ in range(2):
        with calls_forgotten(model):
            again = calls(keras.Model(inputs, layer(before(inputs))))
        assert [call.operation.name for call in again] == ["before", "left0"]
        assert [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in (layer, before)] == made
    assert keras.models.clone_model(model).count_params() == model.count_params()


def test_importing_leaves_pythons_recursion_limit_alone():
    script = "import sys, kerascnn.layers, kerascnn.cost; print(sys.getrecursionlimit())"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split()[-1:] == ["1000"], found.stderr


def test_a_very_deep_graph():
    """Deeper than Python's limit on recursion."""
    x = inputs = keras.Input((4,), name="input")
    for number in range(1100):
        x = layers.Activation("relu", name=f"relu{number}")(x)
    assert sources(x) == [inputs]
