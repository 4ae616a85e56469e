"""Boxes follow what is in them: onto the canvas, through crops, and as augmentation moves it."""

import numpy as np
import pytest
import tensorflow as tf
from sample_targets import boxes_of, motion, painted, three_boxes

from kerascnn.data import names
from kerascnn.data.boxes import Boxes
from kerascnn.data.masks import Masks
from kerascnn.data.sentinels import ABSENT
from kerascnn.errors import ArgumentError, DataError


def test_boxes_come_to_be_where_their_image_is():
    # 20×40 to 30×30: scaled by 1.5 to 30×60, of which the middle is taken, 15 from the left.
    found = three_boxes().fitted(0, (30, 30, 3))
    np.testing.assert_allclose(found[0], [0, 0, 30, 30, 1, 0])
    np.testing.assert_allclose(found[1], [0, 7.5, 15, 22.5, 0, 1])
    np.testing.assert_array_equal(found[2], [0, 0, 0, 0, ABSENT, 0], "nothing of it is left")
    padded = three_boxes().fitted(0, (24, 44, 3))
    np.testing.assert_allclose(padded[1], [12, 7, 22, 17, 0, 1])


def test_an_image_without_objects_has_rows_that_say_so():
    found = three_boxes().fitted(1, (20, 40, 3))
    assert found.shape == (3, 6)
    assert (found[:, 4] == ABSENT).all()
    nowhere = Boxes.of([[], []], [(5, 5), (5, 5)])
    assert nowhere.element((5, 5)) == ((1, 6), "float32")
    assert nowhere.fitted(1, (5, 5, 1)).tolist() == [[0, 0, 0, 0, ABSENT, 0]]


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_are_cut_like_what_is_in_them(mirrored):
    image, part = painted(), (tf.constant([4]), tf.constant([6]), tf.constant([mirrored]), (16, 20))
    seen = Masks.cut(tf.constant(image[None]), *part).numpy()[0]
    found = Boxes.cut(tf.constant(boxes_of(image)[None]), *part).numpy()[0]
    expected = boxes_of(np.vstack([seen, np.full((1, 20), 3, "uint8")]))[:2]
    np.testing.assert_array_equal(found[:2], expected)
    np.testing.assert_array_equal(found[2], [0, 0, 0, 0, ABSENT, 0])


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_boxes_are_moved_around_where_their_corners_come_to_be(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([15.5, 11.5]) - turn @ [15.5, 11.5] + [4, -3]  # around the middle
    matrices = tf.constant([np.column_stack([turn, shift])], tf.float32)
    box = np.array([[[10, 8, 22, 14, 5, 1], [0, 0, 0, 0, ABSENT, 0]]], "float32")
    canvas = np.zeros((1, 24, 32), "uint8")
    canvas[:, 8:14, 10:22] = 1
    found = Boxes.moved(tf.constant(box), motion(matrices, (24, 32))).numpy()[0]
    seen = Masks.moved(tf.constant(canvas), motion(matrices, (24, 32))).numpy()[0]
    assert found[0, 4:].tolist() == [5, 1]
    assert found[1].tolist() == [0, 0, 0, 0, ABSENT, 0]
    np.testing.assert_allclose(found[0, :4], boxes_of(np.where(seen == 1, 1, 0))[0, :4], atol=1.0)
    if not angle:
        np.testing.assert_allclose(found[0, :4], [6, 11, 18, 17], atol=1e-4)


def test_a_box_that_leaves_the_image_is_dropped():
    away = motion([[[1, 0, 100], [0, 1, 0]]], (8, 8))
    found = Boxes.moved(tf.constant([[[1.0, 1, 5, 5, 0, 0]]]), away).numpy()
    assert found.tolist() == [[[0, 0, 0, 0, ABSENT, 0]]]


def test_boxes_refuse_an_elastic_deformation():
    still = [[[1, 0, 0], [0, 1, 0]]]
    with pytest.raises(ArgumentError, match="elastic"):
        Boxes.moved(tf.zeros((1, 1, 6)), motion(still, (4, 4), np.zeros((1, 4, 4, 2))))


def test_boxes_of_an_image_of_another_size_are_refused():
    boxes = three_boxes(names=names.Names.of([b"a.xml", b"b.xml"])).beside(
        lambda position: (20, 39)
    )
    with pytest.raises(DataError, match=r"b\.xml: .*20×40.*20×39"):
        boxes.fitted(1, (4, 4, 1))


def test_boxes_that_are_wrong_say_why_when_they_are_asked_for():
    """Also where the images are in another order, or joined with some of which nothing is wrong."""
    right = three_boxes()
    boxes = three_boxes(wrong=names.Names.of([b"", b"b.xml: no XML."]))
    for targets, position in (
        (boxes, 1),
        (boxes.take(np.array([1])), 0),
        (right.joined([boxes]), 3),
        (boxes.joined([right]), 1),
    ):
        with pytest.raises(DataError, match=r"^b\.xml: no XML\.$"):
            targets.fitted(position, (20, 40, 3))
    for targets in (boxes, right.joined([boxes]), boxes.joined([right])):
        np.testing.assert_array_equal(targets.stored(0), right.stored(0))
    np.testing.assert_array_equal(boxes.joined([right]).stored(3), right.stored(1))
