"""Boxes against torchvision's, and what must hold for rows without an object."""

import math

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import boxes

from kerascnn.data import ABSENT, Boxes


def test_iou_is_torchvisions_and_0_where_neither_box_has_an_area(golden):
    _, arrays = golden("torchvision-boxes")
    expected = np.nan_to_num(arrays["iou"], nan=0.0)
    assert np.isnan(arrays["iou"]).any()
    np.testing.assert_allclose(boxes.iou(arrays["a"], arrays["b"]), expected, atol=1e-6)
    batch = boxes.iou(np.stack([arrays["a"]] * 2), np.stack([arrays["b"], arrays["b"][::-1]]))
    np.testing.assert_allclose(batch, [expected, expected[:, ::-1]], atol=1e-6)


def test_areas_and_clipped_boxes_are_torchvisions(golden):
    _, arrays = golden("torchvision-boxes")
    np.testing.assert_allclose(boxes.area(arrays["a"]), arrays["area"], rtol=1e-6)
    clipped = boxes.clip(tf.constant(arrays["wild"]), (300, 400))
    np.testing.assert_array_equal(clipped, arrays["clipped_300x400"])


def test_each_image_of_a_batch_may_have_its_own_size():
    wild = tf.constant([[[-5.0, -5, 90, 90]], [[-5.0, -5, 90, 90]]])
    sizes = np.array([[40], [60]], "float32"), np.array([[70], [30]], "float32")
    clipped = boxes.clip(wild, sizes)
    np.testing.assert_array_equal(clipped, [[[0, 0, 70, 40]], [[0, 0, 30, 60]]])
    assert boxes.inside(clipped, sizes).numpy().all()
    assert not boxes.inside(wild, sizes).numpy().any()


@pytest.mark.parametrize("side", [1, 16])
def test_boxes_that_are_large_enough_are_torchvisions(golden, side):
    _, arrays = golden("torchvision-boxes")
    found = np.flatnonzero(boxes.at_least(tf.constant(arrays["small"]), side))
    np.testing.assert_array_equal(found, arrays[f"small_keep_{side}"])


@pytest.mark.parametrize("number", [0, 1])
def test_codes_are_torchvisions(case, number):
    one, arrays = case("torchvision-box-coder", index=number)
    assert tuple(one["weights"]) == (boxes.PAPERS, boxes.PLAIN)[number]
    anchors, references = arrays["proposals"], arrays["references"]
    code = boxes.encode(references, anchors, one["weights"])
    np.testing.assert_allclose(code, arrays[f"encoded_{number}"], rtol=1e-5, atol=1e-5)
    back = boxes.decode(code, anchors, one["weights"])
    np.testing.assert_allclose(back, arrays[f"round_trip_{number}"], rtol=1e-5, atol=1e-4)
    deltas = arrays[f"deltas_{number}"].reshape(-1, 3, 4)  # of three classes
    found = boxes.decode(deltas, anchors[:, None], one["weights"])
    expected = arrays[f"decoded_{number}"].reshape(-1, 3, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_a_side_grows_no_further_than_the_largest_code():
    anchor = np.array([[10.0, 10, 26, 26]], "float32")
    code = np.array([[0.0, 0, 50, 50]], "float32")
    sides = boxes.decode(code, anchor)[0, 2:] - boxes.decode(code, anchor)[0, :2]
    np.testing.assert_allclose(sides, [1000, 1000], rtol=1e-5)
    assert np.isfinite(boxes.decode(code, anchor)).all()
    free = boxes.decode(code, anchor, largest=math.inf)[0]
    np.testing.assert_allclose(free[2] - free[0], 16 * math.exp(50), rtol=1e-5)


def test_the_weights_of_the_papers_are_one_over_their_standard_deviations():
    np.testing.assert_allclose(boxes.PAPERS, 1 / np.array([0.1, 0.1, 0.2, 0.2]))


def test_rows_without_an_object_are_told_by_their_label_and_have_finite_codes():
    given = Boxes.of([np.array([[0, 0, 8, 6, 0, 1]]), np.zeros((0, 6))], [(12, 16)] * 2)
    batch = tf.constant(np.stack([given.fitted(n, (12, 16, 1)) for n in range(2)]))
    np.testing.assert_array_equal(boxes.present(batch), [[True], [False]])
    np.testing.assert_array_equal(boxes.labels(batch), [[0], [ABSENT]])
    code = boxes.encode(boxes.corners(batch), np.array([[0.0, 0, 4, 4]], "float32"))
    assert np.isfinite(code).all()


def test_half_precision_codes_are_decoded_in_float32():
    anchors = np.array([[500.0, 700, 516, 716]], "float32")
    found = boxes.decode(tf.zeros([1, 4], tf.float16), anchors)
    np.testing.assert_array_equal(found, anchors)
    assert found.dtype == tf.float32
