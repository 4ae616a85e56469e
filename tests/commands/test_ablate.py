"""`kerascnn ablate`, as a user calls it; its runs are tested in tests/training/test_ablation.py."""

import json
import re

import pytest
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app


def run(*arguments):
    result = CliRunner().invoke(app, ["ablate", *arguments], env={"COLUMNS": "80"})
    if result.exception:
        raise result.exception
    return result.output


def test_without_what_the_parts_are_listed_and_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run("alexnet")
    assert re.search(r"^pool_size +overlapping_pooling +3 +2 *$", shown, re.M)
    assert re.search(r"^norm +lrn +lrn +none *$", shown, re.M)
    assert "--what all" in shown
    listed = json.loads(run("alexnet", "--json", "--set", "norm=batch", "--with", "clip_norm=none"))
    assert {"part": "norm", "or": "batch", "was": "batch", "becomes": "none"} in listed
    assert "clip_norm" not in [row["part"] for row in listed]
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_there_is_not_is_named_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kerascnn.errors.ArgumentError, match="Did you mean dropout"):
        run("alexnet", "--what", "lrn,dropuot")
    assert list(tmp_path.iterdir()) == []
