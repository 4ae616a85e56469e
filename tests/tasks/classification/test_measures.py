"""Figures of an evaluation equal those counted by hand, and by definitions written another way."""

import numpy as np
import pytest

from kerascnn.errors import RunError
from kerascnn.tasks.classification.measures import confusion, judged, per_class, rank


def test_rank_counts_the_classes_in_front():
    """Against sorting, with ties as argmax breaks them."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (200, 9)).astype("float32")
    labels = rng.integers(0, 9, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    found = rank(scores, labels)
    np.testing.assert_array_equal(found, (order == labels[:, None]).argmax(1))
    np.testing.assert_array_equal(found == 0, scores.argmax(1) == labels)
    top5 = np.mean([label not in row[:5] for label, row in zip(labels, order)])
    assert (found >= 5).mean() == pytest.approx(top5)


def figures(labels, predicted, names="abc"):
    found = per_class(np.array(labels), np.array(predicted), names)
    return {one.pop("name"): tuple(one.values()) for one in found}


def test_precision_recall_and_f1_by_hand():
    """Three of four a are found, one is taken for b; all b are found; one c is taken for a."""
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    predicted = [0, 0, 0, 1, 1, 1, 0, 2]
    assert figures(labels, predicted) == {
        "a": (4, 4, 3 / 4, 3 / 4, 3 / 4),
        "b": (2, 3, 2 / 3, 1.0, 4 / 5),
        "c": (2, 1, 1.0, 1 / 2, 2 / 3),
    }


def test_what_has_no_value_is_none_and_not_zero():
    """b has no image but is predicted once; c is never predicted; d is neither."""
    assert figures([0, 0, 2], [0, 1, 0], "abcd") == {
        "a": (2, 2, 1 / 2, 1 / 2, 1 / 2),
        "b": (0, 1, 0.0, None, None),
        "c": (1, 0, None, 0.0, 0.0),
        "d": (0, 0, None, None, None),
    }


def test_figures_of_random_answers_are_those_of_the_textbook():
    """Each count by its own loop over the images; F1 as the harmonic mean."""
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, 6, 300), rng.integers(0, 7, 300)
    found = per_class(labels, predicted, [*"abcdefg"])
    matrix = confusion(labels, predicted, 7)
    for one, figures in enumerate(found):
        pairs = [(a == one, b == one) for a, b in zip(labels, predicted)]
        true, false, missed = (pairs.count(p) for p in ((True, True), (False, True), (True, False)))
        assert figures["support"] == true + missed == matrix[one].sum()
        assert figures["predicted"] == true + false == matrix[:, one].sum()
        precision = true / (true + false)
        assert figures["precision"] == pytest.approx(precision)
        if one == 6:
            assert figures["recall"] is figures["f1"] is None
            continue
        recall = true / (true + missed)
        assert figures["recall"] == pytest.approx(recall)
        assert figures["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    for row in range(7):
        for column in range(7):
            count = sum((a, b) == (row, column) for a, b in zip(labels, predicted))
            assert matrix[row, column] == count


def test_batches_add_up():
    """In batches of any size, each image once, losses in 64 bits."""
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(23, 4)).astype("float32"), rng.integers(0, 4, 23)
    losses = {"own": lambda labels, scores: scores[np.arange(len(labels)), labels]}
    found = judged([scores[:9], scores[9:18], scores[18:]], labels, losses)
    assert found.losses["own"] == pytest.approx(np.mean([s[i] for s, i in zip(scores, labels)]))
    assert found.error() == np.mean(scores.argmax(1) != labels)
    second = [label in np.argsort(row)[-2:] for row, label in zip(scores, labels)]
    assert found.error(2) == pytest.approx(1 - np.mean(second))


def test_scores_that_are_not_numbers_are_no_right_answers():
    """Each comparison with NaN is false, so that nothing would be in front of the image's class."""
    scores = np.array([[0.0, 1.0], [np.nan, np.nan]])
    with pytest.raises(RunError, match="1 of 2 images with scores that are not numbers"):
        judged([scores], np.array([1, 1]), {})
