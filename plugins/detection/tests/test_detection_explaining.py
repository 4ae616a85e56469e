"""What is explained of a detector: the best box of a class."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.explaining import BestBoxes
from kerascnn_detection.task import DETECTION
from kerascnn_detection.yolo import YOLOTiny

from kerascnn import endpoints, explain
from kerascnn.data import ABSENT

ROWS = np.array(
    [[[0, 0, 9, 9, 1, 0.75], [1, 1, 5, 5, 1, 0.5], [2, 2, 4, 4, 2, 1], [0, 0, 0, 0, ABSENT, 0]]],
    "float32",
)


def test_a_class_has_the_score_of_its_best_box():
    found = keras.ops.sigmoid(BestBoxes(classes=3)(ROWS))
    np.testing.assert_allclose(found, [[0, 0.75, 1]], atol=2e-6)


def test_gradients_come_back_to_that_score_as_they_are_even_where_it_is_one():
    rows = tf.constant(ROWS)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        scores = BestBoxes(classes=3)(rows)
    gradient = tape.gradient(scores, rows).numpy()
    np.testing.assert_array_equal(gradient[0, :, 5], [1, 0, 1, 0])
    assert not gradient[..., :5].any()


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    shape = {"input_shape": (16, 24, 1), "classes": 3}
    model = YOLOTiny(widths=(4, 4, 4), tail=(4,), head="conv", boxes=2, **shape)
    cells = model.get_layer("cells")
    cells.bias.assign(np.full(13, 0.4))  # so that each cell finds something
    return model


def test_saliency_is_the_gradient_of_the_best_boxs_score(network):
    images = np.random.default_rng(0).normal(size=(2, 16, 24, 1)).astype("float32")
    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        rows = network(pixels)
        of_class = tf.where(rows[..., 4] == 1, rows[..., 5], 0)
        score = tf.reduce_max(of_class, axis=1)
    gradient = tape.gradient(score, pixels).numpy()
    assert np.abs(gradient).max() > 0
    found = explain.saliency(DETECTION.explained(network, 3), images, 1, signed=True)
    np.testing.assert_allclose(found, gradient, atol=1e-6)


def test_its_last_map_is_the_one_below_the_cells(network):
    """The image, whose size the answer is made with, is no way around the maps."""
    points = endpoints(DETECTION.explained(network, 3))
    assert [points[name].layer for name in ("C1", "C2", "C3")] == [
        "conv2_leaky",
        "conv3_leaky",
        "conv4_leaky",
    ]
