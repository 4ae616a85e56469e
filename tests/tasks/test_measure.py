"""A measure says which way is better, how its values are written, and where they are logged."""

import pytest

from kerascnn.errors import ArgumentError
from kerascnn.tasks.measure import Measure, logged

ERROR = Measure(name="error", title="Top-1 error", complement="accuracy")
IOU = Measure(name="mean_iou", title="Mean IoU", better="higher")
DISTANCE = Measure(name="distance", title="Distance", share=False)


def test_multiplied_with_its_sign_the_least_is_the_best():
    assert min((0.1, 0.4), key=lambda value: ERROR.sign * value) == 0.1
    assert min((0.1, 0.4), key=lambda value: IOU.sign * value) == 0.4


def test_shares_are_written_in_percent():
    assert ERROR.written(0.0436) == "4.36%"
    assert DISTANCE.written(12.3456) == "12.35"


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match=r"mean_iou.*'lower' or 'higher'.*Received: 'more'"):
        Measure(name="mean_iou", title="Mean IoU", better="more")


def test_a_logged_name_belongs_to_a_measure_on_every_side():
    for name in ("mean_iou", "val_mean_iou", "test_mean_iou"):
        assert logged(name, (ERROR, IOU)) is IOU
    for name in ("loss", "val_loss", "my_error", "val_val_error"):
        assert logged(name, (ERROR, IOU)) is None


def test_its_value_is_found_in_logs_also_from_what_it_leaves_of_1():
    logs = {"error": 0.25, "val_accuracy": 0.5, "mean_iou": 0.75, "val_mean_iou": None}
    assert (ERROR.of(logs), ERROR.of(logs, "val_"), ERROR.of(logs, "test_")) == (0.25, 0.5, None)
    assert (IOU.of(logs), IOU.of(logs, "val_")) == (0.75, None)
