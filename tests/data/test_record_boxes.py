"""Objects in a record's features: shares become pixels, and what doesn't agree is refused."""

import pytest
import tensorflow as tf

from kerascnn.data import record_boxes

HELD = record_boxes.Objects(
    box="objects/bbox",
    label="objects/label",
    difficult=("objects/is_difficult", "objects/is_crowd"),
    classes=("cat", "dog"),
)


def features(boxes, labels, *flags):
    found = {
        HELD.box: tf.train.Feature(float_list=tf.train.FloatList(value=boxes)),
        HELD.label: tf.train.Feature(int64_list=tf.train.Int64List(value=labels)),
    }
    for name, flag in zip(HELD.difficult, flags):
        found[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=flag))
    return tf.train.Features(feature=found).feature


def test_shares_are_of_height_and_width_in_turns():
    found = record_boxes.annotation(
        features([0.5, 0.25, 1, 0.5, 0, 0, 0.25, 1], [1, 0], [0, 1], [0, 0]), HELD, (20, 40)
    )
    assert found.tolist() == [[10, 10, 20, 20, 1, 0], [0, 0, 40, 5, 0, 1]]
    assert record_boxes.annotation(features([], [], [], []), HELD, (20, 40)).shape == (0, 6)


@pytest.mark.parametrize(
    ("boxes", "labels", "flags", "message"),
    [
        (
            [0, 0, 1],
            [1],
            [0],
            "expected four numbers in objects/bbox for each of 1 in objects/label",
        ),
        ([0, 0, 1, 1], [1], [], "expected four numbers"),
        ([0, 0, float("nan"), 1], [1], [0], "object 1: its box has no area"),
        ([0, 0, float("inf"), 1], [1], [0], "object 1: its box reaches inf pixels out"),
        ([0, 0, 1, 1] * 2, [1, 2], [0, 0], "object 2: expected a class from 0 to 1. Received: 2"),
        ([0, 0, 1, 1], [-1], [0], "object 1: expected a class from 0 to 1. Received: -1"),
    ],
)
def test_what_does_not_agree_is_refused(boxes, labels, flags, message):
    with pytest.raises(ValueError, match=message):
        record_boxes.annotation(features(boxes, labels, flags, flags), HELD, (20, 40))
