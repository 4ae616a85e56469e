"""The layers that learn in an epoch, and when the engine is told of another choice."""

from types import SimpleNamespace

import keras
import pytest

from kerascnn import catalogue
from kerascnn.recipes.recipe import Recipe
from kerascnn.training.freezing import Freezing, all_but_last, last_layers, stages, thawed

WIDTHS = (4, 4, 4, 4)


def network():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="bn")(x))
    x = keras.layers.Flatten()(x)
    heads = [
        keras.layers.Softmax()(keras.layers.Dense(3, name=name)(x)) for name in ("main", "aux")
    ]
    return keras.Model(inputs, heads)


def test_the_last_layers_with_weights_are_those_of_each_output():
    model = network()
    assert {layer.name for layer in last_layers(model)} == {"main", "aux"}
    assert [layer.name for layer in all_but_last(model)] == ["conv", "bn"]


def test_the_engine_is_told_at_the_start_and_when_everything_begins_to_learn():
    told, model = [], network()
    engine = SimpleNamespace(
        model=model, learn=lambda found: told.append({v.path.split("/")[0] for v in found})
    )
    freezing = Freezing(engine, Recipe(freeze_epochs=2))
    for epoch in range(4):
        with freezing.during(epoch):
            assert model.get_layer("conv").trainable == (epoch >= 2)
        assert model.get_layer("conv").trainable, "between epochs nothing is frozen"
    assert told == [{"main", "aux"}, {"conv", "bn", "main", "aux"}]


def test_without_freezing_the_engine_learns_as_it_was_made():
    told = []
    freezing = Freezing(SimpleNamespace(model=network(), learn=told.append), Recipe())
    with freezing.during(0):
        assert not told


def test_stages_end_at_the_endpoints_and_all_layers_with_weights_are_in_one():
    model = catalogue.get("resnet18")(input_shape=(64, 64, 3), widths=WIDTHS, classes=3)
    found = [{layer.name.split("_")[0] for layer in stage} for stage in stages(model)]
    assert found == [{"logits"}, {"conv5"}, {"conv4"}, {"conv3"}, {"conv2"}, {"conv1"}]
    assert sum(map(len, stages(model))) == sum(bool(layer.weights) for layer in model.layers)


def test_what_is_behind_the_last_endpoint_is_a_stage_and_auxiliary_heads_are_in_it():
    vgg = catalogue.get("vgg11")(widths=(2,) * 5, hidden=(4, 4), classes=3)
    assert [[layer.name for layer in stage][:2] for stage in stages(vgg)[:3]] == [
        ["logits"],
        ["fc1", "fc2"],
        ["block5_conv1", "block5_conv2"],
    ]
    heads = stages(network())
    assert [sorted(layer.name for layer in stage) for stage in heads] == [
        ["aux", "main"],
        ["bn", "conv"],
    ]


@pytest.mark.parametrize(
    ("freeze", "thaw", "expected"),
    [(0, 0, [4, 4, 4]), (2, 0, [1, 1, 4, 4]), (1, 1, [1, 2, 3, 4, 4]), (2, 2, [1, 1, 2, 2, 3, 3])],
)
def test_how_many_stages_learn_is_a_function_of_the_epoch(freeze, thaw, expected):
    recipe = Recipe(freeze_epochs=freeze, thaw_epochs=thaw)
    assert [thawed(recipe, epoch, 4) for epoch in range(len(expected))] == expected


def test_stages_begin_to_learn_one_after_the_other():
    told, model = [], catalogue.get("resnet18")(input_shape=(32, 32, 3), widths=WIDTHS, classes=3)
    engine = SimpleNamespace(
        model=model, learn=lambda found: told.append({v.path.split("_")[0] for v in found})
    )
    freezing = Freezing(engine, Recipe(freeze_epochs=1, thaw_epochs=2))
    for epoch in range(6):
        with freezing.during(epoch):
            assert model.get_layer("conv5_block1_1_conv").trainable == (epoch >= 1)
            assert model.get_layer("conv4_block1_1_conv").trainable == (epoch >= 3)
    assert len(told) == 4
    assert told[0] < told[1] < told[2] < told[3]
    assert {name.split("/")[0] for name in told[0]} == {"logits"}
