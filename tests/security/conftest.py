"""A run to damage, and a module that leaves a trace when anyone imports it."""

import shutil
import sys

import pytest
from rich.console import Console

from kerascnn.recipes.recipe import Recipe
from kerascnn.training.trainer import train

TRAP = """
from pathlib import Path
import keras

Path(r"{trace}").write_text("imported")


class Trap(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A small run of two epochs with everything that a run has."""
    path = tmp_path_factory.mktemp("trained") / "run"
    recipe = Recipe(batch_size=700, epochs=2)
    small = {"arguments": {"widths": (2, 4), "hidden": (8,)}, "recipe": recipe}
    return train("lenet5", "mnist5k", **small, run=path, console=Console(quiet=True))


@pytest.fixture
def copy(trained, tmp_path):
    """The same run in a directory of the test's own."""
    shutil.copytree(trained.path, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The file that appears when the module `trap_of_a_test` is imported."""
    (tmp_path / "modules").mkdir()
    trace = tmp_path / "trace"
    (tmp_path / "modules" / "trap_of_a_test.py").write_text(TRAP.format(trace=trace))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield trace
    sys.modules.pop("trap_of_a_test", None)
