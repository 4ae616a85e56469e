"""A measure says which way is better, and how its values are written."""

import pytest

from kerascnn.errors import ArgumentError
from kerascnn.tasks.measure import Measure, of_logged

ERROR = Measure("error", "Top-1 error")
IOU = Measure("mean_iou", "Mean IoU", better="higher")
DISTANCE = Measure("distance", "Distance", share=False)


def test_multiplied_with_its_sign_the_least_is_the_best():
    assert min((0.1, 0.4), key=lambda value: ERROR.sign * value) == 0.1
    assert min((0.1, 0.4), key=lambda value: IOU.sign * value) == 0.4


def test_shares_are_written_in_percent():
    assert ERROR.written(0.0436) == "4.36%"
    assert DISTANCE.written(12.3456) == "12.35"


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match=r"mean_iou.*'lower' or 'higher'.*Received: 'more'"):
        Measure("mean_iou", "Mean IoU", better="more")


def test_a_logged_name_belongs_to_a_measure_on_every_side():
    for name in ("mean_iou", "val_mean_iou", "test_mean_iou"):
        assert of_logged(name, (ERROR, IOU)) is IOU
    for name in ("loss", "val_loss", "my_error", "val_val_error"):
        assert of_logged(name, (ERROR, IOU)) is None
