"""Names of strategies, and what is refused before TensorFlow fails deep inside."""

import keras
import pytest
import tensorflow as tf

from kerascnn.distribution import replicas, strategies
from kerascnn.errors import StrategyError


def test_auto_without_several_gpus_is_no_strategy():
    assert strategies.resolve_strategy("auto") is tf.distribute.get_strategy()


def test_one_object_for_the_whole_process(two_devices):
    """A second MirroredStrategy object breaks every later step of the process."""
    assert strategies.resolve_strategy("mirrored:2") is two_devices
    with pytest.raises(StrategyError, match="one MirroredStrategy in a process"):
        strategies.resolve_strategy("mirrored:1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpu", r'must be "auto"'),
        ("auto:2", r'must be "auto"'),
        ("mirrored:0", "whole number"),
        ("mirrored:two", "whole number"),
        ("mirrored:5", "was started with 2"),
    ],
)
def test_impossible_strategies_are_refused(two_devices, name, message):
    with pytest.raises(StrategyError, match=message):
        strategies.resolve_strategy(name)


def test_a_model_built_outside_is_copied_into_the_scope(two_devices):
    """Keras refuses to mix; the user should not have to know."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    copy = replicas.under(model, two_devices)
    assert copy is not model
    assert replicas.under(copy, two_devices) is copy
    for ours, theirs in zip(copy.get_weights(), model.get_weights()):
        assert (ours == theirs).all()
