"""Exported files give the model's outputs in the runtimes they are for."""

import json
import sys

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn import exporting
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, ExportError
from kerascnn.preprocessing import preprocess_input

RUNTIMES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}
# One network for each layer that a converter could get wrong, with few weights.
NETWORKS = {
    "lenet5_1998": {},
    "alexnet": {"widths": (8, 8, 8, 8, 8), "hidden": (8, 8), "input_shape": (99, 99, 3)},
    "vgg11_bn": {"widths": (4, 4, 4, 4, 4), "hidden": (8,), "input_shape": (64, 64, 3)},
    "nin_cifar10": {},
    "googlenet": {"input_shape": (75, 75, 3)},
    "resnet18": {"shortcut": "A", "widths": (4, 8, 8, 8), "stem_width": 4},
    "resnet164v2_cifar": {"depths": (1, 1, 1)},
    "densenet121": {"depths": (1, 1), "kernels": (3, 3), "input_shape": (64, 64, 3)},
}


def need(format):
    for package in RUNTIMES.get(format, ()):
        pytest.importorskip(package, reason="a test extra: pip install kerascnn[onnx,litert]")


@pytest.fixture(scope="module")
def lenet():
    return kerascnn.create("lenet5", widths=(2, 3), hidden=(5,))


@pytest.mark.parametrize("format", exporting.SUFFIXES)
def test_same_outputs(format, lenet, tmp_path, recwarn):
    need(format)
    path = exporting.export(lenet, tmp_path / "lenet", format)
    assert not [w for w in recwarn if w.category is FutureWarning], "nothing a user could act upon"
    assert path.name == "lenet" + exporting.SUFFIXES[format]
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing unfinished is left"
    gap = exporting.difference(lenet, path, format)
    assert gap is not None
    assert gap < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("format", ["savedmodel", "onnx", "litert"])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_outputs_in_every_family(format, name, tmp_path):
    need(format)
    model = kerascnn.create(name, **NETWORKS[name])
    path = exporting.export(model, tmp_path / name, format)
    gap = exporting.difference(model, path, format)
    assert gap is not None
    assert gap < 1e-4


def test_a_wrong_file_shows(lenet, tmp_path):
    """The comparison would notice other weights."""
    path = exporting.export(lenet, tmp_path / "a", "savedmodel")
    lenet_2 = kerascnn.create("lenet5", widths=(2, 3), hidden=(5,))
    assert exporting.difference(lenet_2, path, "savedmodel") > 1e-3


def test_pixels(tmp_path):
    """With the preprocessing inside, pixels give what preprocessed pixels give the network."""
    model = kerascnn.create("lenet5")
    known = kerascnn.get("lenet5").card.preprocessing
    path = exporting.export(model, tmp_path / "a", "keras", preprocessing=known)
    loaded = keras.models.load_model(path)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype("float32")
    expected = model(preprocess_input(pixels, "lenet5"))
    np.testing.assert_allclose(loaded(pixels), expected, atol=1e-6)
    names = [layer.name for layer in model.layers[1:]]
    assert [layer.name for layer in loaded.layers[2:]] == names, "a flat graph"


def test_refusals(lenet, tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match=r"savedmodel, onnx, litert.*Received: 'caffe'"):
        exporting.export(lenet, tmp_path / "a", "caffe")
    (tmp_path / "b.keras").touch()
    with pytest.raises(ExportError, match="exists already"):
        exporting.export(lenet, tmp_path / "b", "keras")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ExportError, match=r"kerascnn\[onnx\]"):
        exporting.export(lenet, tmp_path / "c", "onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.keras"]


def test_command(tmp_path):
    output = tmp_path / "small"
    arguments = ["export", "lenet5", "--format", "savedmodel", "--output", str(output), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--set", "widths=2,3", "--pixels"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["path"] == str(output)
    assert found["difference"] < 1e-5


@pytest.mark.slow
def test_command_on_a_run(tmp_path):
    """A trained run with its preprocessing, as one file that takes pixels."""
    from kerascnn.training.trainer import train

    run = train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 3), "hidden": (5,)},
        epochs=1,
        batch_size=256,
        strategy="none",
        run=tmp_path / "run",
        console=Console(quiet=True),
    )
    output = str(tmp_path / "model.keras")
    command = ["export", str(run.path), "--format", "keras", "--pixels", "--output", output]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype("float32")
    exported = keras.models.load_model(output, compile=False)
    np.testing.assert_allclose(exported(pixels), run.predict(pixels), atol=1e-5)
    refused = CliRunner().invoke(app, [*command, "--classes", "5"])
    assert "whose model is complete" in str(refused.exception)
