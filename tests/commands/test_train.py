"""`kerascnn train`, `evaluate`, `predict`, one after the other, as the README shows them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn.cli import app, main
from kerascnn.errors import ArgumentError, RunError, UnknownNameError


def call(*arguments):
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": "120"}
    )
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    settings = ("--set", "widths=4,8", "--set", "hidden=32", "--epochs", 2, "--batch-size", 100)
    shown = call("train", "lenet5", "--data", "mnist5k", *settings, "--run", path)
    return path, shown


def test_training_shows_each_epoch_and_the_test_error(trained):
    path, shown = trained
    assert "padded" in shown
    assert "epoch 1/2" in shown
    assert "epoch 2/2" in shown
    error = json.loads((path / "metrics.json").read_text())["test_error"]
    assert f"Test error {error:.2%}" in shown
    assert f"Run: {path}" in shown
    assert shown.splitlines()[-1].endswith(f"are in {path}.")
    assert json.loads((path / "config.json").read_text())["architecture"]["arguments"] == {
        "widths": [4, 8],
        "hidden": [32],
    }


def test_evaluation_repeats_the_reported_error(trained):
    path, _ = trained
    found = json.loads(call("evaluate", path, "--json"))
    metrics = json.loads((path / "metrics.json").read_text())
    assert found["error"] == pytest.approx(metrics["test_error"], abs=1e-9)
    assert found["images"] == 1000
    assert f"error {found['error']:.2%}" in call("evaluate", path)


def test_evaluation_says_how_other_images_are_changed(trained, tmp_path):
    path, _ = trained
    images = np.zeros((40, 30, 20), "uint8")
    np.savez(tmp_path / "[x].npz", images=images, labels=np.arange(40) % 10)
    shown = call("evaluate", path, "--data", f"npz:{tmp_path / '[x].npz'}")
    assert "images are resized to 32×32" in shown
    assert "40 images: error" in shown


def test_prediction_of_image_files(trained, tmp_path):
    """A digit of the training set, as a file that any program could have written."""
    path, _ = trained
    with np.load("kerascnn/data/mnist5k.npz") as file:
        Image.fromarray(file["images"][0]).save(tmp_path / "digit.png")
    (found,) = json.loads(call("predict", path, tmp_path / "digit.png", "--top", 10, "--json"))
    assert found["image"].endswith("digit.png")
    assert sorted(c["name"] for c in found["classes"]) == list("0123456789")
    likely = [c["probability"] for c in found["classes"]]
    assert likely == sorted(likely, reverse=True)
    assert sum(likely) == pytest.approx(1, abs=1e-4)
    shown = call("predict", path, tmp_path / "digit.png", "--top", 1)
    assert "digit.png" in shown
    assert found["classes"][0]["name"] in shown


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["train"], ArgumentError, "either the name of an architecture"),
        (["train", "lenet5", "--data", "letters"], UnknownNameError, "Known: cifar10, cifar100"),
        (["train", "--resume", ".", "--epochs", "9"], ArgumentError, "Received: --epochs"),
        (["train", "--config", ".", "--set", "kernels=3"], ArgumentError, "Received: --set"),
        (["train", "lenet5", "--set", "kernels"], ArgumentError, "argument=value"),
        (["train", "lenet5", "--set", "kernels=x"], ArgumentError, "Received: 'x'"),
        (["train", "lenet5", "--set", "kernal=3"], ArgumentError, "has no argument 'kernal'"),
        (["train", "lenet5", "--input-shape", "64x64"], ArgumentError, "HEIGHTxWIDTHxCHANNELS"),
        (["train", "lenet5", "--keep-epochs", "1,,5"], ArgumentError, "Received: '1,,5'"),
        (["train", "lenet5", "--keep-epochs", "1,500"], ArgumentError, "recipe's last, 100"),
        (["train", "--resume", ".", "--explain"], ArgumentError, "Received: --explain"),
        (["evaluate", "nowhere"], RunError, "There is no run directory nowhere"),
        (["predict", ".", "a.png"], RunError, "no run directory"),
    ],
)
def test_mistakes_get_one_clear_message(arguments, error, message):
    with pytest.raises(error, match=message):
        call(*arguments)


def test_a_run_directory_that_can_not_be_made_is_one_message(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    run = tmp_path / "file" / "run"
    monkeypatch.setattr(sys, "argv", ["kerascnn", "train", "lenet5", "--run", str(run)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    shown = f"Error: {run}: Not a directory. (KERASCNN_VERBOSE=1 shows the traceback.)\n"
    assert capsys.readouterr().err == shown
    monkeypatch.setenv("KERASCNN_VERBOSE", "1")
    with pytest.raises(NotADirectoryError):
        main()


def test_a_misspelt_name_is_answered_before_tensorflow_is_loaded():
    code = (
        "import sys; from typer.testing import CliRunner; from kerascnn.cli import app; "
        "found = CliRunner().invoke(app, ['train', 'lenet6']).exception; "
        "print(found, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Did you mean lenet5" in ended.stdout
    assert ended.stdout.split()[-1] == "False"


def test_a_pattern_that_matches_nothing_says_so():
    result = CliRunner().invoke(app, ["list", "nosuch*"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No architecture matches nosuch*" in result.stderr
    assert json.loads(call("list", "nosuch*", "--json")) == []
