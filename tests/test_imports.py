"""Imports wait for what they wait for, and happen once."""

import importlib.util
import sys

import pytest

from kerascnn.imports import around_import, lazy


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that nobody has imported yet."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_module.py").write_text("VALUE = 1")
    yield "late_module"
    sys.modules.pop("late_module", None)


def test_a_name_is_imported_when_it_is_used(module):
    find = lazy("package", {"VALUE": module})
    assert module not in sys.modules
    assert find("VALUE") == 1
    assert module in sys.modules


def test_a_name_that_is_not_there_is_said_as_python_says_it():
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'VALUES'"):
        lazy("package", {"VALUE": "late_module"})("VALUES")


def test_code_around_an_import_runs_once_however_often_it_is_asked_for(module):
    calls = []

    def around(execute):
        calls.append("before")
        execute()
        calls.append(sys.modules[module].VALUE)

    around_import(module, around)
    around_import(module, around)
    assert calls == []
    __import__(module)
    __import__(module)
    assert calls == ["before", 1]
    finders = len(sys.meta_path)
    around_import(module, around)  # too late
    assert len(sys.meta_path) == finders


def test_who_only_looks_for_the_module_takes_nothing_away(module):
    """As TensorFlow looks for Keras."""
    calls = []

    def around(execute):
        calls.append("before")
        execute()

    around_import(module, around)
    assert importlib.util.find_spec(module) is not None
    assert calls == []
    __import__(module)
    assert calls == ["before"]


def test_an_import_that_was_refused_is_refused_again(module):
    def around(execute):
        raise RuntimeError("not here")

    around_import(module, around)
    try:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not here"):
                __import__(module)
    finally:
        sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "around", 0) is not around]
