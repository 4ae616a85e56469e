"""Exported files beside the network itself: speed, and the same answers."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from kerascnn.bench import runtimes
from kerascnn.cli import app
from kerascnn.errors import ArgumentError


@pytest.fixture(scope="module")
def made(striped_run, tmp_path_factory):
    for package in runtimes.PACKAGES.values():
        pytest.importorskip(package, reason="a test extra: pip install kerascnn[onnx,openvino]")
    from kerascnn import quantizing

    folder = tmp_path_factory.mktemp("files")
    images = quantizing.of_run(striped_run, None, print)
    chosen = ("float32", "mixed_bfloat16")
    return runtimes._files(striped_run.model(), folder, tuple(runtimes.FORMATS), chosen, images)


def test_every_runtime_answers_as_the_network_does(striped_run, made):
    images, _ = next(striped_run.batches("train", batch_size=16, echo=None))
    exact = np.asarray(striped_run.model()(images))
    labels = [one.label for one in made]
    assert labels[:2] == ["kerascnn, float32", "kerascnn, mixed_bfloat16"]
    assert labels[2:] == [
        *("onnx, float32", "onnx, int8", "litert, float32", "litert, int8"),
        *("openvino, float32", "openvino, mixed_bfloat16", "openvino, int8"),
    ]
    for one in made:
        answer = runtimes.OPENERS[one.runtime](str(one.path), one.precision)(np.asarray(images))
        bound = 1e-5 if one.precision == "float32" else 0.05
        np.testing.assert_allclose(answer, exact, atol=bound, err_msg=one.label)
        assert answer.shape == exact.shape


def test_errors_and_agreement_are_counted_on_the_runs_test_images(striped_run, made):
    found = runtimes._judged(striped_run, made)
    for (error, agreement), one in zip(found, made, strict=True):
        assert error == striped_run.metrics["test_error"], one.label
        assert agreement == 1.0, one.label


@pytest.mark.slow
def test_the_command_races_them(striped_run):
    asked = ("--runtime", "onnx", "--quantize", "int8", "--rounds", "1", "--batch-size", "4")
    result = CliRunner().invoke(app, ["bench", "infer", str(striped_run.path), *asked, "--json"])
    assert result.exit_code == 0, result.output
    ours, whole, small = json.loads(result.stdout)["rows"]
    assert (ours["contestant"], whole["contestant"]) == ("kerascnn, float32", "onnx, float32")
    assert ours["ratio"] == 1.0
    assert small["size"] < whole["size"]
    assert small["agreement"] == 1.0


def test_networks_of_other_tasks_are_refused_by_name():
    pytest.importorskip("kerascnn_segmentation")
    ended = CliRunner().invoke(app, ["bench", "infer", "unet", "--runtime", "onnx"])
    assert "unet, which is for segmentation" in str(ended.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--runtime", "caffe"), "onnx, litert, openvino.*Received: 'caffe'"),
        (("--runtime", "onnx", "--quantize", "int4"), "must be int8"),
        (("--quantize", "int8"), "say where they run with --runtime"),
    ],
)
def test_what_is_wrong_is_refused_first(arguments, said):
    ended = CliRunner().invoke(app, ["bench", "infer", "lenet5", *arguments])
    with pytest.raises(ArgumentError, match=said):
        raise ended.exception
