"""Values as colours: zero is nothing, pixels stay pixels, and extremes hide nothing."""

import numpy as np

from kerascnn.explain import colours
from kerascnn.explain.methods import SIGNED

RNG = np.random.default_rng(0)


def test_zero_is_the_photo_in_grey_and_far_from_it_is_colour():
    photo = np.full((4, 4, 3), 0.5, "float32")
    values = np.zeros((4, 4))
    values[0, 0], values[3, 3] = -1, 1
    found = colours.coloured(SIGNED, values, photo, smooth=False)
    grey, below, above = found[found.shape[0] // 2, 0], found[0, 0], found[-1, -1]
    assert np.ptp(grey) == 0
    assert below[2] > below[0] + 0.3  # blue
    assert above[0] > above[2] + 0.3  # red


def test_a_small_image_is_enlarged_pixel_by_pixel():
    image = RNG.random((28, 20, 3)).astype("float32")
    found = colours.large(image)
    factor = found.shape[0] // 28
    assert factor * 28 >= colours.SHARP
    np.testing.assert_array_equal(found[::factor, ::factor], image)
    np.testing.assert_array_equal(found[factor - 1 :: factor, factor - 1 :: factor], image)


def test_one_extreme_pixel_does_not_hide_the_others():
    values = RNG.normal(size=(100, 100))
    values[0, 0] = 1e6
    assert np.abs(colours._scaled(values)).mean() > 0.1
    assert not colours._scaled(np.zeros((3, 3))).any()
