"""Boxes in photos of any size, and what they are worth.

The network here finds what is white, exactly. It has the contract of a detector: from images
`[batch, height, width, 3]` to rows `[batch, 3, 6]`.
"""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from kerascnn_detection import answering
from kerascnn_detection.writing import as_results

from kerascnn import Preprocessing
from kerascnn.data import ABSENT, ArraySplit, Boxes
from kerascnn.errors import RunError

NAMES = ("white", "grey")
SHAPE = (32, 48, 3)


class White(keras.layers.Layer):
    """One row around all that is white, its score the brightness of it; or none."""

    def call(self, x):
        bright = x[..., 0] > 0.5
        rows, columns = ops.any(bright, axis=2), ops.any(bright, axis=1)

        def ends(marks):
            first = ops.argmax(ops.cast(marks, "int32"), axis=1)
            last = marks.shape[1] - ops.argmax(ops.cast(marks[:, ::-1], "int32"), axis=1)
            return ops.cast(first, "float32"), ops.cast(last, "float32")

        (y1, y2), (x1, x2) = ends(rows), ends(columns)
        there = ops.any(rows, axis=1)
        label = ops.where(there, 0.0, float(ABSENT))
        found = ops.stack([x1, y1, x2, y2, label, ops.max(x[..., 0], axis=(1, 2))], axis=-1)
        none = ops.stack([*[0 * x1] * 4, 0 * x1 + ABSENT, 0 * x1], axis=-1)
        return ops.stack([ops.where(there[:, None], found, none), none, none], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 3, 6)


def network(name="white"):
    """Its outputs are rows, and what they are made of, as those of any detector's scores."""
    image = keras.Input(SHAPE)
    return keras.Model(image, [White(name=name)(image), image])


def sight(**changes):
    """How it sees images."""
    known = {
        "input_shape": SHAPE,
        "named_classes": NAMES,
        "classes": len(NAMES),
        "preprocessing": Preprocessing(scale=1 / 255),
    }
    return SimpleNamespace(**{**known, **changes})


def photo(size, box):
    """A photo `(height, width)` that is black but for a white box x1, y1, x2, y2."""
    pixels = np.zeros((*size, 3), "uint8")
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = 255
    return pixels


@pytest.fixture(scope="module")
def look():
    return answering.looking(network(), sight(), graph=True)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((32, 48), (5, 6, 20, 30)),  # the network's own
        ((30, 42), (5, 6, 20, 29)),  # padded, as training pads it
        ((320, 480), (50, 60, 200, 300)),  # smaller
        ((320, 240), (48, 60, 240, 300)),  # upright: zeros at the left and the right
        ((64, 480), (0, 16, 470, 64)),  # long: zeros above and below
        ((16, 24), (2, 3, 20, 12)),  # larger
    ],
)
def test_boxes_come_back_in_the_pixels_of_the_photo(look, size, box):
    ((rows, _),) = look([photo(size, box)])
    scale = max(1, *(side / own for side, own in zip(size, SHAPE)))  # photo's pixels for one
    np.testing.assert_allclose(rows[:, :4], [box], atol=scale)
    np.testing.assert_array_equal(rows[:, 4:], [[0, 1]])


def test_nothing_of_a_photo_is_cut_off_and_nothing_is_squeezed():
    pixels, place = answering.whole_on(np.full((100, 60, 3), 255, "uint8"), SHAPE)
    rows, columns = pixels[..., 0].any(axis=1), pixels[..., 0].any(axis=0)
    assert (rows.sum(), columns.sum()) == (32, 19)
    assert columns[14:33].all()
    np.testing.assert_allclose(place.scale, 0.32, rtol=0.01)


def test_a_photo_of_the_inputs_shape_is_seen_as_training_sees_it():
    stored = np.random.default_rng(0).integers(0, 255, SHAPE).astype("uint8")
    pixels, place = answering.whole_on(stored, SHAPE)
    np.testing.assert_array_equal(pixels, stored)
    assert (place.scale, place.offset) == ((1, 1), (0, 0))


