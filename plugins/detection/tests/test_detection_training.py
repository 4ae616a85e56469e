"""The graph of a training step, and its losses."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import two_stage
from kerascnn_detection.faster_rcnn import classify
from kerascnn_detection.lessons import Lesson
from kerascnn_detection.regions import RoIAlign
from kerascnn_detection.stages import MARGINS, Detections
from kerascnn_detection.training import Sample, taught

import kerascnn
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

LESSON = Lesson(high=0.5, low=0.5, count=12, share=0.25)
SIDE = 32


def trunk():
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu", name="conv1")(image)
    return image, keras.layers.BatchNormalization(name="bn")(x)


def scores_of(model):
    """What the task makes of a model: its answer, and what losses are made of."""
    finder, proposals = (
        model.get_layer("detections"),
        [layer for layer in model.layers if layer.name == "proposals"],
    )
    rest = [x for layer in proposals for x in layer.input[:-1]]
    return keras.Model(model.input, [model.output, *finder.input, *rest], name=model.name)


@pytest.fixture(scope="module")
def faster():
    keras.utils.set_random_seed(3)
    return scores_of(
        kerascnn.create(
            "faster_rcnn",
            input_shape=(SIDE, SIDE, 3),
            classes=2,
            backbone="resnet20_cifar",
            backbone_arguments="depths=1,1,1 widths=4,6,8 shortcut=B",
            stride=4,
            anchor_sizes=(8.0, 16.0),
            rpn_width=8,
            candidates=60,
            candidates_trained=80,
            proposals=20,
            proposals_trained=30,
            least_side=1.0,
            roi_size=2,
            head_widths=(8,),
            dropout=0.0,
            samples=LESSON.count,
        )
    )


def fast(scores="logits"):
    """Without a region proposal network: the boxes come from a layer on the image."""
    keras.utils.set_random_seed(3)
    image, maps = trunk()
    grid = [[x, y, x + 16, y + 16, 0, 1] for x in (0, 8, 16) for y in (0, 8, 16)]
    rows = keras.layers.Lambda(
        lambda x: tf.tile(tf.constant([grid], tf.float32), [tf.shape(x)[0], 1, 1]),
        output_shape=(9, 6),
        name="windows",
    )(image)
    pool = RoIAlign((2, 2), stride=4, name="roi_align")
    head = classify([maps], rows, pool=pool, classes=2, hidden=(8,), dropout=0.0)
    answers = Detections(lesson=LESSON, scores=scores, name="detections")
    return scores_of(keras.Model(image, answers([*head, rows, image])))


@pytest.fixture(scope="module")
def batch():
    """Two images; in the second one is nothing but a difficult object."""
    random = np.random.default_rng(0)
    images = random.uniform(size=(2, SIDE, SIDE, 3)).astype("float32")
    nothing = [0, 0, 0, 0, ABSENT, 0]
    targets = [
        [[2, 3, 14, 15, 1, 0], [15, 10, 31, 30, 0, 0], nothing],
        [[4, 4, 12, 20, 1, 1], nothing, nothing],
    ]
    draws = [[5, 0, 17], [5, 0, 3]]
    return images, np.array(targets, "float32"), np.array(draws, "int32")


def step(model, scores, batch):
    """Losses, gradients and outputs of one step."""
    losses = two_stage.losses(scores)
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        parts = losses(batch[1], outputs)
        total = tf.add_n([tf.reduce_sum(part) for part in parts.values()])
    return parts, tape.gradient(total, scores.trainable_variables), outputs


def test_a_step_reaches_all_variables_of_the_network_and_has_no_others(faster, batch):
    model = taught(faster)
    assert [v.path for v in model.variables] == [v.path for v in faster.variables]
    assert {id(v) for v in model.variables} == {id(v) for v in faster.variables}
    parts, gradients, outputs = step(model, faster, batch)
    assert tuple(parts) == two_stage.parts(faster)
    assert tuple(parts) == ("rpn_objectness", "rpn_boxes", "classes", "boxes")
    for variable, gradient in zip(faster.trainable_variables, gradients):
        assert gradient is not None, variable.path
        assert np.any(gradient), variable.path
        assert np.isfinite(gradient).all(), variable.path
    assert len(outputs) == len(faster.outputs) + 1
    assert outputs[3].shape == (2, LESSON.count, 6)


def test_the_objects_are_among_the_proposals_of_a_step(batch):
    """Those that are learned; here all candidates are drawn that are near or far enough."""
    _, targets, draws = batch
    rows = np.zeros((2, 1, 6), "float32")
    rows[..., 2:4] = 9.0
    layer = Sample(lesson=replace(LESSON, count=6, share=1.0))
    found = layer([rows, targets, draws]).numpy()
    assert found.shape == (2, 6, 6)
    there = found[..., 4] != ABSENT
    np.testing.assert_array_equal(found[0][there[0], :4], [rows[0, 0, :4], *targets[0, :2, :4]])
    np.testing.assert_array_equal(found[1][there[1], :4], rows[1, :, :4])
    twin = Sample.from_config(layer.get_config())
    np.testing.assert_array_equal(twin([rows, targets, draws]), found)


def test_a_step_is_a_function_of_seed_epoch_and_image(faster, batch):
    model = taught(faster)
    first, again = (model(batch, training=True) for _ in range(2))
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    images, targets, draws = batch
    other = model((images, targets, draws + np.int32([0, 1, 0])), training=True)
    assert np.any(first[3] != other[3])
    turned = model([part[::-1] for part in batch], training=False)
    np.testing.assert_array_equal(turned[3][::-1], model(batch, training=False)[3])


def test_losses_are_finite_without_objects_and_those_of_boxes_nothing(faster, batch):
    parts, gradients, _ = step(taught(faster), faster, batch)
    for name, loss in parts.items():
        assert np.isfinite(loss).all()
        assert (loss[1] == 0) == (name in ("boxes", "rpn_boxes"))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_evaluation_judges_all_proposals(faster, batch):
    images, targets, _ = batch
    parts = two_stage.losses(faster)(targets, faster(images))
    assert {part.shape for part in parts.values()} == {(2,)}
    again = two_stage.losses(faster)(targets, faster(images))
    for name, part in parts.items():
        np.testing.assert_array_equal(part, again[name])


def test_a_network_whose_boxes_come_from_elsewhere_has_two_losses(batch):
    scores = fast()
    parts, gradients, _ = step(taught(scores), scores, batch)
    assert tuple(parts) == two_stage.parts(scores) == ("classes", "boxes")
    assert all(np.any(gradient) for gradient in gradients)


def test_margins_are_judged_by_their_hinge(batch):
    scores = fast(MARGINS)
    parts = two_stage.losses(scores)(batch[1], scores(batch[0]))
    assert np.isfinite(parts["classes"]).all()
    margins = tf.constant([[[9.0, 2, -2], [9, 0.5, -2], [-9, -2, 0], [0, 5, 5]]])
    drawn = tf.constant([[True, True, True, False]])
    found = two_stage.margin_loss(margins, tf.constant([[1, 1, 0, 0]]), drawn)
    np.testing.assert_allclose(found, [(0 + 0.5 + 1) / 3])


def test_other_networks_are_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ArgumentError, match="Detections"):
        taught(model)
