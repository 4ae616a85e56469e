"""Settings and helpers for the tests of searches."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest


@pytest.fixture
def tiny():
    """A plan whose trials train in a second: `tiny(tuner="grid", max_trials=2)`."""
    from kerascnn_tuning.plan import Plan

    def make(**changes):
        settings = {
            "architecture": "lenet5",
            "input_shape": (16, 16, 1),
            "only": ("kernels",),
            "fix": {"hidden": (8,), "batch_size": 1000},
            "choose": {"widths": (2, 3, 4)},
            "epochs": 1,
            "max_trials": 4,
        }
        return Plan(**{**settings, **changes})

    return make


@pytest.fixture
def make(tmp_path, tiny):
    """`make(**plan)` → an oracle in the test's directory, resuming if there is a state."""

    from kerascnn_tuning.oracles.making import make_oracle
    from kerascnn_tuning.problem import Problem

    def oracle(**changes):
        return make_oracle(Problem.of(tiny(**changes), classes=10), tmp_path / "oracle")

    return oracle


@pytest.fixture(scope="session")
def data():
    from kerascnn.data import load

    return load("mnist5k", input_shape=(16, 16, 1), echo=None)


@pytest.fixture(scope="session")
def study(tmp_path_factory, data):
    """A finished search of four trials."""
    from kerascnn_tuning import Plan, search
    from search_steps import QUIET, SETTINGS

    path = tmp_path_factory.mktemp("study") / "study"
    return search(Plan(**SETTINGS), directory=path, dataset=data, console=QUIET)
