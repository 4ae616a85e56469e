"""NiN beyond its layer lists, which tests/test_exactness.py compares with the authors'."""

import keras
import numpy as np
import pytest
from tiny import TinyNiN

import kerascnn
from kerascnn.applications.nin import NiN, NiNCIFAR10
from kerascnn.cost import Cost
from kerascnn.errors import ArgumentError, InputSizeError
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


def test_scores_are_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = TinyNiN(classifier_activation=None)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("conv1").compute_dtype == "float16"
    tail = ("logits", "logits_relu", "avg_pool")
    assert {model.get_layer(name).compute_dtype for name in tail} == {"float32"}
    assert model.output.dtype == "float32"


def test_classifier_works_at_any_size():
    """No dense layer: one model with its classifier for all sizes, equal to those of one size."""
    free = TinyNiN(input_shape=(None, None, 3))
    for side in (20, 33):
        fixed = TinyNiN(input_shape=(side, side, 3))
        fixed.set_weights(free.get_weights())
        x = image(1, side, side, 3)
        np.testing.assert_allclose(free(x), fixed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        (NiNCIFAR10, {}),
        (NiNCIFAR10, {"pools": ("max", "avg")}),  # the port to Caffe
        (NiNCIFAR10, {"norm": "batch", "order": "conv-act-bn", "stem_kernel": 7}),
        (NiNCIFAR10, {"widths": (32, 64, 96), "hidden_widths": (16, 24, 32), "pool_size": 2}),
        (
            NiNCIFAR10,
            {
                "widths": (32, 64),
                "hidden_widths": (16, 24),
                "output_widths": (8,),
                "kernels": (3,),
                "pools": ("max",),
                "dropouts": (0.0,),
                "stem_stride": 2,
            },
        ),
        (NiN, {}),
        (NiN, {"stem_kernel": 7, "norm": "batch", "activation": "elu"}),
    ],
)
@pytest.mark.parametrize("shape", [None, (91, 77, 2)])
def test_cost_is_the_built_models(architecture, arguments, shape):
    with without_values():
        model = architecture(input_shape=shape, classes=7, **arguments)
    profile = kerascnn.profile(model)
    assert architecture.cost(shape, 7, **arguments) == Cost(profile.params, profile.macs)


@pytest.mark.parametrize("architecture", [NiNCIFAR10, NiN])
def test_smallest_input_builds_and_one_less_is_refused(architecture):
    least = architecture.card.smallest_input[0]
    model = architecture(include_top=False, input_shape=(least, least, 3))
    assert model(np.zeros((1, least, least, 3), "float32")).shape[1:3] == (1, 1)
    with pytest.raises(InputSizeError, match=f"{least}×{least}"):
        architecture(include_top=False, input_shape=(least - 1, least, 3))


@pytest.mark.parametrize("name", ["hidden_widths", "output_widths", "kernels", "pools", "dropouts"])
def test_each_block_needs_its_values(name):
    value = NiNCIFAR10.space.defaults()[name]
    with pytest.raises(ArgumentError, match=f"{name} needs {len(value)} values"):
        NiNCIFAR10.cost(**{name: value + value[-1:]})
