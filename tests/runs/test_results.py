"""history.csv and metrics.json hold what the run's task measures."""

import json

import numpy as np
import pytest

from kerascnn.errors import RunError
from kerascnn.runs.results import read_history, read_metrics, write_history
from kerascnn.tasks.measure import Measure

MEASURES = (
    Measure(name="mean_iou", title="Mean IoU", better="higher"),
    Measure(name="distance", title="Distance", share=False),
)


def test_a_history_without_an_error_is_one_of_another_task(tmp_path):
    path = tmp_path / "history.csv"
    rows = [
        {"epoch": 1, "loss": 2.0, "mean_iou": 0.1, "distance": 31.5, "seconds": 1.0},
        {"epoch": 2, "loss": 1.0, "mean_iou": 0.5, "distance": 7.0, "seconds": 1.0},
    ]
    write_history(path, rows)
    assert read_history(path, MEASURES) == rows


def test_a_measure_without_a_value_is_missing_in_that_epoch_alone(tmp_path):
    path = tmp_path / "history.csv"
    values = (np.nan, 0.25)
    rows = [
        {"epoch": epoch, "loss": 2.0, "val_mean_iou": value, "seconds": 1.0}
        for epoch, value in enumerate(values, 1)
    ]
    write_history(path, rows)
    assert [row.get("val_mean_iou") for row in read_history(path, MEASURES)] == [None, 0.25]


@pytest.mark.parametrize("name", ["mean_iou", "val_mean_iou"])
@pytest.mark.parametrize("value", ["1.5", "-0.5"])
def test_a_share_beyond_its_bounds_is_damage(tmp_path, name, value):
    (tmp_path / "history.csv").write_text(f"epoch,loss,{name},seconds\n1,2.0,{value},1.0\n")
    with pytest.raises(RunError, match=rf"line 2: {name} must be a share from 0 to 1.*{value}"):
        read_history(tmp_path / "history.csv", MEASURES)
    (tmp_path / "metrics.json").write_text(json.dumps({name: float(value)}))
    with pytest.raises(RunError, match=rf"metrics.json is damaged: {name}"):
        read_metrics(tmp_path, MEASURES)


def test_what_is_no_share_may_be_any_number(tmp_path):
    (tmp_path / "metrics.json").write_text('{"test_distance": 31.5, "f1_error": 7.5}')
    assert read_metrics(tmp_path, MEASURES) == {"test_distance": 31.5, "f1_error": 7.5}
    (tmp_path / "metrics.json").write_text('{"test_distance": "far"}')
    with pytest.raises(RunError, match="test_distance must be a number or none"):
        read_metrics(tmp_path, MEASURES)
