"""Matching against torchvision's matcher, and against loops where it has a fault."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.matching import BELOW, BETWEEN, match

RPN = {"high": 0.7, "low": 0.3, "each_object": True}
ALL = np.ones(8, bool)


@pytest.mark.parametrize("name", ["rpn", "head", "rpn_strict"])
def test_matches_are_torchvisions(case, name):
    one, arrays = case("torchvision-matcher", name=name)
    found = match(
        tf.constant(arrays["iou"]),
        ALL,
        high=one["high"],
        low=one["low"],
        each_object=one["low_quality"],
    )
    np.testing.assert_array_equal(found, arrays[f"match_{name}"])


def test_an_object_that_no_anchor_touches_makes_none_positive(golden):
    """torchvision makes all of them positive: the best IoU, 0, is that of most anchors."""
    _, arrays = golden("torchvision-matcher")
    assert (arrays["match_rpn_unmatchable_gt"] >= 0).all()
    found = match(tf.constant(arrays["iou_with_unmatchable"]), np.ones(9, bool), **RPN)
    np.testing.assert_array_equal(found, arrays["match_rpn"])


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_without_an_object_change_nothing(golden, compiled):
    _, arrays = golden("torchvision-matcher")
    padded = np.concatenate([arrays["iou"], np.full((3, 500), 0.99, "float32")])
    batch = np.stack([padded, padded[::-1]])
    present = np.stack([[True] * 8 + [False] * 3, [False] * 3 + [True] * 8])
    function = tf.function(match, jit_compile=compiled)
    first, second = function(tf.constant(batch), tf.constant(present), **RPN).numpy()
    np.testing.assert_array_equal(first, arrays["match_rpn"])
    turned = arrays["match_rpn"]
    np.testing.assert_array_equal(second, np.where(turned >= 0, 10 - turned, turned))


def test_without_objects_all_anchors_are_background():
    found = match(tf.ones([2, 3, 5]), np.zeros((2, 3), bool), **RPN)
    np.testing.assert_array_equal(found, np.full((2, 5), BELOW))


def test_anchors_that_take_no_part_are_neither_and_are_nobodys_best():
    overlaps = tf.constant([[[0.9, 0.4, 0.2, 0.0]]])
    usable = np.array([False, True, True, True])
    found = match(overlaps, np.ones((1, 1), bool), **RPN, usable=usable)
    np.testing.assert_array_equal(found, [[BETWEEN, 0, BELOW, BELOW]])
    everyone = match(overlaps, np.ones((1, 1), bool), **RPN)
    np.testing.assert_array_equal(everyone, [[0, BETWEEN, BELOW, BELOW]])
