import keras
import numpy as np
import pytest
from tiny import TinyAlexNetOWT, TinyResNet

from kerascnn import explain
from kerascnn.applications.lenet import LeNet5_1998
from kerascnn.errors import ArgumentError


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


IMAGES = draw(3, 10, 12, 2)


@pytest.fixture(scope="module")
def network():
    """Its scores are not linear in the maps of "conv": a ReLU and a dense layer stand behind."""
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((10, 12, 2)),
            keras.layers.Conv2D(4, 3, 2, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="relu", bias_initializer="normal", name="hidden"),
            keras.layers.Dense(3, activation="softmax", bias_initializer="normal", name="score"),
        ]
    )


def written_out(model, images):
    """The maps of "conv" and each score's gradient there, float64 `[3, batch, 4, 5, 4]`."""
    maps = keras.Model(model.inputs, model.get_layer("conv").output).predict_on_batch(images)
    kernel, bias = model.get_layer("hidden").get_weights()
    on = maps.reshape(len(maps), -1) @ kernel + bias > 0
    last, _ = model.get_layer("score").get_weights()
    gradients = np.stack([(on * last[:, label]) @ kernel.T for label in range(3)])
    return maps, gradients.reshape(3, *maps.shape)


def test_grad_cam_weighs_maps_by_their_mean_gradient(network):
    maps, gradients = written_out(network, IMAGES)
    for label in range(3):
        weights = gradients[label].mean(axis=(1, 2), keepdims=True)
        expected = (weights * maps).sum(axis=-1)
        found = explain.grad_cam(network, IMAGES, label, layer="conv", signed=True)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        found = explain.grad_cam(network, IMAGES, label, layer="conv")
        np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


def derivatives(score, maps, step=1e-2):
    """The first three of exp(score) by each activation, from differences: `[3, ...]`."""
    found = np.zeros((3, *maps.shape))
    for place in np.ndindex(maps.shape):
        nearby = np.zeros(5)
        for i, steps in enumerate(range(-2, 3)):
            moved = maps.astype("float64")
            moved[place] += steps * step
            nearby[i] = np.exp(score(moved))
        a, b, c, d, e = nearby
        found[(0, *place)] = (a - 8 * b + 8 * d - e) / (12 * step)
        found[(1, *place)] = (-a + 16 * b - 30 * c + 16 * d - e) / (12 * step**2)
        found[(2, *place)] = (-a + 2 * b - 2 * d + e) / (2 * step**3)
    return found


def test_grad_cam_plus_plus_is_the_papers_with_derivatives_measured():
    """Chattopadhay et al., 2018: equations 5, 10 and 11 with Y = exp(S), derived numerically."""
    x = keras.Input((6, 6, 2))
    maps = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(x)
    score = keras.layers.Dense(2)
    model = keras.Model(x, score(keras.layers.Flatten()(maps)))
    model.set_weights([draw(*w.shape, seed=7) * 0.5 for w in model.get_weights()])
    image = draw(1, 6, 6, 2)
    values = keras.Model(x, maps).predict_on_batch(image)[0]
    kernel, bias = score.get_weights()

    def score_of(values):
        return values.reshape(-1) @ kernel[:, 1].astype("float64") + bias[1]

    first, second, third = derivatives(score_of, values)
    alpha = second / (2 * second + values.sum(axis=(0, 1)) * third)
    weights = (alpha * np.maximum(first, 0)).sum(axis=(0, 1))
    expected = (weights * values).sum(axis=-1) / np.exp(score_of(values))
    found = explain.grad_cam_plus_plus(model, image, 1, layer="conv", signed=True)
    np.testing.assert_allclose(found[0], expected, rtol=1e-3)


