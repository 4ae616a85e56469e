"""Pictures show what they are given."""

import itertools

import keras
import matplotlib
import numpy as np
import pytest

from kerascnn import pictures
from kerascnn.applications.lenet import LeNet5

DIGITS = [str(digit) for digit in range(10)]


def texts(figure):
    """All that is written on the first axes."""
    return [text.get_text() for text in figure.axes[0].texts]


def test_confusion_writes_each_count_and_the_total_error():
    matrix = np.diag(np.arange(5, 15))
    matrix[3, 8] = 4
    figure = pictures.confusion(matrix, DIGITS)
    axes = figure.axes[0]
    assert axes.get_title("left") == "4 of 99 wrong (4.04%)"
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(8, 3): "4"} | {(i, i): str(5 + i) for i in range(10)}
    assert [label.get_text() for label in axes.get_xticklabels()] == DIGITS
    shown = pictures.pixels(figure).astype(int)
    reddest = (shown[..., 0] - shown[..., 1]).max()
    assert reddest > 100  # the error stands out, though it is a smaller count than any right one


@pytest.mark.parametrize("classes", [2, 40, 100])
def test_confusion_names_its_classes_and_each_name_has_its_own_place(classes):
    names = [f"a_name_that_is_too_long_for_an_axis_{number}" for number in range(classes)]
    figure = pictures.confusion(np.eye(classes, dtype=int), names)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert len(axes.texts) == (classes if classes <= pictures.MOST_COUNTED else 0)
    labels = axes.get_yticklabels()
    assert len({label.get_text() for label in labels}) == classes
    boxes = [label.get_window_extent() for label in labels]
    assert all(not one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_confusion_of_many_classes_stays_of_readable_size():
    figure = pictures.confusion(np.eye(1000, dtype=int), [f"class {i}" for i in range(1000)])
    assert not texts(figure)
    assert pictures.pixels(figure).shape[:2] == (900, 940)


def test_samples_mark_the_wrong_ones():
    images = np.zeros((3, 8, 8, 1), "uint8")
    probabilities = np.array([[0.9, 0.1], [0.25, 0.75], [0.2, 0.8]])
    figure = pictures.samples(images, np.array([0, 0, 1]), probabilities, ["cat", "dog"])
    assert texts(figure) == ["cat  90%", "dog  75%\nis cat", "dog  80%"]
    assert len(figure.axes[0].patches) == 1
    assert figure.axes[0].get_title("left") == "2 of 3 right"


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_of_any_channels_become_visible(channels, dtype):
    white = np.full((2, 4, 4, channels), 255 if dtype == "uint8" else 1, dtype)
    figure = pictures.samples(white, np.zeros(2, int), np.ones((2, 1)), ["white"])
    shown = np.stack([image.get_array() for image in figure.axes[0].images])
    assert shown.shape == (2, 4, 4, 3)
    assert np.all(shown == 1)


def test_filters_show_zero_as_middle_grey_and_use_the_whole_range():
    kernel = np.zeros((3, 3, 1, 4), "float32")
    kernel[0, 0, 0] = [1e-3, -5, 0, 2]  # of any size, and one filter that is all zero
    figure = pictures.filters(kernel, "conv1")
    shown = [image.get_array() for image in figure.axes[0].images]
    assert [picture[0, 0, 0] for picture in shown] == [1.0, 0.0, 0.5, 1.0]
    assert all(picture[1, 1, 1] == 0.5 for picture in shown)
    assert figure.axes[0].get_title("left") == "conv1: 4 of 3×3×1"


def test_filters_of_other_channels_show_the_mean_and_a_limited_number():
    figure = pictures.filters(np.ones((1, 1, 64, 300), "float32"), "conv1")
    assert len(figure.axes[0].images) == 256
    assert "the first 256" in figure.axes[0].get_title("left")
    assert "mean" in figure.axes[0].get_title("left")


def test_first_convolution_is_found_in_flat_and_nested_models():
    model = LeNet5()
    found = pictures.first_convolution(model)
    assert found.kernel.shape == (5, 5, 1, 6)
    nested = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Rescaling(2.0), model])
    assert pictures.first_convolution(nested) is found
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert pictures.first_convolution(dense) is None


def test_users_matplotlib_settings_are_left_alone_and_do_not_matter():
    before = dict(matplotlib.rcParams)
    light = pictures.pixels(pictures.confusion(np.eye(3, dtype=int), "abc"))
    with matplotlib.rc_context({"text.color": "white", "axes.facecolor": "black"}):
        assert np.array_equal(
            light, pictures.pixels(pictures.confusion(np.eye(3, dtype=int), "abc"))
        )
    assert dict(matplotlib.rcParams) == before
