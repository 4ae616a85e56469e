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
