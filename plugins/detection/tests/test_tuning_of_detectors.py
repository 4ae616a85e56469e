"""A search for a network that finds things."""

import json

import pytest
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app

pytest.importorskip("kerascnn_tuning")


def test_what_a_detectors_losses_dont_know_is_not_searched():
    from kerascnn_tuning.space import joint_space

    for name in ("yolo", "faster_rcnn"):
        space = joint_space(kerascnn.get(name), kerascnn.Recipe())
        assert space["label_smoothing"].search is None
        assert space["learning_rate"].search is not None


@pytest.mark.slow
def test_a_search_is_for_the_highest_ap(tmp_path):
    done = CliRunner().invoke(
        app,
        [
            *("tune", "yolo_tiny", "--data", "digit_scenes?size=32&digits=1&train=40"),
            *("--objective", "val_ap50", "--input-shape", "32x32x3", "--choose", "boxes=1,2"),
            *("--fix", "widths=4,8", "--fix", "tail=8,", "--fix", "head=conv", "--only", "boxes"),
            *("--tuner", "grid", "--epochs", "1", "--dir", str(tmp_path / "study"), "--json"),
        ],
        catch_exceptions=False,
    )
    trials = json.loads(done.stdout[done.stdout.index("{") :])["trials"]
    found = [trial["metrics"]["val_ap50"] for trial in trials]
    assert len(found) == 2
    assert found == sorted(found, reverse=True)
    assert {"test_ap50", "val_ap75"} <= set(trials[0]["metrics"])
