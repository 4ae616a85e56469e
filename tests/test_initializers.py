"""He's initialization is Keras's in all but the numbers, which depend on the seed alone."""

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn import initializers
from kerascnn.initializers import PART, HeNormal, truncated_normal


def test_values_are_normal_cut_at_two_deviations():
    values = truncated_normal((3, 5, 40, 2000), 0.5, seed=1)
    assert values.dtype == np.float32
    assert np.abs(values).max() <= 1
    assert values.std() == pytest.approx(0.5 * initializers.SHRUNK, rel=5e-3)
    assert values.mean() == pytest.approx(0, abs=2e-3)
    # Shares of a normal distribution that is cut at two: 0.3829 and 0.6827, of 0.9545.
    for within, share in ((0.25, 0.4012), (0.5, 0.7152)):
        assert np.mean(np.abs(values) < within) == pytest.approx(share, abs=3e-3)


def test_no_part_repeats_another_and_other_seeds_give_others():
    values = truncated_normal((3 * PART,), 1.0, seed=7)
    assert len(np.unique(values[::97])) > 0.99 * len(values[::97])
    assert not np.isin(values[:1000], truncated_normal((3 * PART,), 1.0, seed=8)[:1000]).any()


@pytest.mark.parametrize("processors", [1, 2, 64])
def test_the_number_of_threads_changes_nothing(processors, monkeypatch):
    monkeypatch.setattr(initializers.processors, "available", lambda: processors)
    np.testing.assert_array_equal(truncated_normal((2 * PART + 5,), 1.0, seed=3), DRAWN)


DRAWN = truncated_normal((2 * PART + 5,), 1.0, seed=3)


def test_deviation_is_that_of_keras():
    shape = (3, 3, 128, 256)
    ours, theirs = HeNormal(seed=1)(shape), keras.initializers.HeNormal(seed=1)(shape)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=5e-3)
    assert ours.dtype == theirs.dtype


def test_the_seed_of_a_program_decides():
    def kernel():
        keras.utils.set_random_seed(5)
        return kerascnn.create("resnet20_cifar").get_layer("conv1_conv").get_weights()[0]

    np.testing.assert_array_equal(kernel(), kernel())


def test_a_saved_model_names_kerass_own():
    config = keras.initializers.serialize(HeNormal(seed=4))
    loaded = keras.initializers.deserialize(config)
    assert type(loaded) is keras.initializers.HeNormal
    assert loaded.get_config()["seed"] == 4
    convolution = kerascnn.create("resnet20_cifar").get_layer("conv1_conv")
    assert isinstance(convolution.kernel_initializer, HeNormal)


def test_in_a_graph_values_are_drawn_by_keras():
    import tensorflow as tf

    drawn = tf.function(lambda: HeNormal(seed=1)((4, 4)))()
    np.testing.assert_array_equal(drawn, keras.initializers.HeNormal(seed=1)((4, 4)))
