"""An oracle that is made again goes on where the one before it stopped."""

import pytest
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import TUNERS
from kerascnn_tuning.problem import Problem
from search_steps import MANY, complete, points, run_all

from kerascnn.errors import ArgumentError


def test_nothing_to_search_is_an_error(make):
    with pytest.raises(ArgumentError, match="nothing to search"):
        make(only=("kernels",), choose={}, fix={"kernels": 5})


@pytest.mark.parametrize("tuner", [t for t in TUNERS if t != "hyperband"])
def test_a_search_is_resumed_with_its_running_trial(make, tuner):
    oracle = make(tuner=tuner, max_trials=6)
    complete(oracle, oracle.create_trial("w"))
    running = oracle.create_trial("w")
    again = make(tuner=tuner, max_trials=6)
    assert again.create_trial("w").trial_id == running.trial_id
    again = make(tuner=tuner, max_trials=6)
    trials = run_all(again)
    assert len(trials) == len(set(points(trials))) == 6
    assert all(t.status == "COMPLETED" for t in trials)


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("max_params", [None, 500])
def test_a_resumed_search_proposes_trial_for_trial_what_an_uninterrupted_one_does(
    tmp_path, tiny, tuner, max_params
):
    """Each trial in another process, as with `--recycle 1`; every third is interrupted, too."""
    settings = {"tuner": tuner, "seed": 3, "max_params": max_params, "max_trials": 16}
    settings |= {"only": ("kernel", "learning_rate"), **MANY, "epochs": 4}
    if tuner == "grid":
        settings |= {"only": ("kernel",), "choose": {"widths": (2, 3, 4, 5)}}
    problem = Problem.of(tiny(**settings), 10)
    whole = run_all(make_oracle(problem, tmp_path / "whole" / "oracle"))
    for number in range(len(whole)):
        oracle = make_oracle(problem, tmp_path / "parts" / "oracle")
        trial = oracle.create_trial("w")
        if number % 3 == 0:
            oracle = make_oracle(problem, tmp_path / "parts" / "oracle")
            assert oracle.create_trial("w").trial_id == trial.trial_id
        complete(oracle, trial)
    parts = make_oracle(problem, tmp_path / "parts" / "oracle")
    assert points(parts.trials.values()) == points(whole)
    assert parts.create_trial("w").status == "STOPPED"


@pytest.mark.parametrize("tuner", ["random", "bayesian", "optuna", "grid"])
def test_a_raised_limit_goes_on_as_if_it_had_been_so_from_the_start(tmp_path, tiny, tuner):
    def search(name, limit):
        settings = {"tuner": tuner, "max_trials": limit, "choose": {"widths": tuple(range(2, 9))}}
        return run_all(make_oracle(Problem.of(tiny(**settings), 10), tmp_path / name / "oracle"))

    search("two", 6)
    assert points(search("two", 14)) == points(search("one", 14))
