"""Losses against torchvision's of a whole Faster R-CNN, darknet's, and the formulas in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import boxes, losses
from kerascnn_detection.cells import Answer, Truth
from kerascnn_detection.matching import match

every_case = pytest.mark.parametrize("name", ["voc", "small", "three_boxes"])


def by_hand(answer, truth):
    """The paper's equation 3, cell by cell, box by box."""
    found = dict.fromkeys(("coordinates", "object", "no_object", "classes"), 0.0)
    rows, columns, boxes_of_cell, _ = answer.boxes.shape
    for row, column in np.ndindex(rows, columns):
        here = truth.present[row, column]
        overlaps, away = [], []
        for box in range(boxes_of_cell):
            x, y, w, h = answer.boxes[row, column, box]
            tx, ty, tw, th = truth.boxes[row, column]
            one = ((x + column) / columns, (y + row) / rows, w**2, h**2)
            other = ((tx + column) / columns, (ty + row) / rows, tw, th)
            common = 1.0
            for axis in (0, 1):
                low = max(m[axis] - m[axis + 2] / 2 for m in (one, other))
                high = min(m[axis] + m[axis + 2] / 2 for m in (one, other))
                common *= max(high - low, 0)
            overlaps.append(common / (one[2] * one[3] + tw * th - common))
            away.append(np.square(np.subtract(one, other)).sum())
        best = np.argmax(overlaps) if max(overlaps) > 0 else np.argmin(away)
        for box in range(boxes_of_cell):
            confidence = answer.confidence[row, column, box]
            if not here or box != best:
                found["no_object"] += 0.5 * confidence**2
                continue
            x, y, w, h = answer.boxes[row, column, box]
            tx, ty, tw, th = truth.boxes[row, column]
            off = (x - tx) ** 2 + (y - ty) ** 2 + (w - tw**0.5) ** 2 + (h - th**0.5) ** 2
            found["coordinates"] += 5 * off
            found["object"] += (confidence - overlaps[box]) ** 2
        if here:
            errors = answer.classes[row, column] - truth.classes[row, column]
            found["classes"] += np.square(errors).sum()
    return found


def image(part, number):
    """One image's part of an answer or a truth, in float64."""
    return type(part)(**{k: np.array(v[number], "float64") for k, v in vars(part).items()})


@every_case
def test_each_term_of_yolos_loss_is_darknets_and_the_papers(darknet, name):
    one, arrays, truth, output_of = darknet(name)
    answer = Answer.of(output_of(arrays[f"{name}_prediction"]), one["B"])
    found = {key: part.numpy() for key, part in losses.yolo_loss(answer, truth).items()}
    for number in range(one["batch"]):
        expected = by_hand(image(answer, number), image(truth, number))
        assert {key: part[number] for key, part in found.items()} == pytest.approx(expected, 1e-5)
    names = {"object": "objectness_responsible"}
    for key, part in found.items():
        assert part.sum() == pytest.approx(one["parts"][names.get(key, key)], rel=1e-5)
    assert sum(part.sum() for part in found.values()) == pytest.approx(one["paper_loss"], rel=1e-5)


@every_case
def test_the_gradient_of_yolos_loss_is_twice_darknets(darknet, name):
    one, arrays, truth, output_of = darknet(name)
    output = tf.Variable(output_of(arrays[f"{name}_prediction"]))
    with tf.GradientTape() as tape:
        parts = losses.yolo_loss(Answer.of(output, one["B"]), truth)
        total = tf.reduce_sum(list(parts.values()))
    expected = -2 * output_of(arrays[f"{name}_delta"])
    np.testing.assert_allclose(tape.gradient(total, output), expected, rtol=1e-4, atol=1e-5)


def marked(count, *places):
    found = np.zeros((1, count), bool)
    for place in places:
        found[0, place] = True
    return tf.constant(found)


@pytest.mark.parametrize("drawn", ["all_sampled", "sampled"])
def test_a_proposal_networks_losses_are_torchvisions(golden, drawn):
    facts, arrays = golden("torchvision-fasterrcnn")
    anchors, objects = arrays["anchors"], arrays["target_boxes"]
    matches = match(
        boxes.iou(objects, anchors), np.ones(3, bool), high=0.7, low=0.3, each_object=True
    )
    labels = np.select([matches >= 0, matches == -1], [1, 0], -1)
    np.testing.assert_array_equal(labels, arrays["train_rpn_labels"])
    if drawn == "sampled":
        positive = marked(len(anchors), arrays["sampled_rpn_positive"])
        negative = marked(len(anchors), arrays["sampled_rpn_negative"])
    else:
        positive, negative = (tf.constant(labels[None] == kind) for kind in (1, 0))
    logits = arrays["rpn_objectness_0"].reshape(1, -1)
    found = losses.objectness_loss(logits, positive, negative)
    expected = facts[f"losses_{drawn}"]
    np.testing.assert_allclose(found, [expected["loss_objectness"]], rtol=1e-5)
    targets = boxes.encode(objects[np.maximum(matches, 0)], anchors)
    found = losses.box_loss(
        arrays["rpn_deltas_0"].reshape(1, -1, 4),
        targets[None],
        positive,
        positive | negative,
        beta=losses.SMOOTH_RPN,
    )
    np.testing.assert_allclose(found, [expected["loss_rpn_box_reg"]], rtol=1e-5)


