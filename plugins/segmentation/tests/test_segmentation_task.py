"""Segmentation as a task: what it refuses, minimises and counts, evaluates, writes and serves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from kerascnn_segmentation import losses, measures
from kerascnn_segmentation.task import SEGMENTATION

from kerascnn import Augmentation, Recipe, train
from kerascnn.data import VOID, Masks
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes import trusted
from kerascnn.recipes.losses import path_of

NAMES = ("background", "cat", "dog")


def scores(outputs=1):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, [layers.Identity()(image) for _ in range(outputs)])


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(7)
    masks = SEGMENTATION.random_targets(rng, scores=scores(), classes=3, count=4)
    return masks, rng.normal(size=(4, 8, 8, 3)).astype("float32")


def objective(outputs=1, class_weight=None, from_logits=True, **recipe):
    return SEGMENTATION.objective(
        Recipe(**recipe),
        scores=scores(outputs),
        classes=3,
        from_logits=from_logits,
        class_weight=class_weight,
    )


def test_random_masks_have_all_classes_and_pixels_that_nobody_knows(batch):
    masks, _ = batch
    assert masks.shape == (4, 8, 8)
    assert set(np.unique(masks)) == {0, 1, 2, VOID}


def test_the_measures_are_those_of_the_sums_over_all_batches(batch):
    masks, scores = batch
    found = objective()
    real = tf.constant([True, True, True, False])
    sums = found.sums(masks, [scores], real) + found.sums(masks, [scores], ~real)
    assert sums.shape == (found.size,)
    assert sums.dtype == "float64"
    expected = sum(measures.confusion_of(m, s.argmax(-1), 3) for m, s in zip(masks, scores))
    assert found.figures(sums.numpy(), 4) == measures.figures(expected)
    assert [measure.name for measure in SEGMENTATION.measures] == list(measures.figures(expected))


def test_weights_of_classes_are_minimised_and_not_reported(batch):
    masks, scores = batch
    weights = (0.1, 2.0, 3.0)
    found, plain = objective(class_weight=weights), objective()
    assert plain.minimised is None
    assert found.parts == ()
    np.testing.assert_array_equal(found.loss(masks, [scores]), plain.loss(masks, [scores]))
    expected = losses.CrossEntropy().parts(masks, scores, weights)["cross_entropy"]
    np.testing.assert_array_equal(found.minimised(masks, [scores]), expected)


def test_balanced_weights_count_pixels_and_have_a_mean_of_one_over_them():
    masks = np.zeros((2, 10, 10), "uint8")
    masks[0, :2] = 1
    masks[1, 5:] = VOID
    found = SEGMENTATION.class_weight(Recipe(class_weight="balanced"), Masks.of(masks, 3), NAMES)
    assert found == pytest.approx((150 / 2 / 130, 150 / 2 / 20, 0))


def test_auxiliary_heads_count_with_the_recipes_factor_and_are_logged(batch):
    masks, scores = batch
    found = objective(outputs=2, auxiliary_weight=0.4)
    parts = found.losses(masks, [scores, scores])
    assert tuple(parts) == found.parts == ("cross_entropy", "auxiliary")
    np.testing.assert_allclose(parts["auxiliary"], 0.4 * parts["cross_entropy"])
    expected = 1.4 * parts["cross_entropy"]
    np.testing.assert_allclose(found.loss(masks, [scores, scores]), expected, rtol=1e-6)


def test_a_loss_of_two_parts_logs_both(batch):
    masks, scores = batch
    found = objective(loss=losses.DiceCrossEntropy)
    assert found.parts == ("cross_entropy", "dice")
    expected = losses.DiceCrossEntropy().call(masks, scores)
    np.testing.assert_allclose(found.loss(masks, [scores]), expected)


class Foreign(keras.losses.Loss):
    """Of another package, on masks and logits."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred, axis=(1, 2, 3))


def test_a_loss_of_another_package_is_taken_but_can_weigh_no_classes(batch):
    masks, scores = batch
    found = objective(loss=Foreign)
    np.testing.assert_allclose(found.loss(masks, [scores]), scores.mean((1, 2, 3)), rtol=1e-4)
    with pytest.raises(ArgumentError, match="to weigh classes"):
        objective(loss=Foreign, class_weight=(1.0, 1.0, 1.0))
    with pytest.raises(ArgumentError, match="needs logits"):
        objective(loss=losses.Dice, from_logits=False)


def test_a_run_may_name_the_losses_of_the_task_and_no_others():
    for loss in losses.LOSSES:
        assert trusted.known(path_of(loss), "unet_same") is loss
    assert set(map(path_of, losses.LOSSES)) == set(SEGMENTATION.losses)
    assert trusted.known("kerascnn_segmentation.losses:PixelLoss", "unet_same") is None


def test_networks_that_answer_with_no_map_of_the_classes_are_refused():
    x = inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 1)(x)
    SEGMENTATION.check_model(keras.Model(inputs, x), 3)
    with pytest.raises(ArgumentError, match="for each pixel"):
        SEGMENTATION.check_model(keras.Model(inputs, x), 4)
    pooled = layers.GlobalAveragePooling2D()(x)
    with pytest.raises(ArgumentError, match="for each pixel"):
        SEGMENTATION.check_model(keras.Model(inputs, pooled), 3)


def test_data_of_one_class_or_of_more_than_a_mask_can_name_are_refused():
    SEGMENTATION.check_data(NAMES, "masks:x")
    for names in (("cat",), list(map(str, range(256)))):
        with pytest.raises(DataError, match="2 to 255 classes"):
            SEGMENTATION.check_data(names, "masks:x")


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_images_are_not_mixed(name):
    """Refused before any data is read: no two masks can be shared out."""
    recipe = Recipe(augmentation=Augmentation(**{name: 0.2}))
    with pytest.raises(ArgumentError, match=rf"{name} makes .* segmentation has none"):
        train("unet_same", "nothing", recipe=recipe)
