"""First weights are what the recipe's words say, and depend on seed and name alone."""

import keras
import numpy as np
import pytest

from kerascnn.errors import ArgumentError
from kerascnn.recipes import papers
from kerascnn.training.initialization import initialize


def model():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(64, 3, name="conv1")(inputs)
    x = keras.layers.Conv2D(64, 3, name="conv2")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(500, name="fc6")(x))


def weights(patterns, seed=0, net=None):
    net = net or model()
    initialize(net, patterns, seed)
    names = ["/".join(v.path.split("/")[-2:]) for v in net.trainable_variables]
    return dict(zip(names, net.get_weights()))


def test_alexnets_weights_and_its_biases_of_one():
    found = weights(papers.ALEXNET.initialization)
    for name in ("conv1/kernel", "conv2/kernel", "fc6/kernel"):
        assert found[name].std() == pytest.approx(0.01, rel=0.05)
        assert abs(found[name].mean()) < 0.001
    assert (found["conv2/bias"] == 1).all()
    assert (found["fc6/bias"] == 1).all()
    assert (found["conv1/bias"] == 0).all()


def test_lenets_limit_shrinks_with_the_fan_in():
    found = weights((("conv*/kernel", "uniform_fan_in:2.4"),))
    assert np.abs(found["conv1/kernel"]).max() == pytest.approx(2.4 / 27, rel=0.01)
    assert np.abs(found["conv2/kernel"]).max() == pytest.approx(2.4 / 576, rel=0.01)


def test_keras_initializers_by_name():
    found = weights((("*/kernel", "he_normal"),))
    assert found["conv2/kernel"].std() == pytest.approx(np.sqrt(2 / 576), rel=0.05)


def test_the_first_pattern_that_matches_decides_and_others_stay():
    net = model()
    before = net.get_weights()
    found = weights((("conv1/kernel", "zeros"), ("conv*/kernel", "ones")), net=net)
    assert (found["conv1/kernel"] == 0).all()
    assert (found["conv2/kernel"] == 1).all()
    np.testing.assert_array_equal(found["fc6/kernel"], before[4])


def test_the_same_seed_gives_the_same_weights_and_every_layer_its_own():
    patterns = (("*/kernel", "normal:0.01"),)
    one, same, other = weights(patterns), weights(patterns), weights(patterns, seed=1)
    np.testing.assert_array_equal(one["fc6/kernel"], same["fc6/kernel"])
    assert not np.array_equal(one["fc6/kernel"], other["fc6/kernel"])
    assert not np.array_equal(one["conv1/kernel"][..., :3, :], one["conv2/kernel"][..., :3, :])


@pytest.mark.parametrize("how", ["normal", "normal:x", "he_normal:2", "nothing"])
def test_unknown_words_are_refused(how):
    with pytest.raises(ArgumentError, match="initialization must name"):
        initialize(model(), (("*", how),), 0)
