"""Classes of a run and of other data are the same where their names are, whatever their order."""

import numpy as np
import pytest

from kerascnn.data import Boxes, Labels, Masks, Targets
from kerascnn.errors import DataError
from kerascnn.runs.matching import match, matched


@pytest.mark.parametrize(
    ("trained", "found", "numbers"),
    [
        (["cat", "dog", "owl"], ["owl", "cat"], [2, 0]),
        (["cat", "dog"], ["Cat", "dog ", "cat"], [-1, -1, 0]),
        (["0", "1", "10", "2"], ["10", "2", "1"], [2, 3, 1]),  # a folder's order is the alphabet's
        ([*"0123456789"], ["07", "000"], [7, 0]),  # numbers by value, where all are numbers
        (["7", "x"], ["07"], [-1]),
        (["1", "01"], ["01", "1"], [1, 0]),  # two names, so they are no numbers
        (["caf\u00e9", "tea"], ["tea", "cafe\u0301"], [1, 0]),  # macOS writes accents apart
        (["9" * 6000, "1"], ["0" + "9" * 6000], [0]),
        (["²", "2"], ["2", "²"], [1, 0]),
    ],
)
def test_classes_match_by_name(trained, found, numbers):
    assert matched(trained, found).tolist() == numbers


def matching(trained, found, labels):
    targets = labels if isinstance(labels, Targets) else Labels(labels)
    numbers = match(trained, found, targets, run="runs/pets", data="csv:new.csv")
    return targets.relabelled(numbers)


def test_labels_are_numbered_as_the_run_does():
    assert matching(["cat", "dog", "owl"], ["owl", "dog"], [0, 1, 1, 0]).labels.tolist() == [
        2,
        1,
        1,
        2,
    ]


def test_unknown_classes_are_refused_and_listed():
    names = [f"bird {i}" for i in range(12)]
    with pytest.raises(DataError) as refused:
        matching(["cat", "dog"], ["cat", *names], range(13))
    message = str(refused.value)
    assert message.startswith("csv:new.csv has images of 12 classes that the run runs/pets doesn't")
    assert all(repr(name) in message for name in names)
    assert "It knows 'cat', 'dog'." in message


def test_an_unknown_class_without_an_image_does_no_harm():
    assert matching(["cat", "dog"], ["ant", "dog"], [1, 1]).labels.tolist() == [1, 1]


def test_masks_and_boxes_are_numbered_as_the_run_does():
    masks = matching(
        ["sky", "dog"], ["dog", "sky"], Masks.of(np.array([[[0, 1, 255]]], "uint8"), 2)
    )
    assert masks.stored(0).tolist() == [[1, 0, 255]]
    boxes = Boxes.of([[[0, 0, 2, 2, 1, 0]]], [(2, 2)])
    found = matching(["dog"], ["sky", "dog"], boxes)
    assert found.stored(0).tolist() == [[0, 0, 2, 2, 0, 0]]


def test_a_class_that_masks_may_have_is_refused_without_reading_them():
    masks = Masks.of(np.zeros((1, 2, 2), "uint8"), 2)
    with pytest.raises(
        DataError, match=r"has masks of 1 class that the run .* doesn't know: 'sky'"
    ):
        matching(["dog"], ["dog", "sky"], masks)


@pytest.mark.parametrize(
    ("trained", "found", "advice"),
    [
        (["cat", "dog"], ["Cat"], "Is 'Cat' 'cat'?"),
        (["cat", "dog"], ["0", "1"], "give the data the names"),
        (["0", "1"], ["cat", "dog"], "give the data's classes these"),
        (["cat", "dog"], ["owl"], "leave the others out"),
    ],
)
def test_the_message_says_what_to_do(trained, found, advice):
    with pytest.raises(DataError, match=advice):
        matching(trained, found, range(len(found)))
