"""plugins/template is really installed, discovered, checked and used, as its README says."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kerascnn

TEMPLATE = Path(__file__).parents[2] / "plugins" / "template"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that sees the template, installed by pip."""
    work = tmp_path_factory.mktemp("template")
    source, target = work / "source", work / "site"
    shutil.copytree(TEMPLATE, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    cache = {"KERASCNN_CACHE": str(work / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **cache, "PYTHONPATH": str(target)}


def python(environment, *words, cwd=None):
    command = [sys.executable, *words]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def test_it_imports_what_kerascnn_exports_alone():
    """Of a deeper path nobody has promised that it stays."""
    files = sorted(TEMPLATE.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("kerascnn.") for name in node.names), file
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "kerascnn":
                assert node.module == "kerascnn", file
                assert {name.name for name in node.names} <= set(kerascnn.__all__), file


def test_it_is_listed(installed):
    ended = python(installed, "-m", "kerascnn", "list", "allcnn*", "--json")
    row, ordinal = json.loads(ended.stdout)
    assert ordinal["name"] == "allcnn_c_ordinal"
    assert row == {
        "name": "allcnn_c",
        "provider": "kerascnn-template",
        "version": "0.1.0",
        "task": "classification",
        "status": "ok",
        "explanation": "",
    }


@pytest.mark.slow
def test_its_own_tests_pass(installed):
    tests = TEMPLATE / "tests"
    ended = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "failed" not in ended.stdout
    assert "xfailed" not in ended.stdout


USE = """
import json, sys
import numpy as np
from PIL import Image
from typer.testing import CliRunner
import kerascnn
from kerascnn.cli import app

# A class is how bright an image is; in the file they are not in their order.
labels = np.arange(250) % 5
rng = np.random.default_rng(0)
images = np.clip(50 * labels[:, None, None, None] + rng.normal(20, 9, (250, 16, 16, 3)), 0, 255)
np.savez("bright.npz", images=images.astype("uint8"), labels=labels)
Image.fromarray(images[3].astype("uint8")).save("three.png")
run = kerascnn.train(
    "allcnn_c_ordinal", "npz:bright.npz", run="run", input_shape=(16, 16, 3),
    arguments={"widths": (4, 8), "activation": "elu", "dropout": 0.0},
    recipe=kerascnn.Recipe(optimizer="adam", learning_rate=1e-2, batch_size=10, epochs=5),
)
def call(*words):
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return done.stdout
print(json.dumps({
    "config": run.config.task,
    "history": run.history[-1],
    "metrics": run.metrics,
    "evaluated": json.loads(call("evaluate", "run", "--split", "test", "--json")),
    "shown": call("evaluate", "run", "--split", "test"),
    "predicted": call("predict", "run", "three.png"),
    "runs": call("runs", ".", "--json"),
}), file=sys.stderr)
"""


def test_its_task_trains_evaluates_and_predicts(installed, tmp_path):
    code = python(installed, "-c", USE, cwd=tmp_path)
    assert code.returncode == 0, code.stderr[-3000:]
    found = json.loads(code.stderr.strip().splitlines()[-1])
    assert found["config"] == "ordinal"
    # Always to answer with the middle class has a mean distance of 1.2, and a median of 1.
    assert found["metrics"]["test_distance"] < 0.6
    assert found["metrics"]["test_median_distance"] < 0.6
    assert {"distance", "val_distance", "loss_distance"} <= set(found["history"])
    for name in ("distance", "median_distance"):
        ours = found["evaluated"][name]
        assert ours == pytest.approx(found["metrics"][f"test_{name}"], rel=1e-5)
    assert "Mean distance" in found["shown"]
    assert re.search(r'three.png: [23]\.\d, next to "3"', found["predicted"])
    assert "run" in found["runs"]


def test_without_it_the_name_is_unknown():
    ended = python(dict(os.environ), "-c", "import kerascnn; kerascnn.get('allcnn_c')")
    assert "UnknownNameError" in ended.stderr