def test_grad_cam_plus_plus_sees_small_objects_beside_large_ones():
    """The paper's example (section 3): objects of 16, 4 and 1 units, a map and a part for each."""
    x = keras.Input((8, 8, 3))
    maps = keras.layers.ReLU(name="maps")(x)
    there = keras.layers.ReLU()(keras.layers.Rescaling(1.0, -0.5)(maps))  # gradient 1, else 0
    model = keras.Model(x, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(there)))
    model.set_weights([np.full((3, 1), 64.0), np.zeros(1)])
    image = np.zeros((1, 8, 8, 3), "float32")
    image[0, :4, :4, 0], image[0, 6:, 6:, 1], image[0, 0, 7, 2] = 1, 1, 1
    (plain,) = explain.grad_cam(model, image, 0, layer="maps")
    np.testing.assert_allclose(plain[[0, 6, 0], [0, 6, 7]], np.array([16, 4, 1]) / 64)
    (plus,) = explain.grad_cam_plus_plus(model, image, 0, layer="maps")
    # α is 1 / (2 + the object's size): n / (2 + n) for n units.
    np.testing.assert_allclose(plus[[0, 6, 0], [0, 6, 7]], [16 / 18, 4 / 6, 1 / 3], rtol=1e-6)


def test_guided_grad_cam_is_the_product(network):
    found = explain.guided_grad_cam(network, IMAGES, [0, 1, 2], layer="conv")
    places = explain.grad_cam(network, IMAGES, [0, 1, 2], layer="conv", upsample="bilinear")
    guided = explain.guided_backprop(network, IMAGES, [0, 1, 2])
    np.testing.assert_array_equal(found, guided * places[..., None])


def test_upsampling_keeps_each_unit_over_its_part_of_the_image(network):
    small = explain.grad_cam(network, IMAGES, 0, layer="conv", signed=True)
    assert small.shape == (3, 4, 5)
    nearest = explain.grad_cam(network, IMAGES, 0, layer="conv", signed=True, upsample="nearest")
    rows = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]  # 10 rows of pixels, 4 of units
    columns = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(nearest, small[:, rows][:, :, columns])
    smooth = explain.grad_cam(network, IMAGES, 0, layer="conv", signed=True, upsample="bilinear")
    assert smooth.shape == (3, 10, 12)
    np.testing.assert_allclose(smooth[:, 0, 0], small[:, 0, 0], rtol=1e-5)  # beyond the centres
    # Pixel row 2 lies at 2.5 · 4/10 - 0.5 = 0.5 units: half way.
    np.testing.assert_allclose(smooth[:, 2, 0], small[:, :2, 0].mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("method", [explain.grad_cam, explain.grad_cam_plus_plus])
def test_images_and_targets_of_a_batch_do_not_mix(network, method):
    targets = [2, ("hidden", 5), 0]
    together = method(network, IMAGES, targets, layer="conv", signed=True)
    for image, target, found in zip(IMAGES, targets, together):
        alone = method(network, image[None], target, layer="conv", signed=True)
        np.testing.assert_allclose(alone[0], found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "side", "layer"),
    [
        (TinyAlexNetOWT, 64, "conv5_relu"),  # not pool5, which is C5
        (TinyResNet, 64, "conv3_block1_out"),
        (LeNet5_1998, 32, "C3_squash"),  # not C5_squash, of 1×1 units
    ],
)
def test_the_default_layer_is_the_last_map_before_pooling(architecture, side, layer):
    model = architecture(input_shape=(side, side, 1), classes=10)
    image = draw(1, side, side, 1)
    found = explain.grad_cam(model, image, 1, signed=True)
    named = explain.grad_cam(model, image, 1, layer=layer, signed=True)
    np.testing.assert_array_equal(found, named)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"upsample": "cubic"}, "upsample must be None or 'bilinear' or 'nearest'"),
        ({"layer": "hidden"}, "layer must be one whose output is a map"),
        ({"layer": "conv9"}, "has no layer 'conv9'"),
    ],
)
def test_a_layer_that_is_no_map_is_refused(network, wrong, message):
    with pytest.raises(ArgumentError, match=message):
        explain.grad_cam(network, IMAGES, 0, **wrong)


def test_a_target_before_the_layer_is_refused(network):
    model = keras.Sequential(
        [
            keras.Input((10, 12, 2)),
            keras.layers.Conv2D(2, 3, name="first"),
            keras.layers.Conv2D(2, 3, name="second"),
        ]
    )
    with pytest.raises(ArgumentError, match="first, map 0 isn't computed from second"):
        explain.grad_cam(model, IMAGES, ("first", 0), layer="second")
