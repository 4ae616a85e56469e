"""The figures of the FCN paper, against scikit-learn's and score.py's in goldens."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_segmentation import measures

GOLDEN = Path(__file__).parent / "goldens" / "metrics-segmentation"


@pytest.fixture(scope="module")
def golden():
    facts = json.loads(GOLDEN.with_suffix(".json").read_text())
    with np.load(GOLDEN.with_suffix(".npz")) as arrays:
        return facts, dict(arrays)


def scores_of(predicted, classes):
    """Scores of which the predicted class has the highest, `[1, height, width, classes]`."""
    return tf.one_hot(predicted[None], classes)


def test_the_confusion_matrix_of_all_images_is_scikit_learns(golden):
    facts, arrays = golden
    classes = facts["classes"]
    total = sum(
        measures.confusion(
            arrays[f"target_{n}"][None], scores_of(arrays[f"prediction_{n}"], classes), [True]
        )
        for n in range(3)
    )
    np.testing.assert_array_equal(
        np.reshape(total, (classes, classes)), arrays["confusion"].astype("float64")
    )
    on_the_host = sum(
        measures.confusion_of(arrays[f"target_{n}"], arrays[f"prediction_{n}"], classes)
        for n in range(3)
    )
    np.testing.assert_array_equal(on_the_host, arrays["confusion"])


def test_the_figures_are_those_of_score_py_and_scikit_learn(golden):
    facts, arrays = golden
    found = measures.figures(arrays["confusion"])
    assert found == pytest.approx({name: facts["metrics"][name] for name in found}, rel=1e-12)
    assert next(iter(found)) == "mean_iou"
    np.testing.assert_allclose(measures.iou(arrays["confusion"]), arrays["iou"], rtol=1e-6)
    by_class = measures.accuracy(arrays["confusion"])
    np.testing.assert_allclose(by_class, arrays["accuracy_by_class"], rtol=1e-6)


def test_a_class_that_is_only_predicted_counts_zero_and_one_that_is_nowhere_is_left_out():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert measures.figures(matrix)["mean_iou"] == (0.75 + 0) / 2
    assert [one["iou"] for one in measures.per_class(matrix, "abc")] == [0.75, 0.0, None]
    assert [one["accuracy"] for one in measures.per_class(matrix, "abc")] == [0.75, None, None]


def test_images_that_fill_a_batch_up_and_unknown_pixels_count_nothing():
    masks = np.array([[[0, 255], [1, 1]], [[0, 0], [0, 0]]], "uint8")
    predicted = np.array([[[0, 1], [0, 1]], [[1, 1], [1, 1]]])
    found = measures.confusion(masks, tf.one_hot(predicted, 2), [True, False])
    np.testing.assert_array_equal(found, [1, 0, 1, 1])


def test_a_network_that_answers_for_the_middle_is_judged_by_the_middle_of_the_mask():
    mask = np.zeros((1, 5, 5), "uint8")
    mask[0, 1:3, 1:3] = 1
    found = measures.confusion(mask, tf.one_hot(np.ones((1, 2, 2), int), 2), [True])
    np.testing.assert_array_equal(found, [0, 0, 0, 4])


def test_without_a_pixel_that_counts_all_figures_are_zero():
    assert set(measures.figures(np.zeros((3, 3))).values()) == {0.0}
