"""plugins/template is really installed, discovered, checked and used, as its README says."""

import ast
import json
import os
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


def python(environment, *words):
    command = [sys.executable, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


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
    (row,) = json.loads(ended.stdout)
    assert row == {
        "name": "allcnn_c",
        "provider": "kerascnn-template",
        "version": "0.1.0",
        "task": "classification",
        "status": "ok",
        "explanation": "",
    }


def test_its_own_tests_pass(installed):
    tests = TEMPLATE / "tests"
    ended = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "failed" not in ended.stdout
    assert "xfailed" not in ended.stdout


def test_without_it_the_name_is_unknown():
    ended = python(dict(os.environ), "-c", "import kerascnn; kerascnn.get('allcnn_c')")
    assert "UnknownNameError" in ended.stderr
