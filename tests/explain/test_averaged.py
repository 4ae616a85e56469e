import keras
import numpy as np
import pytest

from kerascnn import explain
from kerascnn.errors import ArgumentError


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(scope="module")
def cubic():
    """The score is Σ c·x³ over the pixels; (model, c)."""
    x = keras.Input((4, 5, 2))
    cubed = keras.layers.Multiply()([x, x, x])
    score = keras.layers.Dense(1, use_bias=False, name="score")
    model = keras.Model(x, score(keras.layers.Flatten()(cubed)))
    score.kernel.assign(draw(40, 1, seed=1))
    return model, score.kernel.numpy().reshape(4, 5, 2)


@pytest.fixture(scope="module")
def convolutional():
    """With ReLU, max pooling and softmax."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            keras.layers.Conv2D(8, 3, activation="relu", bias_initializer="normal", name="conv1"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(8, 3, activation="relu", bias_initializer="normal", name="conv2"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax", bias_initializer="normal"),
        ]
    )


# --- Integrated gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [0.0, 0.5, np.float32([0.5, -1.0]), draw(4, 5, 2, seed=2)])
def test_the_integral_of_a_cubic_score_is_what_calculus_says(cubic, baseline):
    model, c = cubic
    x, b = draw(3, 4, 5, 2), np.broadcast_to(baseline, (4, 5, 2))
    # d/dx Σ c·x³ = 3·c·x²; from b to x along the line: c·(x² + x·b + b²), times (x - b).
    expected = c * (x**3 - b**3)
    found = explain.integrated_gradients(model, x, 0, baseline=baseline, steps=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)  # 2 points do for degree 3


def test_integrated_gradients_add_up_to_the_difference_of_the_scores(convolutional):
    images, targets = draw(3, 12, 12, 3), [0, 1, 3]
    found = explain.integrated_gradients(convolutional, images, targets, steps=200)
    maps = keras.Model(convolutional.inputs, convolutional.layers[-2].output)
    kernel, bias = convolutional.layers[-1].get_weights()
    logits, nothing = (
        maps.predict_on_batch(x) @ kernel + bias for x in (images, np.zeros_like(images))
    )
    expected = (logits - nothing)[np.arange(3), targets]
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), expected, atol=0.01)


def test_they_add_up_for_a_unit_of_a_map_which_is_the_images_strongest(convolutional):
    images = draw(2, 12, 12, 3)
    maps = keras.Model(convolutional.inputs, convolutional.get_layer("conv1").output)
    there, nothing = (maps.predict_on_batch(x)[..., 5] for x in (images, np.zeros_like(images)))
    found = explain.integrated_gradients(convolutional, images, ("conv1", 5), steps=200)
    for attribution, values, before in zip(found, there, nothing):
        strongest = np.unravel_index(values.argmax(), values.shape)
        expected = values[strongest] - before[strongest]
        assert attribution.sum() == pytest.approx(expected, abs=0.01)


def test_more_steps_than_are_played_at_once_change_nothing(cubic, monkeypatch):
    model, _ = cubic
    whole = explain.integrated_gradients(model, draw(3, 4, 5, 2), 0, steps=7)
    monkeypatch.setattr("kerascnn.explain.gradients.IMAGES", 2)
    np.testing.assert_allclose(
        explain.integrated_gradients(model, draw(3, 4, 5, 2), 0, steps=7), whole, rtol=1e-5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"baseline": [1.0, 2.0, 3.0]},
        {"baseline": "black"},
        {"baseline": np.nan},
    ],
)
def test_a_wrong_baseline_or_number_of_steps_is_refused(cubic, wrong):
    model, _ = cubic
    with pytest.raises(ArgumentError, match=r"must be .* Received"):
        explain.integrated_gradients(model, draw(1, 4, 5, 2), 0, **wrong)


# --- SmoothGrad ---------------------------------------------------------------------------------


def test_without_noise_it_is_the_gradient(cubic):
    model, c = cubic
    x = draw(2, 4, 5, 2)
    found = explain.smooth_grad(model, x, 0, noise=0.0, samples=3, signed=True)
    np.testing.assert_allclose(found, 3 * c * x**2, rtol=1e-5)
    unsigned = explain.smooth_grad(model, x, 0, noise=0.0, samples=3)
    np.testing.assert_allclose(unsigned, np.abs(3 * c * x**2).max(axis=-1), rtol=1e-5)


def test_noise_is_a_share_of_each_images_range(cubic):
    model, c = cubic
    x = draw(1, 4, 5, 2) * np.float32([1, 10]).reshape(2, 1, 1, 1)
    found = explain.smooth_grad(model, x, 0, noise=0.2, samples=500, signed=True)
    # The mean of 3·c·(x + e)² is 3·c·(x² + σ²).
    variances = (found / (3 * c) - x**2).mean(axis=(1, 2, 3))
    expected = (0.2 * np.ptp(x, axis=(1, 2, 3))) ** 2
    np.testing.assert_allclose(variances, expected, rtol=0.05)


def test_a_seed_gives_one_result_whatever_else_is_in_the_batch(cubic):
    model, _ = cubic
    x = draw(3, 4, 5, 2)
    first = explain.smooth_grad(model, x, 0, seed=4)
    np.testing.assert_array_equal(explain.smooth_grad(model, x, 0, seed=4), first)
    np.testing.assert_allclose(explain.smooth_grad(model, x[1:2], 0, seed=4), first[1:2], rtol=1e-5)
    assert np.abs(explain.smooth_grad(model, x, 0, seed=5) - first).max() > 0.1


@pytest.mark.parametrize(
    "wrong", [{"noise": -0.1}, {"noise": "much"}, {"samples": 0}, {"seed": -1}]
)
def test_a_wrong_amount_of_noise_is_refused(cubic, wrong):
    model, _ = cubic
    with pytest.raises(ArgumentError, match=r"must be .* at least .* Received"):
        explain.smooth_grad(model, draw(1, 4, 5, 2), 0, **wrong)
