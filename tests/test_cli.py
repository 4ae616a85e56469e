"""What the command line says when it is asked, when a word is wrong, and when nobody listens."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from kerascnn import registry
from kerascnn.cli import app
from kerascnn.errors import KerascnnError

MAIN = "import sys; from kerascnn.cli import main; sys.argv[0] = 'kerascnn'; main()"


def said(*words, columns=80):
    """What is printed, and the message of one of our errors."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": str(columns)})
    error = result.exception if isinstance(result.exception, KerascnnError) else ""
    return f"{result.output}{error}"


COMMANDS = [(), *((name,) for name in registry.entries(registry.COMMANDS))]
COMMANDS += [("tune", "search"), ("data", "check"), ("runs", "list"), ("bench", "infer")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_whole_on_80_columns(words):
    shown = said(*words, "--help")
    assert shown.startswith("Usage: ")
    assert "…" not in shown
    assert not re.search(r"\w\.\.\.$", shown, re.M)  # a sentence that was cut
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trian lenet5", "train"),
        ("data previw mnist5k", "preview"),
        ("bench infr", "infer"),
        ("--verison", "--version"),
        ("train lenet5 --epoch 3", "--epochs"),
        ("info lenet5 --layer", "--layers"),
        ("runs --srt error", "--sort"),
        ("tune lenet5 --max-parms 5k", "--max-params"),
        ("train lenet5 --set kernls=3", "kernels"),
        ("info resnet18 --set widhts=1,2,3,4", "widths"),
        ("export lenet5 --format onnx --set hiden=3", "hidden"),
        ("info resnt18", "resnet18"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(typed, meant):
    assert re.search(rf"Did you mean [^?]*{meant}\b", said(*typed.split()))


def test_a_name_is_the_architecture_whatever_folder_lies_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5").mkdir()
    assert "Gradient-Based Learning" in said("info", "lenet5")
    (tmp_path / "lenet5" / "config.json").write_text("{}")
    shown = said("info", "lenet5")
    assert "the run in this folder is ./lenet5" in shown
    assert "Gradient-Based Learning" in shown
    assert "There is no run directory runs/none" in said("info", "runs/none")


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("info", "vgg16", "--layers")])
def test_a_reader_that_leaves_early_ends_it_quietly(words):
    command = [sys.executable, "-c", MAIN, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_training_whose_reader_leaves_ends_quietly(tmp_path):
    """As in `kerascnn train lenet5 | head -1`."""
    words = ("train", "lenet5", "--set", "widths=2,4", "--set", "hidden=8", "--epochs", "30")
    command = [sys.executable, "-c", MAIN, *words, "--run", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (1, 141)
