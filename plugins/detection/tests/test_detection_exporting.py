"""What is compared of an exported detector: boxes and proposals wherever they stand."""

import keras
import numpy as np
import pytest
from kerascnn_detection import exporting
from kerascnn_detection.task import DETECTION
from kerascnn_detection.yolo import YOLOTiny

from kerascnn.data import ABSENT
from kerascnn.likeness import BOUND

COUNT = 120


@pytest.fixture
def rows():
    """Boxes in two images, and room; float32 `[2, 130, 6]`."""
    rng = np.random.default_rng(0)
    low, high = np.sort(rng.uniform(0, 500, (2, 2, COUNT, 2)), axis=0)
    labels, scores = rng.integers(0, 3, (2, COUNT, 1)), rng.uniform(0, 1, (2, COUNT, 1))
    found = np.full((2, COUNT + 10, 6), ABSENT, "float32")
    found[:, :COUNT] = np.concatenate([low, high, labels, scores], axis=-1)
    return found


def gap(ours, theirs):
    return exporting.of_boxes().gap([ours], [theirs])


def test_boxes_in_another_order_are_the_same_boxes(rows):
    order = np.random.default_rng(1).permutation(rows.shape[1])
    assert gap(rows, rows[:, order]) == 0


def test_images_say_more_whose_boxes_have_scores_far_apart(rows):
    """Boxes of nearly one score come in any order, so that little can be told from them."""
    near = np.where(rows[..., 5:] > 0, 0.5 + 1e-6 * rows[..., 5:], rows[..., 5:])
    alike = np.concatenate([rows[..., :5], near], axis=-1)
    said = exporting.of_boxes().said([np.concatenate([rows[:1], alike[:1], rows[:1] * 0 + ABSENT])])
    assert said[0] > said[1] > said[2] == 0
    assert exporting.of_boxes().said([rows[:, :1]]).min() > 0


def test_a_few_of_hundreds_may_be_others_and_no_more(rows):
    few, many = rows.copy(), rows.copy()
    few[:, 10:12, 4] = ABSENT
    many[:, 10:16, 4] = ABSENT
    assert gap(rows, few) == gap(few, rows) == 0
    assert min(gap(rows, many), gap(many, rows)) > BOUND
    assert gap(rows[:, :9], few[:, 2:11]) > BOUND, "of few boxes none may"


@pytest.mark.parametrize("how", ["scores", "places", "labels", "none", "other images"])
def test_what_another_network_says_shows(rows, how):
    other = rows.copy()
    there = other[..., 4] != ABSENT
    if how == "scores":
        other[..., 5] *= 0.99
    elif how == "places":
        other[..., :4] += 3
    elif how == "labels":
        other[..., 4] = np.where(there, (other[..., 4] + 1) % 3, ABSENT)
    elif how == "none":
        other[..., 4] = ABSENT
    else:
        other = other[::-1]
    assert min(gap(rows, other), gap(other, rows)) > BOUND


def test_proposals_are_found_among_outputs_in_any_order_with_what_is_said_of_them(rows):
    """Scores of five classes and a background are as wide as rows."""
    rng = np.random.default_rng(2)
    proposals = rows.copy()
    proposals[..., 4] = np.where(rows[..., 4] == ABSENT, ABSENT, 0)
    scores = rng.normal(size=(2, COUNT + 10, 6)).astype("float32")
    codes = rng.normal(size=(2, COUNT + 10, 24)).astype("float32")
    comparison = exporting.of_proposals()
    turned = [codes[:, ::-1], proposals[:, ::-1], scores[:, ::-1]]
    assert comparison.gap([scores, codes, proposals], turned) == 0
    turned[0] = turned[0] * 0.99
    assert comparison.gap([scores, codes, proposals], turned) > BOUND


@pytest.fixture(scope="module")
def yolo():
    keras.utils.set_random_seed(0)
    return YOLOTiny(
        input_shape=(16, 24, 1), classes=3, widths=(4, 4, 4), tail=(4,), head="conv", boxes=2
    )


def test_raw_files_answer_with_what_boxes_are_made_of(yolo):
    raw = DETECTION.raw(yolo)
    assert [tuple(output.shape[1:]) for output in raw.outputs] == [(2, 3, 13)]
    assert DETECTION.comparison(raw) is None, "cells have places"
    assert DETECTION.comparison(yolo).what == "boxes"
