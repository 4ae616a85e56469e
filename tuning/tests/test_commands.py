"""`kerascnn tune`: what a user types, what is printed, and what is refused."""

import json
import re
import subprocess
import sys

import pytest
from kerascnn_tuning.errors import StudyError
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError

TINY = [
    *("--input-shape", "16x16x1", "--only", "kernels", "--choose", "widths=2,3"),
    *("--fix", "hidden=8,8", "--fix", "batch_size=1000", "--epochs", "1"),
]


def tune(*arguments):
    return kerascnn("tune", *arguments)


def kerascnn(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_help_explains_itself():
    assert all(word in tune("--help") for word in ("search", "chief", "worker", "local", "report"))
    assert "--max-params" in tune("lenet5", "--help")


def test_the_space_is_a_table_with_its_size_and_the_share_within_budget():
    output = tune("lenet5", "--space", "--max-params", "30k", *TINY)
    assert "Configurations: 36" in output
    share = int(re.search(r"within the budget: (\d+)%", output).group(1))
    assert 40 < share < 72  # of the nine pairs of kernels five fit into 16×16


def test_a_search_from_the_command_line(tmp_path):
    directory = tmp_path / "study"
    output = tune("lenet5", *TINY, "--max-trials", 2, "--dir", directory, "--json")
    found = json.loads(output[output.index("{") :])
    assert len(found["trials"]) == 2
    assert found["trials"][0]["arguments"]["hidden"] == [8, 8]
    assert (directory / "best" / "model.keras").is_file()
    more = tune("search", "--resume", directory, "--max-trials", 3, "--json")
    trials = json.loads(more[more.index("{") :])["trials"]
    assert len(trials) == 3

    again = ("train", "--from-trial", directory / trials[1]["trial"], "--run", tmp_path / "again")
    output = kerascnn(*again, "--json")
    metrics = json.loads(output[output.index("{") :])
    assert metrics["val_error"] == trials[1]["metrics"]["val_error"]
    assert metrics["val_loss"] == pytest.approx(trials[1]["metrics"]["val_loss"], rel=1e-5)
    with pytest.raises(ArgumentError, match="has no trial '0099'"):
        kerascnn("train", "--from-trial", directory / "0099")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet5", "--study", "x.toml"], "Pass either"),
        (["lenet5", "--fix", "kernal=5"], "no parameter 'kernal'"),
        (["lenet5", "--fix", "kernel"], "--fix must be parameter=value"),
        (["lenet5", "--range", "dropout=0.5"], "--range must be parameter=LOW:HIGH"),
        (["lenet5", "--max-params", "some"], "--max-params must be a positive number"),
        (["--study", "missing.toml"], "can't be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        tune(*arguments)


def test_the_benchmark_is_found_under_bench_and_refuses_unknown_parts():
    assert "--rounds" in kerascnn("bench", "tune", "--help")
    with pytest.raises(ArgumentError, match="--part must be one of waste, time, workers, growth"):
        kerascnn("bench", "tune", "--part", "speed")


def test_a_report_needs_a_study(tmp_path):
    with pytest.raises(StudyError, match="no study"):
        tune("report", tmp_path)


def test_listing_commands_loads_neither_keras_nor_keras_tuner():
    code = (
        "import sys, kerascnn_tuning.commands, kerascnn_tuning\n"
        "print([m for m in ('keras', 'tensorflow', 'keras_tuner') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
