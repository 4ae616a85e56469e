"""deconvnet against NumPy written from the paper: Zeiler and Fergus, 2014, section 2.1."""

import keras
import numpy as np
import pytest

from kerascnn import explain


def correlate(image, kernel, bias):
    """A valid convolution with stride 1, `[h, w, c]` → `[h', w', f]`."""
    size = len(kernel)
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    out = np.zeros((rows, columns, kernel.shape[-1]))
    for y, x in np.ndindex(rows, columns):
        out[y, x] = np.tensordot(image[y : y + size, x : x + size], kernel, 3) + bias
    return out


def pooled(maps):
    """2×2 maxima, and the switches: where each was."""
    out = np.zeros((maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]))
    switches = {}
    for y, x, c in np.ndindex(out.shape):
        window = maps[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c]
        row, column = np.unravel_index(window.argmax(), (2, 2))
        out[y, x, c] = window[row, column]
        switches[y, x, c] = 2 * y + row, 2 * x + column, c
    return out, switches


def unpooled(signal, switches, shape):
    out = np.zeros(shape)
    for place, source in switches.items():
        out[source] += signal[place]
    return out


def transposed(signal, kernel, shape):
    """Each unit spreads its filter over what it was computed from."""
    size = len(kernel)
    out = np.zeros(shape)
    for y, x, f in np.ndindex(signal.shape):
        out[y : y + size, x : x + size] += signal[y, x, f] * kernel[..., f]
    return out


@pytest.fixture(scope="module")
def network():
    """Convolution, pooling, convolution, dense; the first ReLU is a layer of its own."""
    image = keras.Input((11, 11, 2))
    x = keras.layers.Conv2D(4, 3, name="conv1")(image)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Conv2D(5, 2, activation="relu", name="conv2")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(3, activation="softmax", name="out")(x)
    model = keras.Model(image, x)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def by_hand(model, image, start, *, guided=False):
    """Down from a signal at conv2's output; `start` makes it of conv2's map."""
    first, bias1, second, bias2, dense, _ = model.get_weights()
    before1 = correlate(image, first, bias1)
    maps1, switches = pooled(np.maximum(before1, 0))
    before2 = correlate(maps1, second, bias2)
    signal = np.maximum(start(np.maximum(before2, 0), dense), 0)
    signal = signal * (before2 > 0) if guided else signal
    signal = transposed(signal, second, maps1.shape)
    signal = np.maximum(unpooled(signal, switches, before1.shape), 0)
    signal = signal * (before1 > 0) if guided else signal
    return transposed(signal, first, image.shape)


def strongest_of(channel):
    def start(maps, _):
        alone = np.zeros_like(maps)
        place = np.unravel_index(maps[..., channel].argmax(), maps.shape[:2])
        alone[(*place, channel)] = maps[(*place, channel)]
        return alone

    return start


IMAGES = np.random.default_rng(4).normal(size=(3, 11, 11, 2)).astype("float32")


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("channel", range(5))
def test_a_map_is_projected_as_the_paper_says(network, channel, guided):
    method = explain.guided_backprop if guided else explain.deconvnet
    found = method(network, IMAGES, ("conv2", channel))
    expected = [by_hand(network, i, strongest_of(channel), guided=guided) for i in IMAGES]
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("unit", ["all", (1, 2)])
def test_a_unit_or_all_of_a_map_start_with_their_values(network, unit):
    def start(maps, _):
        chosen = np.zeros_like(maps)
        places = np.index_exp[:, :, 2] if unit == "all" else (*unit, 2)
        chosen[places] = maps[places]
        return chosen

    found = explain.deconvnet(network, IMAGES, ("conv2", 2, unit))
    expected = [by_hand(network, image, start) for image in IMAGES]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_class_starts_with_one_before_its_softmax(network):
    def start(maps, dense):
        return dense[:, 1].reshape(maps.shape)

    found = explain.deconvnet(network, IMAGES, 1)
    expected = [by_hand(network, image, start) for image in IMAGES]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_each_image_can_have_a_target_of_its_own_in_any_layer(network):
    targets = [("conv2", 1), 2, ("relu1", 0, (3, 4))]
    together = explain.deconvnet(network, IMAGES, targets)
    alone = [
        explain.deconvnet(network, image[None], target)[0] for image, target in zip(IMAGES, targets)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())


def score_by_hand(model, image, label):
    first, bias1, second, bias2, dense, bias3 = model.get_weights()
    maps, _ = pooled(np.maximum(correlate(image, first, bias1), 0))
    maps = np.maximum(correlate(maps, second, bias2), 0)
    return (maps.reshape(-1) @ dense + bias3)[label]


def test_saliency_is_the_gradient_of_the_score_before_the_softmax(network):
    found = explain.saliency(network, IMAGES[:1], 1, signed=True)[0]
    for place in [(0, 0, 0), (5, 4, 1), (10, 7, 0), (3, 3, 1)]:
        step = np.zeros(IMAGES[0].shape)
        step[place] = 1e-6
        above, below = (score_by_hand(network, IMAGES[0] + s, 1) for s in (step, -step))
        assert found[place] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-4)


def test_unsigned_saliency_is_the_largest_over_the_channels(network):
    signed = explain.saliency(network, IMAGES, 0, signed=True)
    expected = np.maximum(np.abs(signed[..., 0]), np.abs(signed[..., 1]))
    np.testing.assert_array_equal(explain.saliency(network, IMAGES, 0), expected)
