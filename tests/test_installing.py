"""Every install line of every README works in an environment of its own, from folder or wheel.

One environment is installed from nothing; the others begin as copies of it without kerascnn, so
that only what a line adds is fetched again.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The README, and where its reader stands.
READMES = {
    "README.md": "",
    "kerascnn/data/README.md": "",
    "kerascnn/training/README.md": "",
    "kerascnn/weights/README.md": "",
    "plugins/README.md": "",
    "plugins/detection/README.md": "",
    "plugins/segmentation/README.md": "",
    "plugins/template/README.md": "plugins/template",
    "tuning/README.md": "",
}
# What has to be there afterwards, by a word of the line.
BRINGS = {
    "weights": ["safetensors", "huggingface_hub"],
    "onnx": ["tf2onnx", "onnxruntime"],
    "litert": ["ai_edge_litert"],
    "tfds": ["tensorflow_datasets"],
    "tuning": ["kerascnn_tuning", "keras_tuner"],
    "optuna": ["optuna"],
    "template": ["kerascnn_template"],
    "segmentation": ["kerascnn_segmentation"],
    "detection": ["kerascnn_detection"],
    "coco": ["faster_coco_eval"],
    "search": ["cv2"],
    "svm": ["sklearn"],
    "sklearn": ["sklearn"],
    "mlflow": ["mlflow"],
    "wandb": ["wandb"],
    "app": ["starlette", "uvicorn"],
    "xprof": ["xprof"],
}


def lines():
    """(README, arguments of pip install) of each line and of each phrase in backticks."""
    for readme, folder in READMES.items():
        text = (ROOT / readme).read_text(encoding="utf-8")
        blocks = re.findall(r"^pip install ([^#\n]+)", text, re.M)
        phrases = re.findall(r"`pip\s+install\s+([^`&]+?)\s*(?:&&[^`]*)?`", text)
        for arguments in dict.fromkeys(" ".join(found.split()) for found in blocks + phrases):
            yield pytest.param(folder, arguments, id=f"{readme}: {arguments}")


def run(*command, cwd=None, environment=None):
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the files that are the project."""
    path = tmp_path_factory.mktemp("checkout")
    everywhere = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache")
    made = shutil.ignore_patterns("runs", "studies")  # at the top alone: kerascnn.runs is a room

    def leave(folder, names):
        return everywhere(folder, names) | (made(folder, names) if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, path, dirs_exist_ok=True, ignore=leave)
    return path


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory, checkout):
    """An environment after `pip install .` and `pip uninstall kerascnn`."""
    path = tmp_path_factory.mktemp("environments") / "first"
    run(sys.executable, "-m", "venv", path)
    python = path / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", ".", cwd=checkout)
    assert "lenet5" in run(python, "-m", "kerascnn", "list", cwd=path)
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "kerascnn")
    return path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory, checkout):
    """What an index would hold once all parts are published."""
    path = tmp_path_factory.mktemp("wheels")
    plugins = ("template", "segmentation", "detection")
    parts = [".", "./tuning", *(f"./plugins/{name}" for name in plugins)]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", path]
    run(*build, *parts, cwd=checkout)
    assert len(list(path.glob("*.whl"))) == len(parts)
    return path


@pytest.fixture
def environment(tmp_path, dependencies):
    """The Python of an environment with the dependencies and without kerascnn."""
    path = tmp_path / "environment"
    shutil.copytree(dependencies, path, symlinks=True, copy_function=os.link)
    yield path / "bin" / "python"
    shutil.rmtree(path)


def alone(folder):
    """Variables for a process that sees what is installed, and nothing of these tests."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**variables, "KERASCNN_CACHE": str(folder / "cache")}


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "arguments"), list(lines()))
def test_an_install_line_works(folder, arguments, environment, checkout, wheels, tmp_path):
    words = shlex.split(arguments)
    pip = [environment, "-m", "pip", "install", "--quiet", "--find-links", wheels]
    if "cuda" in arguments:  # several GB: that it can be resolved is all that is seen here
        run(*pip, "--dry-run", *words, cwd=checkout / folder)
        return
    if folder or arguments.startswith(("./", "xprof", "'./")):
        run(*pip, ".", cwd=checkout)  # the line says that kerascnn is there
    run(*pip, *words, cwd=checkout / folder)
    expected = [name for word, names in BRINGS.items() if word in arguments for name in names]
    if folder.endswith("template"):
        expected += BRINGS["template"]
    imports = "; ".join(f"import {name}" for name in ["kerascnn", *expected])
    cache = alone(tmp_path)
    run(environment, "-c", imports, cwd=tmp_path, environment=cache)
    listed = run(environment, "-m", "kerascnn", "list", cwd=tmp_path, environment=cache)
    assert "lenet5" in listed
    if "kerascnn_template" in expected:
        assert "allcnn_c" in listed
    if "kerascnn_segmentation" in expected:
        assert "fcn8s" in listed
    if "kerascnn_detection" in expected:
        assert "yolo_tiny" in listed
    if "kerascnn_tuning" in expected:
        run(environment, "-m", "kerascnn", "tune", "--help", cwd=tmp_path, environment=cache)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "extras"), [("segmentation", ""), ("detection", "[coco,search,svm]")]
)
def test_the_tests_of_a_plugin_pass_beside_an_installed_kerascnn(
    plugin, extras, environment, checkout, wheels, tmp_path
):
    """The fast ones, away from the checkout, so that what is installed is tested.

    But for the conformance suites, which are long and the same wherever they run.
    """
    pip = [environment, "-m", "pip", "install", "--quiet", "--find-links", wheels]
    run(*pip, ".", f"./plugins/{plugin}{extras}", "pytest>=9", cwd=checkout)
    tests = tmp_path / "tests"
    shutil.copytree(checkout / "plugins" / plugin / "tests", tests)
    told = run(
        *(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"),
        *("--import-mode=importlib", tests, "-k", "not conforms"),
        cwd=tmp_path,
        environment=alone(tmp_path),
    )
    assert " passed" in told.splitlines()[-1]


def test_the_readmes_have_install_lines():
    found = [param.id for param in lines()]
    assert len(found) > 8
    assert {readme for readme in READMES if any(id_.startswith(readme) for id_ in found)} == set(
        READMES
    )
