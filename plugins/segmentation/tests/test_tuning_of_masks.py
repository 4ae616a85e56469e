"""A search for a network for masks, from the command line."""

import json

import pytest
from typer.testing import CliRunner

from kerascnn.cli import app

pytest.importorskip("kerascnn_tuning")


@pytest.mark.slow
def test_a_search_is_for_the_highest_mean_iou(tmp_path):
    done = CliRunner().invoke(
        app,
        [
            *("tune", "unet_same", "--data", "digit_scenes?size=32&train=60", "--objective"),
            *("val_mean_iou,params", "--input-shape", "32x32x3", "--choose", "width=2,4"),
            *("--fix", "depth=2", "--fix", "batch_size=8", "--only", "width", "--tuner", "grid"),
            *("--epochs", "1", "--dir", str(tmp_path / "study"), "--json"),
        ],
        catch_exceptions=False,
    )
    trials = json.loads(done.stdout[done.stdout.index("{") :])["trials"]
    found = [trial["metrics"]["val_mean_iou"] for trial in trials]
    assert len(found) == 2
    assert found == sorted(found, reverse=True)
    assert {"test_mean_iou", "val_pixel_accuracy", "params"} <= set(trials[0]["metrics"])
