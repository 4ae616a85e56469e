"""The package is written with what kerascnn exports alone."""

import ast
from importlib import import_module
from pathlib import Path

import kerascnn_segmentation
import pytest

import kerascnn

FILES = sorted(Path(kerascnn_segmentation.__file__).parent.glob("*.py"))


def imported(file):
    """The modules of kerascnn and the names that a file takes from them, also in its functions."""
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
