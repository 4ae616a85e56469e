"""What is the same for all kinds of targets."""

import numpy as np
import pytest
import tensorflow as tf
from sample_targets import digest, masks_of, ramp, three_boxes

from kerascnn.data.boxes import Boxes
from kerascnn.data.labels import Labels, targets_of
from kerascnn.data.masks import Masks
from kerascnn.data.sentinels import ABSENT, VOID


def test_integers_are_labels_and_targets_stay():
    labels = targets_of(np.array([2, 0, 1], "uint8"))
    assert (labels.kind, len(labels), labels.labels.dtype) == ("label", 3, np.int32)
    masks = masks_of(ramp(4, 4))
    assert targets_of(masks) is masks


@pytest.mark.parametrize(
    "targets",
    [
        Labels([3, 1, 2, 0]),
        masks_of(*(np.full((4, 4), value) for value in (3, 1, 2, 0))),
        Boxes.of(
            [[[0, 0, value, value, value, 0]] * value for value in (3, 1, 2, 0)], [(4, 4)] * 4
        ),
    ],
    ids=lambda targets: targets.kind,
)
def test_targets_are_taken_and_joined_like_their_images(targets):
    shape = (4, 4, 1)
    rows = [targets.fitted(position, shape) for position in range(4)]
    for index in ([2, 0], [3], [], [1, 1, 3]):
        part = targets.take(np.array(index, "int64"))
        assert len(part) == len(index)
        for place, position in enumerate(index):
            np.testing.assert_array_equal(part.fitted(place, shape), rows[position])
    whole = targets.take(np.array([2, 3])).joined([targets.take(np.array([0])), targets])
    assert len(whole) == 7
    for place, position in enumerate([2, 3, 0, 0, 1, 2, 3]):
        np.testing.assert_array_equal(whole.fitted(place, shape), rows[position])
    again = targets.take(np.arange(2)).joined([targets.take(np.arange(2, 4))])
    assert digest(again) == digest(targets) != digest(targets.take(np.arange(3)))
    fetched = targets.fetch(shape)(tf.constant([3, 0, 0], tf.int64))
    assert (fetched.shape[1:], fetched.dtype) == targets.element((4, 4))
    np.testing.assert_array_equal(fetched, [rows[3], rows[0], rows[0]])


def test_class_numbers_become_those_of_another_list_of_names():
    table = np.array([2, -1, 0])
    assert Labels([0, 2]).relabelled(table).labels.tolist() == [2, 0]
    mask = masks_of([[0, 1, 2, VOID]], classes=3).relabelled(table)
    assert mask.stored(0).tolist() == [[2, VOID, 0, VOID]]
    boxes = three_boxes().relabelled(table)
    assert boxes.stored(0)[:, 4].tolist() == [ABSENT, 2, 0]
    assert boxes.relabelled(table).stored(0)[:, 4].tolist() == [ABSENT, 0, 2]
    height, width = boxes.sizes[0].tolist()
    assert boxes.fitted(0, (height, width, 3))[:, 4].tolist() == [2, 0, ABSENT]


@pytest.mark.parametrize(
    ("kind", "target", "counts", "nowhere"),
    [
        (Labels, np.int32(1), [0, 1, 0], 0),
        (Masks, np.array([[0, 2, VOID], [2, 2, VOID]], "uint8"), [1, 0, 3], 2),
        (Boxes, three_boxes().stored(0), [1, 1, 1], 0),
        (Boxes, three_boxes().stored(1), [0, 0, 0], 1),
    ],
)
def test_classes_are_counted_in_one_target(kind, target, counts, nowhere):
    found, rest = kind.count(target, 3)
    assert (found.tolist(), rest) == (counts, nowhere)


def test_classes_are_counted():
    assert Labels([0, 2, 2]).counts(4).tolist() == [1, 0, 2, 0]
    masks = masks_of([[0, 0, VOID]], [[1, 0, 3], [3, 3, 3]], classes=4)
    assert masks.counts(4).tolist() == [3, 1, 0, 4]
    assert three_boxes().counts(4).tolist() == [1, 1, 1, 0]
