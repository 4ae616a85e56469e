"""`kerascnn bench` measures networks for segmentation as it does classifiers."""

import json

import pytest
from typer.testing import CliRunner

from kerascnn.cli import app


@pytest.mark.slow
@pytest.mark.parametrize("what", ["infer", "train"])
def test_a_network_whose_answer_is_a_map_is_raced(what):
    """On noise of the size that is asked for, and random masks of the size of its answer."""
    words = ("--input-shape", "32x32x3", "--batch-size", "2", "--rounds", "1", "--json")
    result = CliRunner().invoke(app, ["bench", what, "unet_same", *words, "--against", "keras"])
    assert result.exception is None, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["network"], row["contestant"]) == ("unet_same", "kerascnn")
    assert row["images_per_second"] > 0
