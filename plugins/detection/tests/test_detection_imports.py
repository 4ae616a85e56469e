"""The package is written with what kerascnn exports alone, and says where TensorFlow is needed."""

import ast
from importlib import import_module
from pathlib import Path

import kerascnn_detection
import pytest

import kerascnn

FILES = sorted(Path(kerascnn_detection.__file__).parent.glob("*.py"))
NEED_TENSORFLOW = {"answering.py", "selective_search.py"}


def imported(file):
    """The modules and the names that a file takes from them, also in its functions."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name, None) for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, name.name) for name in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_imports_what_kerascnn_exports_alone(file):
    """Of a deeper path nobody has promised that it stays."""
    for module, name in imported(file):
        first, _, inside = module.partition(".")
        if first != "kerascnn":
            continue
        assert not inside or inside in kerascnn.__all__, module
        exported = getattr(import_module(module), "__all__", None)
        if name and exported is not None:
            assert name in exported, f"{module}.{name}"
        assert name is None or not name.startswith("_"), f"{module}.{name}"


def test_only_the_search_and_answers_to_photos_need_tensorflow():
    found = {file.name for file in FILES for module, _ in imported(file) if module == "tensorflow"}
    assert found == NEED_TENSORFLOW


def test_the_package_names_every_file():
    said = kerascnn_detection.__doc__
    assert [f.stem for f in FILES if f.stem != "__init__" and f"`{f.stem}`" not in said] == []
