"""Losses on masks, against the formulas of the papers written with loops over pixels."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_segmentation import losses

from kerascnn.data import VOID
from kerascnn.errors import ArgumentError

CLASSES = 3


@pytest.fixture(scope="module")
def batch():
    """Masks `[2, 7, 6]`, some of whose pixels nobody knows, and logits."""
    rng = np.random.default_rng(3)
    masks = rng.integers(0, CLASSES, (2, 7, 6)).astype("uint8")
    masks[0, :2] = VOID
    return masks, rng.normal(0, 2, (2, 7, 6, CLASSES)).astype("float32")


def by_hand(mask, logits, weight=lambda label, row, column: 1.0):
    """The mean over the pixels that count of weight times cross-entropy."""
    found = []
    for row, column in np.argwhere(mask != VOID):
        label, scores = mask[row, column], logits[row, column].astype("float64")
        each = np.log(np.exp(scores).sum()) - scores[label]
        found.append(weight(label, row, column) * each)
    return np.sum(found) / len(found)


def test_cross_entropy_is_the_mean_over_the_pixels_that_somebody_knows(batch):
    masks, logits = batch
    expected = [by_hand(*one) for one in zip(masks, logits)]
    np.testing.assert_allclose(losses.CrossEntropy().call(masks, logits), expected, rtol=1e-5)
    chances = tf.nn.softmax(logits)
    found = losses.CrossEntropy(from_logits=False).call(masks, chances)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_of_classes_are_on_pixels_and_dont_change_what_is_divided_by(batch):
    masks, logits = batch
    weights = (0.5, 0.0, 3.0)
    found = losses.CrossEntropy().parts(masks, logits, weights)["cross_entropy"]
    expected = [by_hand(*one, lambda label, *_: weights[label]) for one in zip(masks, logits)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_smoothing_spreads_a_share_of_each_pixels_target(batch):
    masks, logits = batch
    found = losses.CrossEntropy(label_smoothing=0.3).call(masks, logits)[1]
    chances = tf.nn.log_softmax(logits[1].astype("float64")).numpy()
    target = 0.7 * np.eye(CLASSES)[masks[1]] + 0.1
    np.testing.assert_allclose(found, -(target * chances).sum(-1).mean(), rtol=1e-5)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_an_image_that_nobody_knows_costs_nothing_and_its_gradient_is_finite(loss):
    masks = tf.constant(np.stack([np.full((4, 4), VOID), np.eye(4)]).astype("uint8"))
    logits = tf.Variable(np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype("float32"))
    with tf.GradientTape() as tape:
        each = loss().call(masks, logits)
    gradient = tape.gradient(each, logits).numpy()
    assert each[0] == 0
    assert each[1] > 0
    assert np.isfinite(gradient).all()
    assert [image.any() for image in gradient] == [False, True]


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_network_without_padding_answers_for_the_middle_of_its_mask(loss):
    rng = np.random.default_rng(1)
    masks = np.pad(rng.integers(0, 2, (1, 4, 5)), ((0, 0), (1, 2), (2, 2)), constant_values=VOID)
    masks = masks.astype("uint8")
    logits = rng.normal(size=(1, 4, 5, 2)).astype("float32")
    around = np.pad(logits, ((0, 0), (1, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(loss().call(masks, logits), loss().call(masks, around), rtol=1e-5)


def test_answers_for_more_than_the_mask_are_refused():
    with pytest.raises(ArgumentError, match="answers of 6×6, masks of 4×4"):
        losses.CrossEntropy().call(np.zeros((1, 4, 4), "uint8"), np.zeros((1, 6, 6, 2), "float32"))


def test_dice_is_the_mean_over_the_classes_that_an_image_has(batch):
    masks, logits = batch
    masks = np.where(masks == 1, 0, masks)  # no image has class 1
    chances = tf.nn.softmax(logits.astype("float64")).numpy()
    expected = []
    for mask, chance in zip(masks, chances):
        known = mask != VOID
        each = [
            2 * chance[mask == c, c].sum() / ((mask == c).sum() + chance[known, c].sum())
            for c in (0, 2)
        ]
        expected.append(1 - np.mean(each))
    np.testing.assert_allclose(losses.Dice().call(masks, logits), expected, rtol=1e-5)


def test_dice_is_zero_for_masks_that_are_answered_exactly(batch):
    masks, _ = batch
    sure = 200.0 * np.eye(CLASSES, dtype="float32")[np.where(masks == VOID, 0, masks)]
    np.testing.assert_allclose(losses.Dice().call(masks, sure), 0, atol=1e-6)


def test_cross_entropy_and_dice_add_up_and_have_names(batch):
    loss = losses.DiceCrossEntropy()
    parts = loss.parts(*batch, None)
    assert tuple(parts) == loss.names
    np.testing.assert_allclose(
        loss.call(*batch), losses.CrossEntropy().call(*batch) + losses.Dice().call(*batch)
    )


# Two objects side by side, one of another class that touches the second, one that meets it at a
# corner only, and unknown pixels, which are no object.
OBJECTS = """
....................
.111....1112........
.111....1112...*....
.111.....11222.*....
.1.............*....
.111...1111.........
.111.......1111.....
...........1..1.....
...........1111.....
....................
"""


@pytest.fixture(scope="module")
def mask():
    labels = {".": 0, "*": VOID, "1": 1, "2": 2}
    return np.array([[labels[sign] for sign in row] for row in OBJECTS.split()], "uint8")


def objects_of(mask):
    """Lists of pixels, found by walking from neighbour to neighbour."""
    left = {tuple(place) for place in np.argwhere((mask != 0) & (mask != VOID))}
    found = []
    while left:
        waiting, members = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            members.append((row, column))
            for near in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if near in left and mask[near] == mask[row, column]:
                    left.remove(near)
                    waiting.append(near)
        found.append(members)
    return found


def test_objects_are_connected_pixels_of_one_class(mask):
    labels = losses.components(np.stack([mask, mask[::-1]]))[0].numpy()
    expected = objects_of(mask)
    assert len(expected) == 5
    for members in expected:
        assert len({labels[place] for place in members}) == 1
    assert len(np.unique(labels)) == 1 + len(expected)
    assert not labels[(mask == 0) | (mask == VOID)].any()


def test_a_long_winding_object_is_one():
    mask = np.zeros((1, 21, 21), "uint8")
    mask[0, ::2] = 1
    mask[0, 1::4, -1] = 1
    mask[0, 3::4, 0] = 1
    assert len(np.unique(losses.components(mask))) == 2
    mask[0, 9] = 0
    assert len(np.unique(losses.components(mask))) == 3


@pytest.mark.parametrize("sigma", [5.0, 1.5])
def test_gaps_weigh_what_u_nets_formula_says(mask, sigma):
    objects = objects_of(mask)
    expected = np.zeros(mask.shape)
    for row, column in itertools.product(*map(range, mask.shape)):
        away = sorted(min(np.hypot(row - r, column - c) for r, c in one) for one in objects)
        if mask[row, column] == 0:
            expected[row, column] = 10 * np.exp(-((away[0] + away[1]) ** 2) / (2 * sigma**2))
    found = losses.border_weights(mask[None], w0=10.0, sigma=sigma)
    np.testing.assert_allclose(found[0], expected, atol=1e-4, rtol=1e-4)
    assert expected.max() > 4


def test_masks_with_one_object_or_none_have_no_gaps():
    masks = np.zeros((2, 8, 8), "uint8")
    masks[0, 2:4, 2:4] = 1
    assert not losses.border_weights(masks, w0=10.0, sigma=5.0).numpy().any()


def test_u_nets_loss_adds_the_gaps_weights_to_those_of_the_classes(mask):
    logits = np.random.default_rng(5).normal(size=(1, *mask.shape, 3)).astype("float32")
    weights = (0.5, 2.0, 1.0)
    border = losses.border_weights(mask[None], w0=10.0, sigma=5.0).numpy()[0]
    found = losses.BorderCrossEntropy().parts(mask[None], logits, weights)["cross_entropy"]
    expected = by_hand(mask, logits[0], lambda label, *place: weights[label] + border[place])
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


@pytest.mark.slow
def test_u_nets_weights_are_made_under_xla_too(mask):
    compiled = tf.function(
        lambda masks: losses.border_weights(masks, w0=10.0, sigma=2.0), jit_compile=True
    )
    plain = losses.border_weights(mask[None], w0=10.0, sigma=2.0)
    np.testing.assert_allclose(compiled(mask[None]), plain, rtol=1e-5, atol=1e-6)
