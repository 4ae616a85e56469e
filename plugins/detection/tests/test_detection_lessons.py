"""What a step teaches, against a training step of torchvision's, and by hand at its edges."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import boxes, lessons, losses
from kerascnn_detection.sampling import draws

from kerascnn.data import ABSENT

EVERY = 10**6


@pytest.fixture(scope="module")
def torchvisions(golden):
    """Its arrays, and its three objects as a batch with room for two more."""
    facts, arrays = golden("torchvision-fasterrcnn")
    objects = np.zeros((1, 5, 6), "float32")
    objects[..., 4] = ABSENT
    objects[0, :3, :4], objects[0, :3, 4] = arrays["target_boxes"], arrays["target_labels"] - 1
    return facts, arrays, tf.constant(objects)


def test_a_proposal_networks_step_is_torchvisions(torchvisions):
    """It keeps anchors that cross the border, and all are drawn here."""
    facts, arrays, objects = torchvisions
    anchors = tf.constant(arrays["anchors"])
    lesson = replace(lessons.ANCHORS, inside=False, count=EVERY, share=1.0)
    numbers = draws(tf.zeros([1, 3], tf.int32), len(anchors))
    taught = lessons.of_anchors(objects, anchors, (256, 320), numbers, lesson)
    labels = np.where(taught.positive, 1, np.where(taught.negative, 0, -1))[0]
    np.testing.assert_array_equal(labels, arrays["train_rpn_labels"])
    codes = arrays["rpn_deltas_0"].reshape(1, -1, 4)
    found = losses.box_loss(
        codes, taught.codes, taught.positive, taught.drawn, beta=losses.SMOOTH_RPN
    )
    expected = facts["losses_all_sampled"]["loss_rpn_box_reg"]
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_a_heads_step_is_torchvisions(torchvisions):
    """The objects are proposals, too; absent ones aren't."""
    _, arrays, objects = torchvisions
    rows = np.zeros((1, 80, 6), "float32")
    rows[0, :, :4] = arrays["proposals"]
    numbers = draws(tf.zeros([1, 3], tf.int32), 85)
    lesson = replace(lessons.JOINT, count=85, share=1.0)
    chosen = lessons.drawn(objects, tf.constant(rows), numbers, lesson)
    taught = lessons.of_proposals(objects, chosen, lesson)
    drawn = taught.drawn[0].numpy()
    assert drawn.sum() == 83
    np.testing.assert_allclose(taught.boxes[0][drawn], arrays["train_proposals"], rtol=1e-6)
    np.testing.assert_array_equal(taught.labels[0][drawn], arrays["train_head_labels"])
    positive = taught.positive[0].numpy()
    expected = arrays["train_head_targets"][arrays["train_head_labels"] > 0]
    np.testing.assert_allclose(taught.codes[0][positive], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_step_has_as_many_as_asked_for_of_which_a_share_is_positive(torchvisions, compiled):
    _, arrays, objects = torchvisions
    rows = np.zeros((1, 80, 6), "float32")
    rows[0, :, :4] = arrays["proposals"]
    lesson = replace(lessons.JOINT, count=16)

    def step(epoch):
        numbers = draws(tf.stack([3, epoch, 7])[None], 85)
        chosen = lessons.drawn(objects, tf.constant(rows), numbers, lesson)
        return vars(lessons.of_proposals(objects, chosen, lesson))

    if compiled:
        step = tf.function(step, jit_compile=True)
    first, second, again = (step(tf.constant(number)) for number in (0, 1, 0))
    assert first["boxes"].shape == (1, 16, 4)
    assert np.sum(first["positive"]) == 4
    assert np.sum(first["negative"]) == 12
    assert np.any(first["boxes"] != second["boxes"])
    for key, part in first.items():
        np.testing.assert_array_equal(part, again[key])


def test_an_image_without_objects_teaches_background_alone():
    objects = tf.constant([[[0.0, 0, 0, 0, ABSENT, 0]]])
    rows = tf.constant([[[0.0, 0, 9, 9, 0, 0.5], [0, 0, 0, 0, ABSENT, 0]]])
    chosen = lessons.drawn(objects, rows, tf.zeros([1, 3], tf.int32))
    taught = lessons.of_proposals(objects, chosen)
    np.testing.assert_array_equal(np.argwhere(taught.drawn), [[0, 0]])
    assert not np.any(taught.positive)
    assert not np.any(taught.labels)
    assert np.isfinite(taught.codes).all()


def test_anchors_that_cross_the_border_teach_nothing_in_the_papers():
    objects = tf.constant([[[0.0, 0, 20, 20, 3, 0]]])
    anchors = tf.constant([[-4.0, 0, 20, 20], [0, 0, 30, 30], [60, 60, 70, 70]])
    numbers = tf.zeros([1, 3], tf.int32)
    taught = lessons.of_anchors(objects, anchors, (80, 80), numbers)
    np.testing.assert_array_equal(taught.positive, [[False, True, False]])
    np.testing.assert_array_equal(taught.negative, [[False, False, True]])
    np.testing.assert_array_equal(taught.labels[0, 1], 4)


def test_fast_r_cnns_negatives_overlap_a_little():
    objects = tf.constant([[[0.0, 0, 20, 20, 3, 0]]])
    rows = tf.constant([[[0.0, 0, 20, 5, 0, 1], [50, 50, 70, 70, 0, 1]]])
    overlaps = boxes.iou(objects[..., :4], rows[..., :4])
    np.testing.assert_allclose(overlaps, [[[0.25, 0]]], atol=1e-6)
    fast = lessons.of_proposals(objects, rows, lessons.FAST)
    np.testing.assert_allclose(np.array(fast.boxes)[np.array(fast.negative)], [[0, 0, 20, 5]])
    joint = lessons.of_proposals(objects, rows)
    assert np.sum(joint.negative) == 2
    chosen = lessons.drawn(objects, rows, tf.zeros([1, 3], tf.int32), lessons.FAST)
    there = chosen[0, :, 4] != ABSENT
    np.testing.assert_allclose(chosen[0, :, :4][there], [[0, 0, 20, 5], [0, 0, 20, 20]])


def test_difficult_objects_and_crowds_arent_learned():
    objects = tf.constant([[[0.0, 0, 9, 9, 2, 0], [9, 9, 20, 20, 1, 1], [0, 0, 0, 0, ABSENT, 0]]])
    np.testing.assert_array_equal(lessons.learned(objects)[0, :, 4], [2, ABSENT, ABSENT])
    np.testing.assert_array_equal(lessons.learned(objects)[..., :4], objects[..., :4])


def test_a_lesson_comes_back_from_json():
    for lesson in (lessons.ANCHORS, lessons.FAST, lessons.JOINT):
        assert lessons.Lesson.from_config(json.loads(json.dumps(asdict(lesson)))) == lesson
