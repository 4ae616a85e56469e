import keras
import numpy as np
import pytest

from kerascnn import explain
from kerascnn.errors import ArgumentError


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Counted(keras.layers.Layer):
    """An identity that knows how often Python has called it."""

    calls = 0

    def call(self, inputs):
        type(self).calls += 1
        return inputs * 1.0


@pytest.fixture(scope="module")
def linear():
    """Two scores, each a weighted sum of the pixels; (model, weights)."""
    x = keras.Input((7, 9, 2))
    dense = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(x, dense(keras.layers.Flatten()(Counted()(x))))
    dense.kernel.assign(draw(126, 2, seed=1))
    return model, dense.kernel.numpy().T.reshape(2, 7, 9, 2)


def written_out(loss, window, stride):
    """The mean loss over the windows that cover a pixel; `loss` [height, width] adds up."""
    height, width = loss.shape
    sums, counts = np.zeros(loss.shape), np.zeros(loss.shape)
    top = 0
    while True:
        left = 0
        while True:
            under = np.s_[top : top + window[0], left : left + window[1]]
            sums[under] += loss[under].sum()
            counts[under] += 1
            if left + window[1] >= width:
                break
            left += stride[1]
        if top + window[0] >= height:
            break
        top += stride[0]
    return sums / counts


@pytest.mark.parametrize(
    ("window", "stride"), [(3, 2), (2, 2), (3, 1), ((4, 2), (3, 1)), ((7, 9), (1, 1)), (1, 1)]
)
def test_a_pixel_has_the_mean_loss_of_the_windows_over_it(linear, window, stride):
    model, weights = linear
    images = draw(3, 7, 9, 2)
    targets = [0, 1, 0]
    found = explain.occlusion(model, images, targets, window=window, stride=stride)
    pairs = [side if isinstance(side, tuple) else (side, side) for side in (window, stride)]
    for map_, image, target in zip(found, images, targets):
        loss = (weights[target] * image).sum(axis=-1)
        np.testing.assert_allclose(map_, written_out(loss, *pairs), rtol=1e-3, atol=1e-4)
    assert found.dtype == np.float32


@pytest.mark.parametrize("baseline", [0.5, np.float32([0.5, -1.0]), draw(7, 9, 2, seed=2)])
def test_what_covers_is_a_number_a_colour_or_an_image(linear, baseline):
    model, weights = linear
    image = draw(1, 7, 9, 2)
    found = explain.occlusion(model, image, 1, window=3, stride=2, baseline=baseline)
    loss = (weights[1] * (image[0] - baseline)).sum(axis=-1)
    np.testing.assert_allclose(found[0], written_out(loss, (3, 3), (2, 2)), rtol=1e-3, atol=1e-4)


def test_the_decisive_pixel_stands_out():
    x = keras.Input((8, 8, 1))
    pixel = keras.layers.Cropping2D(((3, 4), (4, 3)))(x)
    model = keras.Model(x, keras.layers.Flatten()(pixel))
    image = np.ones((1, 8, 8, 1), "float32")
    (found,) = explain.occlusion(model, image, 0, window=3, stride=1)
    decisive = np.indices(found.shape).T == (3, 4)
    assert (found == found.max()).tolist() == decisive.all(axis=-1).T.tolist()
    # Elsewhere it is the share of the windows over a pixel that cover the decisive one, too.
    assert found[3, 5] == pytest.approx(2 / 3)
    assert found[5, 4] == pytest.approx(1 / 3)
    assert not found[:, 7].any()


def test_the_network_is_traced_once_for_all_windows(linear):
    model, _ = linear
    Counted.calls = 0
    explain.occlusion(model, draw(1, 7, 9, 2), 0, window=1, stride=1)
    once = Counted.calls
    assert once <= 2  # to see which units are meant, and to compile
    explain.occlusion(model, draw(40, 7, 9, 2), 1, window=1, stride=1)
    assert Counted.calls <= 2 * once + 1


def test_a_unit_of_a_map_is_that_of_the_whole_image():
    x = keras.Input((4, 4, 1))
    doubled = keras.layers.Rescaling(2.0, name="doubled")(x)
    model = keras.Model(x, keras.layers.Flatten()(doubled))
    image = np.zeros((1, 4, 4, 1), "float32")
    image[0, 1, 2], image[0, 3, 3] = 5, 4
    (found,) = explain.occlusion(model, image, ("doubled", 0), window=1, stride=1)
    assert found[1, 2] == 10  # not 2: another unit is the strongest when this pixel is covered
    assert np.count_nonzero(found) == 1
    (found,) = explain.occlusion(model, image, ("doubled", 0, "all"), window=1, stride=1)
    assert (found[1, 2], found[3, 3]) == (10, 8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 8, "stride": 1},
        {"window": 2, "stride": 3},
        {"window": 0, "stride": 1},
        {"window": 2, "stride": (1, 1, 1)},
        {"window": 2.0, "stride": 1},
        {"window": 2, "stride": 1, "baseline": [1.0, 2.0, 3.0]},
    ],
)
def test_windows_that_leave_pixels_out_are_refused(linear, wrong):
    model, _ = linear
    with pytest.raises(ArgumentError, match=r"must .* Received"):
        explain.occlusion(model, draw(1, 7, 9, 2), 0, **wrong)
