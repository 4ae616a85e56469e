"""YOLO's cells against darknet's: which has which object, and what an answer means."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.cells import Answer, Truth, fit

from kerascnn.data import ABSENT

NAMES = ["voc", "small", "three_boxes"]
every_case = pytest.mark.parametrize("name", NAMES)


def objects_of(one, arrays):
    """Its boxes as a batch of `kerascnn.data.Boxes`, also those that share a cell."""
    rows = arrays[f"{one['name']}_boxes_batch_cx_cy_w_h_class_dropped"]
    found = np.zeros((one["batch"], 8, 6), "float32")
    found[..., 4] = ABSENT
    for image in range(one["batch"]):
        _, x, y, w, h, label, _ = rows[rows[:, 0] == image].T
        here = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        found[image, : len(here)] = np.column_stack([448 * here, label, 0 * x])
    return tf.constant(found)


@every_case
def test_objects_are_in_darknets_cells(darknet, name):
    one, arrays, truth, _ = darknet(name)
    found = Truth.of(objects_of(one, arrays), (448, 448), (one["S"], one["S"]), one["classes"])
    np.testing.assert_array_equal(found.present, truth.present)
    np.testing.assert_array_equal(found.classes, truth.classes)
    np.testing.assert_allclose(found.boxes, truth.boxes, atol=1e-5)


@every_case
def test_the_responsible_box_is_darknets(darknet, name):
    one, arrays, truth, output_of = darknet(name)
    answer = Answer.of(output_of(arrays[f"{name}_prediction"]), one["B"])
    _, responsible = fit(answer, truth)
    expected = arrays[f"{name}_responsible"].reshape(responsible.shape)
    np.testing.assert_array_equal(responsible, expected)


@every_case
def test_boxes_and_scores_are_darknets(darknet, name):
    one, arrays, _, output_of = darknet(name)
    boxes, scores = Answer.of(output_of(arrays[f"{name}_prediction"]), one["B"]).found((448, 448))
    x, y, w, h, confidence, *of_class = arrays[f"{name}_decoded_image0"].T
    edges = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    np.testing.assert_allclose(boxes[0, :, 0], np.clip(edges, 0, 448), rtol=1e-5, atol=1e-3)
    found = scores[0].numpy()
    np.testing.assert_allclose(np.where(found > one["threshold"], found, 0), np.transpose(of_class))
    assert boxes.shape[1] == len(confidence)


def test_a_map_that_isnt_square_has_rows_and_columns_where_they_belong():
    objects = tf.constant([[[40.0, 0, 60, 20, 1, 0], [0, 0, 0, 0, ABSENT, 0]]])
    truth = Truth.of(objects, (30, 60), (3, 4), 2)
    np.testing.assert_array_equal(np.argwhere(truth.present), [[0, 1, 3]])
    x, y, w, h = truth.boxes[0, 1, 3].numpy()
    np.testing.assert_allclose([x, y, w, h], [50 / 15 - 3, 0, 20 / 60, 20 / 30], atol=1e-6)
    output = np.zeros((1, 3, 4, 7), "float32")
    output[0, 1, 3] = [x, y, np.sqrt(w), np.sqrt(h), 1, 0, 0.5]
    boxes, scores = Answer.of(output, 1).found((30, 60))
    np.testing.assert_allclose(boxes[0, 7, 0], [40, 0, 60, 20], atol=1e-4)
    np.testing.assert_array_equal(scores[0, 7], [0, 0.5])


def test_an_object_whose_centre_is_on_the_last_border_is_in_the_last_cell():
    truth = Truth.of(tf.constant([[[10.0, 10, 10, 10, 0, 0]]]), (10, 10), (2, 2), 1)
    np.testing.assert_array_equal(np.argwhere(truth.present), [[0, 1, 1]])
