"""NiN beyond its layer lists, which tests/test_exactness.py compares with the authors'."""

import keras
import numpy as np
import pytest
from tiny import TinyNiN

from kerascnn.applications.nin import NiNCIFAR10
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("side", "maps"), [(32, (16, 8)), (33, (16, 8)), (35, (17, 8))])
def test_pooling_rounds_up(side, maps):
    """3×3 windows, not the 2×2 of many copies: 32-16-8."""
    with without_values():
        model = TinyNiN(input_shape=(side, side, 3))
    assert tuple(model.get_layer(n).output.shape[1] for n in ("pool1", "pool2")) == maps


def test_score_is_the_mean_of_a_rectified_map():
    """Section 3.2: no dense layer; each class has a map, and its average is the score."""
    model = TinyNiN(classifier_activation=None)
    assert not any(isinstance(layer, keras.layers.Dense) for layer in model.layers)
    x = image(2, 32, 32, 3)
    features = keras.Model(model.input, model.get_layer("cccp5_relu").output)(x)
    kernel, bias = model.get_layer("logits").get_weights()
    maps = np.maximum(np.einsum("bhwc,cd->bhwd", features, kernel[0, 0]) + bias, 0)
    np.testing.assert_allclose(model(x), maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_classifier_works_at_any_size():
    """No dense layer: one model with its classifier for all sizes, equal to those of one size."""
    free = TinyNiN(input_shape=(None, None, 3))
    for side in (20, 33):
        fixed = TinyNiN(input_shape=(side, side, 3))
        fixed.set_weights(free.get_weights())
        x = image(1, side, side, 3)
        np.testing.assert_allclose(free(x), fixed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["hidden_widths", "output_widths", "kernels", "pools", "dropouts"])
def test_each_block_needs_its_values(name):
    value = NiNCIFAR10.space.defaults()[name]
    with pytest.raises(ArgumentError, match=f"{name} needs {len(value)} values"):
        NiNCIFAR10.cost(**{name: value + value[-1:]})
