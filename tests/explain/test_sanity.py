"""Whether maps say what they claim to.

What pixels add to a score is all of it; and maps depend on what a network has learned (Adebayo et
al., 2018, "Sanity checks for saliency maps"). For the latter a network's layers get other weights
one after the other, from the top down ("cascading randomization", figure 2), and each map is
compared with that of the network as it was.
"""

import keras
import numpy as np
import pytest
import toys

from kerascnn import explain

LAYERS = ("logits", "fc5", "conv4", "conv3", "conv2", "conv1")
LABEL = 3


def network():
    layers = [keras.Input((32, 32, 3))]
    for number, width in enumerate((12, 16, 24, 24), start=1):
        activated = {"activation": "relu", "name": f"conv{number}"}
        layers.append(keras.layers.Conv2D(width, 3, padding="same", **activated))
        if number <= 2:
            layers.append(keras.layers.MaxPooling2D(2))
    layers += [keras.layers.Flatten(), keras.layers.Dense(32, activation="relu", name="fc5")]
    return keras.Sequential([*layers, keras.layers.Dense(10, name="logits")])


def randomize(layer, rng):
    def drawn(shape):
        inputs = np.prod(shape[:-1])
        return rng.normal(0, np.sqrt(2 / inputs) if len(shape) > 1 else 0.1, shape)

    layer.set_weights([drawn(weight.shape) for weight in layer.get_weights()])


def pictures():
    """Noise, and something brighter at another place in each."""
    images = 0.3 * np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    for number, image in enumerate(images):
        image[4 + 8 * number :][:10, 6:18] += 1
    return images


def rank_correlation(maps, others):
    """Spearman's, on average over the images."""
    pairs = ([each.ravel().argsort().argsort() for each in pair] for pair in zip(maps, others))
    return np.mean([np.corrcoef(*ranks)[0, 1] for ranks in pairs])


METHODS = {
    "saliency": lambda *args: explain.saliency(*args, signed=True),
    "smooth_grad": lambda *args: explain.smooth_grad(*args, samples=4, signed=True),
    "integrated_gradients": lambda *args: explain.integrated_gradients(*args, steps=8),
    "grad_cam": lambda *args: explain.grad_cam(*args, layer="conv4", signed=True),
    "grad_cam_plus_plus": lambda *args: explain.grad_cam_plus_plus(*args, layer="conv4"),
    "guided_backprop": explain.guided_backprop,
    "occlusion": lambda *args: explain.occlusion(*args, window=8, stride=4),
}


@pytest.fixture(scope="module")
def cascade():
    """By method: the map of the first network, then with one more layer randomized each."""
    model, images = network(), pictures()
    rng = np.random.default_rng(1)
    for layer in LAYERS:
        randomize(model.get_layer(layer), rng)
    maps = {name: [method(model, images, LABEL)] for name, method in METHODS.items()}
    for layer in LAYERS:
        randomize(model.get_layer(layer), rng)
        for name, method in METHODS.items():
            maps[name].append(method(model, images, LABEL))
    return maps


SEES_EDGES = {"grad_cam_plus_plus", "guided_backprop"}


@pytest.mark.parametrize("name", sorted(METHODS.keys() - SEES_EDGES))
def test_a_map_becomes_another_with_each_layer_that_gets_other_weights(cascade, name):
    first, *others = cascade[name]
    assert max(rank_correlation(first, later) for later in others) < 0.5
    assert abs(rank_correlation(first, others[-1])) < 0.3
    assert max(map(rank_correlation, cascade[name], others)) < 0.6


@pytest.mark.parametrize("name", sorted(SEES_EDGES))
def test_what_sums_positive_signals_hardly_notices_the_upper_layers(cascade, name):
    """As the paper found for guided back-propagation: it shows the image more than the class."""
    first, *others = cascade[name]
    assert rank_correlation(first, others[0]) > 0.8
    assert rank_correlation(first, others[-1]) < 0.6


@pytest.mark.parametrize("body", ["residual", "branches", "nested", "LRN", "operations"])
def test_what_pixels_add_is_what_covering_all_of_them_loses(body):
    """Sundararajan et al., 2017, proposition 1; on one side of the equation nothing is derived."""
    model = toys.network(toys.WITH_RELU[body])
    added = explain.integrated_gradients(model, toys.IMAGES, [0, 1, 2], baseline=0.3, steps=100)
    lost = explain.occlusion(
        model, toys.IMAGES, [0, 1, 2], window=toys.SHAPE[:2], stride=1, baseline=0.3
    )
    lost = lost[:, 0, 0]  # one window, so each pixel has the same value
    np.testing.assert_allclose(added.sum(axis=(1, 2, 3)), lost, atol=0.02 * np.abs(lost).max())
