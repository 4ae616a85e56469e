"""The layers that learn in an epoch, and when the engine is told of another choice."""

from types import SimpleNamespace

import keras

from kerascnn.training.freezing import Freezing, all_but_last, last_layers


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
    freezing = Freezing(engine, 2)
    for epoch in range(4):
        with freezing.during(epoch):
            assert model.get_layer("conv").trainable == (epoch >= 2)
        assert model.get_layer("conv").trainable, "between epochs nothing is frozen"
    assert told == [{"main", "aux"}, {"conv", "bn", "main", "aux"}]


def test_without_freezing_the_engine_learns_as_it_was_made():
    told = []
    freezing = Freezing(SimpleNamespace(model=network(), learn=told.append), 0)
    with freezing.during(0):
        assert not told