def test_boxes_beside_the_photo_are_dropped_and_others_cut_at_its_border():
    _, place = answering.whole_on(np.zeros((64, 48, 3), "uint8"), SHAPE)  # 12 columns at each side
    rows = [[0, 0, 11, 32, 0, 0.9], [6, 0, 24, 40, 1, 0.8], [0, 0, 0, 0, ABSENT, 0]]
    found = answering.back(np.array(rows, "float32"), place, (64, 48))
    np.testing.assert_allclose(found, [[0, 0, 24, 64, 1, 0.8]])


def test_only_boxes_that_are_asked_for_are_kept():
    rows = np.array([[0, 0, 1, 1, 0, score] for score in (0.9, 0.6, 0.2)])
    np.testing.assert_array_equal(answering.kept(rows, least_score=0.6)[:, 5], [0.9, 0.6])
    np.testing.assert_array_equal(answering.kept(rows, top=1)[:, 5], [0.9])
    np.testing.assert_array_equal(answering.kept(rows), rows)


BOXES = [(5, 6, 20, 30), (20, 2, 40, 9), (1, 1, 9, 9), (30, 10, 47, 30), (8, 8, 40, 30)]


def split(*, labels=(0,) * 5, difficult=(0,) * 5):
    """Five photos of their own sizes, of which each has a white box."""
    photos = [photo((64, 96), tuple(2 * edge for edge in box)) for box in BOXES]
    rows = [
        [[*(2 * edge for edge in box), label, hard]]
        for box, label, hard in zip(BOXES, labels, difficult)
    ]
    targets = Boxes.of([np.array(one) for one in rows], [(64, 96)] * 5)
    small = np.zeros((5, *SHAPE), "uint8")
    return ArraySplit(small, targets, original=photos.__getitem__)


@pytest.mark.parametrize("batch_size", [2, 5, 8])
def test_each_image_is_judged_once_in_its_own_pixels(batch_size):
    found = answering.judged(network(), sight(), split(), batch_size=batch_size)
    assert (found["ap50"], found["ap75"], found["loss"]) == (1, 1, None)
    white, grey = found["classes"]
    assert (white["objects"], white["detections"], white["recall"]) == (5, 5, 1)
    assert (grey["objects"], grey["ap50"]) == (0, None)
    assert "proposals" not in found


def test_what_is_found_has_the_numbers_that_annotations_have():
    """So that COCO's tools read it; a class that they don't know has none."""
    images = split()
    targets = replace(images.targets, ids=np.arange(139, 144), class_ids={0: 18})
    of = ArraySplit(np.zeros((5, *SHAPE), "uint8"), targets, original=images.original)
    first, *_ = answering.judged(network(), sight(), of, batch_size=4)["results"]
    x, y, *_ = first["bbox"]
    assert (first["image_id"], first["category_id"], first["category"]) == (139, 18, "white")
    assert (x, y) == pytest.approx((10, 12), abs=1)
    grey = as_results(np.array([[0, 0, 1, 1, 1, 0.5]]), 139, ("white", "grey"), {0: 18})
    assert grey[0]["category_id"] is None
    plain = answering.judged(network(), sight(), images, batch_size=4)["results"][-1]
    assert (plain["image_id"], plain["category_id"]) == (4, 0)


def test_objects_of_another_class_are_missed_and_difficult_ones_not_asked_for():
    of = split(labels=(0, 0, 0, 1, 1), difficult=(0, 0, 1, 0, 0))
    white, grey = answering.judged(network(), sight(), of, batch_size=4)["classes"]
    assert [white[key] for key in ("objects", "difficult", "recall")] == [2, 1, 1]
    assert [grey[key] for key in ("objects", "recall", "ap50")] == [2, 0, 0]


@pytest.mark.parametrize("layer", answering.PROPOSALS)
def test_the_recall_of_proposals_is_told_where_a_network_has_any(layer):
    of = split(labels=(0, 1, 1, 0, 0), difficult=(0, 0, 1, 0, 0))  # whatever their class
    found = answering.judged(network(layer), sight(), of, batch_size=4)
    assert found["proposals"] == {"recall": 1.0, "of_an_image": 1.0}


def test_a_network_that_answers_with_no_numbers_is_refused():
    rows = network()
    damaged = keras.layers.Rescaling(float("nan"), name="damaged")(rows.inputs[0])
    model = keras.Model(rows.inputs, [rows.outputs[0], damaged])
    with pytest.raises(RunError, match="answers 4 of 4 images with scores that are not numbers"):
        answering.judged(model, sight(), split(), batch_size=4)