def test_a_heads_labels_and_targets_are_torchvisions(golden):
    facts, arrays = golden("torchvision-fasterrcnn")
    proposals, objects = arrays["train_proposals"], arrays["target_boxes"]
    matches = match(boxes.iou(objects, proposals), np.ones(3, bool), high=0.5, low=0.5).numpy()
    nearest = np.maximum(matches, 0)
    labels = np.where(matches >= 0, arrays["target_labels"][nearest], losses.BACKGROUND)
    np.testing.assert_array_equal(labels, arrays["train_head_labels"])
    targets = boxes.encode(objects[nearest], proposals, facts["settings"]["box_weights"]).numpy()
    expected = arrays["train_head_targets"]
    np.testing.assert_allclose(targets[matches >= 0], expected[matches >= 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_smooth_l1_is_the_papers(sigma):
    x = np.linspace(-2, 2, 41)
    expected = [
        0.5 * (sigma * v) ** 2 if abs(v) < 1 / sigma**2 else abs(v) - 0.5 / sigma**2 for v in x
    ]
    found = losses.smooth_l1(tf.constant(x), losses.beta(sigma))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert losses.beta(3.0) == losses.SMOOTH_RPN


def test_a_heads_losses_are_means_over_what_was_drawn():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(2, 6, 4)).astype("float32")
    codes, targets = (
        rng.normal(0, 2, shape).astype("float32") for shape in ((2, 6, 4, 4), (2, 6, 4))
    )
    labels = rng.integers(0, 4, (2, 6)).astype("int32")
    labels[0, 0], labels[1] = 2, 0
    drawn = np.array([[True] * 5 + [False], [True] * 2 + [False] * 4])
    positive = drawn & (labels != losses.BACKGROUND)
    classes = losses.class_loss(logits, labels, drawn)
    moved = losses.box_loss(losses.of_class(codes, labels), targets, positive, drawn, beta=1.0)
    for number in range(2):
        each, off = [], 0.0
        for place in np.flatnonzero(drawn[number]):
            scores, label = logits[number, place].astype("float64"), labels[number, place]
            each.append(np.log(np.exp(scores).sum()) - scores[label])
            for x in codes[number, place, label] - targets[number, place] if label else ():
                off += 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5
        np.testing.assert_allclose(classes[number], np.mean(each), rtol=1e-5)
        np.testing.assert_allclose(moved[number], off / drawn[number].sum(), rtol=1e-5, atol=1e-7)
    assert moved[1] == 0


def test_an_image_without_objects_costs_its_background_alone():
    """And one of which nothing was drawn costs nothing; gradients are finite, of boxes 0."""
    none = tf.zeros([2, 6], bool)
    drawn = tf.constant([[True] * 6, [False] * 6])
    objects = np.zeros((2, 1, 6), "float32")
    objects[..., 4] = -1
    logits, codes = tf.Variable(tf.ones([2, 6])), tf.Variable(tf.ones([2, 6, 4]))
    scores, output = tf.Variable(tf.ones([2, 6, 3])), tf.Variable(tf.ones([2, 2, 2, 12]))
    empty = boxes.encode(boxes.corners(objects), np.ones((6, 4), "float32"))
    with tf.GradientTape(persistent=True) as tape:
        off = losses.box_loss(codes, empty, none, drawn, beta=1.0)
        sure = losses.objectness_loss(logits, none, drawn)
        classes = losses.class_loss(scores, np.zeros((2, 6), "int32"), drawn)
        parts = losses.yolo_loss(Answer.of(output, 2), Truth.of(objects, (8, 8), (2, 2), 2))
        yolo = tf.reduce_sum(list(parts.values()))
    np.testing.assert_array_equal(off, [0, 0])
    np.testing.assert_array_equal(sure > 0, [True, False])
    np.testing.assert_array_equal(classes > 0, [True, False])
    assert [bool(np.any(part)) for part in parts.values()] == [False, False, True, False]
    pairs = ((off, codes), (sure, logits), (classes, scores), (yolo, output))
    slopes = [tape.gradient(loss, of).numpy() for loss, of in pairs]
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert not slopes[0].any()
    assert slopes[3].any()
