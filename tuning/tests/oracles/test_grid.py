"""A grid visits every combination, once, also after an interruption."""

import pytest
from search_steps import complete, points, run_all

from kerascnn.errors import ArgumentError


def test_a_grid_refuses_a_continuum_and_visits_everything_else(make):
    with pytest.raises(ArgumentError, match="--choose dropout="):
        make(tuner="grid", only=("dropout",))
    every = points(run_all(make(tuner="grid", max_trials=None)))
    assert len(every) == 9 * 5  # widths, and the pairs of kernels that fit


def test_a_grid_is_resumed_without_repetition(make):
    # Stock: KeyError (KT#1055).
    oracle = make(tuner="grid", max_trials=None)
    for _ in range(5):
        complete(oracle, oracle.create_trial("w"))
    again = make(tuner="grid", max_trials=None)
    assert len(again.trials) == 5
    trials = run_all(again)
    assert len(trials) == len(set(points(trials))) == 9 * 5
