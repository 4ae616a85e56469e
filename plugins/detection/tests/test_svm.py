"""SVMs and ridge regression in the place of two layers: against scikit-learn and the formulas."""

import builtins
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import boxes, svm
from kerascnn_detection.regions import RoIAlign, RoIPool
from kerascnn_detection.selective_search import SelectiveSearch
from kerascnn_detection.stages import MARGINS, Detections
from sklearn.svm import LinearSVC

import kerascnn
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

SIDE = 32
EASY = svm.Settings(ridge=1e-3, near=0.5, tolerance=1e-4)


def network(classes=3):
    """Classes and boxes are told from the colours of sixteen parts of a window."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    rows = SelectiveSearch(least_side=4, most=20, name="proposals")(image)
    pooled = RoIAlign((4, 4), stride=1, samples=0, name="pool")([image, rows])
    pooled = keras.layers.Reshape((-1, 48), name="flatten")(pooled)
    scores = keras.layers.Dense(1 + classes, name="cls_score")(pooled)
    codes = keras.layers.Dense(4 * (1 + classes), name="bbox_pred")(pooled)
    answers = Detections(name="detections")([scores, codes, rows, image])
    return keras.Model(image, answers)


@pytest.fixture(scope="module")
def scenes():
    """Red and blue rectangles, classes 0 and 2, one of them difficult; class 1 has none."""
    random = np.random.default_rng(0)
    images = random.uniform(0.4, 0.6, (12, SIDE, SIDE, 3)).astype("float32")
    objects = np.zeros((12, 2, 6), "float32")
    objects[..., 4] = ABSENT
    for number in range(11):  # in the last one is nothing
        x, y, width, height = random.integers((2, 2, 11, 11), (14, 14, 17, 17))
        label = 2 * (number % 2)
        images[number, y : y + height, x : x + width] = (1, 0, 0) if label == 0 else (0, 0, 1)
        objects[number, 0] = [x, y, x + width, y + height, label, number == 10]
    return images, objects


def batches(scenes, size=4):
    images, objects = scenes
    parts = range(0, len(images), size)
    return lambda: ((tf.constant(images[n : n + size]), objects[n : n + size]) for n in parts)


@pytest.fixture(scope="module")
def fitted(scenes):
    return svm.fit(network(), batches(scenes), EASY)


def test_what_is_fitted_finds_the_objects(scenes):
    images, objects = scenes
    rows = svm.fit(network(), batches(scenes), replace(EASY, cost=10.0))(images).numpy()
    for row, (one, _) in zip(rows[:10], objects):
        assert row[0, 4] == one[4]
        assert row[0, 5] > 0.5  # beyond what separates
        assert boxes.iou(row[:1, :4], one[None, :4])[0, 0] > 0.7
    assert not (rows[..., 4] == 1).any()  # of which there is no object


def test_a_score_is_the_margin_of_a_machine_of_scikit_learns(fitted, scenes):
    """Of all examples at once, which are so few that none is left out."""
    reader = svm._Reader(network())
    seen = list(reader.images(batches(scenes)()))
    scale = 20 / np.mean([np.linalg.norm(one.hidden, axis=1).mean() for one in seen])
    positives = np.concatenate([one.hidden[one.labels == 0] for one in seen])
    assert len(positives) == 5  # and not the difficult one
    negatives = [seen[0].hidden[seen[0].overlaps()[:, seen[0].objects[:, 4] == 0].max(1) < 0.3]]
    for one in seen[1:]:
        of_class = one.overlaps()[:, one.objects[:, 4] == 0]
        negatives.append(one.hidden[of_class.max(axis=1, initial=0) < 0.3])
    examples = np.concatenate([positives, *negatives]) * scale
    sides = np.arange(len(examples)) < len(positives)
    machine = LinearSVC(
        loss="hinge", C=1e-3, class_weight={1: 2}, intercept_scaling=10, max_iter=20_000
    )
    machine.fit(examples, sides)
    kernel, bias = fitted.get_layer("cls_score").get_weights()
    found = (examples / scale) @ kernel[:, 1] + bias[1]
    np.testing.assert_allclose(found, machine.decision_function(examples), atol=0.05)


def test_boxes_are_regressed_as_the_formula_says():
    """R-CNN's equation 5 without whitening, which a large ridge shows; the authors' with it."""
    random = np.random.default_rng(0)
    features, truth = random.normal(size=(40, 3)), random.normal(size=(3, 4))
    codes = features @ truth + 0.01 * random.normal(size=(40, 4)) + np.arange(1, 5)
    kept = svm._Kept(pooled=list(features), codes=list(codes))
    kernel, bias = svm._regressed(kept, svm.Settings(ridge=1e-6), 3, 2.0)
    np.testing.assert_allclose(kernel, truth, atol=0.02)
    np.testing.assert_allclose(bias, [1, 2, 3, 4], atol=0.02)
    kernel, bias = svm._regressed(kept, svm.Settings(ridge=1e9), 3, 2.0)
    np.testing.assert_allclose(kernel, 0, atol=1e-3)
    np.testing.assert_allclose(bias, codes.mean(axis=0), atol=1e-3)


def test_hard_background_is_kept_and_easy_background_dropped():
    random = np.random.default_rng(0)

    def around(x, y, count):
        return random.normal((x, y), size=(count, 2))

    positives = around(20, 0, 30)
    one = svm._SVM(svm.Settings(cost=1.0, added=5), positives)
    one.look(around(-20, 0, 50))
    assert len(one.negatives) < 50
    first = one.kernel.copy()
    one.look(np.tile([[-30.0, 0]], (40, 1)))  # easy
    assert np.array_equal(one.kernel, first)
    kept = len(one.negatives)
    one.look(around(0, 15, 4))  # hard, but too few to train anew
    assert len(one.negatives) == kept + 4
    assert np.array_equal(one.kernel, first)
    one.look(around(0, 15, 4))
    assert not np.array_equal(one.kernel, first)
    assert one.seen == 98


def test_the_batch_size_decides_nothing(fitted, scenes):
    other = svm.fit(network(), batches(scenes, 12), EASY)
    for mine, theirs in zip(fitted.get_weights(), other.get_weights()):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_the_network_that_was_given_stays_and_the_new_one_is_in_files(fitted, scenes, tmp_path):
    fresh = network()
    model = network()
    svm.fit(model, batches(scenes), EASY)
    for mine, theirs in zip(model.get_weights(), fresh.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    fitted.save(tmp_path / "model.keras")
    again = kerascnn.load_model(tmp_path / "model.keras")
    assert again.layers[-1].scores == MARGINS
    np.testing.assert_array_equal(again(scenes[0]), fitted(scenes[0]))


def test_without_any_object_nothing_is_found(scenes):
    images, objects = scenes
    objects = np.full_like(objects, 0)
    objects[..., 4] = ABSENT
    rows = svm.fit(network(), batches((images, objects)), EASY)(images).numpy()
    assert (rows[..., 4] == ABSENT).all()


def test_another_network_is_refused_by_what_it_lacks():
    image = keras.Input((8, 8, 3))
    rows = SelectiveSearch(most=2)(image)
    x = keras.layers.Reshape((2, 3))(RoIPool((1, 1), stride=1)([image, rows]))
    parts = [keras.layers.Dense(units)(x) for units in (2, 8)]
    model = keras.Model(image, Detections()([*parts, rows, image]))
    with pytest.raises(ArgumentError, match="without proposals and cls_score and bbox_pred"):
        svm._Reader(model)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ArgumentError, match=r'pip install "kerascnn-detection\[svm\]"'):
        svm.fit(network(), lambda: ())
