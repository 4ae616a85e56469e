"""The task: what a detector answers, learns and is worth, whatever it is made of."""

import keras
import numpy as np
import pytest
from kerascnn_detection import counting
from kerascnn_detection.task import DETECTION
from kerascnn_detection.yolo import YOLOTiny

from kerascnn import Augmentation, Recipe, train
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

ROOM = [0, 0, 0, 0, ABSENT, 0]


@pytest.fixture(scope="module")
def scores():
    model = YOLOTiny(
        input_shape=(16, 24, 1), classes=3, widths=(4, 4, 4), tail=(4,), head="conv", boxes=2
    )
    DETECTION.check_model(model, 3)
    return DETECTION.scores(model)[0]


def objective(scores, **recipe):
    return DETECTION.objective(Recipe(**recipe), scores=scores, classes=3, from_logits=True)


def test_its_scores_are_the_answer_and_what_the_answer_is_made_of(scores):
    shapes = [tuple(output.shape[1:]) for output in scores.outputs]
    assert shapes == [(100, 6), (2, 3, 13), (16, 24, 1)]
    assert DETECTION.training(scores) is scores, "cells learn all that they say"


def test_a_model_that_makes_no_boxes_is_refused(scores):
    image = keras.Input((8, 8, 3))
    other = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ArgumentError, match="must end in what makes boxes"):
        DETECTION.scores(other)
    model = keras.Model(scores.inputs, scores.outputs[0])
    with pytest.raises(ArgumentError, match=r"has 4 classes.*tells 3 apart"):
        DETECTION.check_model(model, 4)


def test_difficult_objects_and_room_are_not_learned(scores):
    rng = np.random.default_rng(0)
    outputs = [x.numpy() for x in scores(rng.normal(size=(2, 16, 24, 1)))]
    one = [2.0, 3, 9, 12, 1, 0]
    found = objective(scores)
    alone = found.losses(np.array([[one, ROOM], [ROOM, ROOM]], "float32"), outputs)
    hard = [[one, [12.0, 2, 20, 9, 0, 1]], [[1.0, 1, 9, 9, 2, 1], ROOM]]
    beside = found.losses(np.array(hard, "float32"), outputs)
    assert tuple(alone) == found.parts == ("coordinates", "object", "no_object", "classes")
    for name in alone:
        np.testing.assert_array_equal(alone[name], beside[name])
        assert np.isfinite(alone[name]).all()
    assert float(alone["classes"][0]) > 0
    assert float(alone["classes"][1]) == 0


def test_answers_are_judged_by_all_objects_at_once(scores):
    """The second object is met with an IoU of .6; the third is difficult, and doesn't count."""
    found = objective(scores)
    rows = np.full((3, 100, 6), ROOM, "float32")
    objects = np.full((3, 2, 6), ROOM, "float32")
    objects[0, 0] = rows[0, 0] = [2, 2, 12, 12, 0, 0]
    rows[0, 0, 5] = 0.9
    objects[1, 0], rows[1, 0] = [2, 2, 12, 12, 0, 0], [2, 2, 12, 8, 0, 0.8]
    rows[1, 1] = [0, 0, 3, 3, 0, 0.1]
    objects[2, 0], rows[2, 0] = [2, 2, 12, 12, 0, 1], [2, 2, 12, 12, 0, 0.95]
    answers = np.asarray(found.answers(objects, [rows]))
    assert answers.shape == (3, 102, 6)
    expected = {"ap50": 1.0, "ap75": 0.5}
    assert found.judged(answers) == pytest.approx(expected)
    assert found.judged(answers[[2, 0, 1]]) == pytest.approx(expected)


@pytest.mark.parametrize(
    "asked", [{"label_smoothing": 0.1}, {"loss": keras.losses.BinaryCrossentropy}]
)
def test_a_recipe_that_asks_for_another_loss_is_refused(scores, asked):
    with pytest.raises(ArgumentError, match=f"Received: {next(iter(asked))}"):
        objective(scores, **asked)
    with pytest.raises(ArgumentError, match="Received: class_weight"):
        counting.counted(Recipe(), scores=scores, classes=3, class_weight=(1.0, 1, 2))


def test_random_objects_lie_in_the_image_and_one_image_has_none(scores):
    found = DETECTION.random_targets(np.random.default_rng(0), scores=scores, classes=3, count=5)
    assert found.shape == (5, 3, 6)
    assert ((found[..., 4] != ABSENT).sum(1) == [0, 1, 2, 3, 3]).all()
    there = found[found[..., 4] != ABSENT]
    assert (there[:, 2:4] > there[:, :2]).all()
    assert (there[:, :2] >= 0).all()
    assert (there[:, 2:4] <= [24, 16]).all()


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_images_are_not_mixed(name):
    """Refused before any data is read: no two sets of boxes can be shared out."""
    recipe = Recipe(augmentation=Augmentation(**{name: 0.2}))
    with pytest.raises(ArgumentError, match=rf"{name} makes .* detection has none"):
        train("yolo_tiny", "nothing", recipe=recipe)
