"""Hyperband's brackets: their sizes, whom they promote, and that they end whatever fails."""

import random

import pytest
from search_steps import MANY, complete, fail, run_all


def test_hyperband_ends_and_promotes_the_better(make):
    oracle = make(tuner="hyperband", epochs=4, max_trials=None, choose={"widths": (2, 3, 4, 5, 6)})
    trials = run_all(oracle)
    epochs = [t.hyperparameters.values["tuner/epochs"] for t in trials]
    assert max(epochs) == 4
    assert min(epochs) < 4
    promoted = [t for t in trials if t.hyperparameters.values.get("tuner/trial_id")]
    parents = {t.hyperparameters.values["tuner/trial_id"] for t in promoted}
    losers = [
        t.score
        for t in trials
        if t.hyperparameters.values["tuner/bracket"] == 1
        and t.hyperparameters.values["tuner/round"] == 0
        and t.trial_id not in parents
    ]
    winners = [oracle.trials[i].score for i in parents]
    assert promoted
    assert max(winners) <= min(losers)


def rounds(oracle):
    """Bracket → how many trials each of its rounds has."""
    found = {}
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        bracket = values["tuner/bracket"]
        found.setdefault(bracket, [0] * (bracket + 1))[values["tuner/round"]] += 1
    return found


HYPERBAND = {"tuner": "hyperband", "epochs": 9, "max_trials": None, "failure_limit": 100}


@pytest.mark.parametrize("broken", [{0}, {3, 4, 5}, set(range(6)), {0, 9, 14}])
def test_hyperband_runs_the_last_round_of_each_bracket_whatever_fails(make, broken):
    # Stock: 3 of the first 9 trials fail, and nothing is ever trained for 9 epochs in this bracket.
    oracle = make(**HYPERBAND, **MANY, retries=0)
    for number in range(100):
        trial = oracle.create_trial("w")
        if trial.status == "STOPPED":
            break
        fail(oracle, trial) if number in broken else complete(oracle, trial)
    # By the paper's formula, with 9 epochs and a factor of 3: 9, 3, 1; 5, 2; 3.
    sizes = rounds(oracle)
    assert {bracket: found[0] for bracket, found in sizes.items()} == {2: 9, 1: 5, 0: 3}
    assert all(found[-1] >= 1 for found in sizes.values())
    if broken in ({0}, {3, 4, 5}):
        assert sizes == {2: [9, 3, 1], 1: [5, 2], 0: [3]}
    failed = {t.trial_id for t in oracle.trials.values() if t.status == "FAILED"}
    parents = {t.hyperparameters.values.get("tuner/trial_id") for t in oracle.trials.values()}
    assert failed
    assert not failed & parents


def test_hyperband_promotes_the_best_among_the_completed(make):
    oracle = make(**HYPERBAND, **MANY, retries=0)
    for number in range(9):
        trial = oracle.create_trial("w")
        fail(oracle, trial) if number < 7 else complete(oracle, trial, value=number)
    for parent in ("0007", "0008"):
        trial = oracle.create_trial("w")
        assert trial.hyperparameters.values["tuner/trial_id"] == parent
        assert trial.hyperparameters.values["tuner/epochs"] == 3
        complete(oracle, trial, value=1.0 if parent == "0008" else 2.0)
    last = oracle.create_trial("w").hyperparameters.values
    assert (last["tuner/trial_id"], last["tuner/epochs"]) == ("0010", 9)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 20])
def test_hyperband_fits_its_brackets_into_the_limit_of_trials(make, limit):
    oracle = make(**{**HYPERBAND, "max_trials": limit}, **MANY)
    trials = run_all(oracle)
    assert len(trials) <= limit
    assert len(trials) >= 0.6 * limit
    assert all(found[-1] >= 1 for found in rounds(oracle).values())
    assert max(t.hyperparameters.values["tuner/epochs"] for t in trials) == 9


def test_hyperband_finishes_its_brackets_where_the_space_or_the_budget_has_no_more(make):
    # 9 and then 3 of 5 places can be filled: stock stops there, the second bracket unfinished.
    sizes = {"only": ("batch_size",), "choose": {"batch_size": tuple(range(100, 1300, 100))}}
    oracle = make(**HYPERBAND, **sizes, fix={"hidden": (8,)})
    assert oracle.problem.size() == 12
    run_all(oracle)
    assert rounds(oracle) == {2: [9, 3, 1], 1: [3, 1]}
    assert oracle.reason is None


@pytest.mark.parametrize("seed", range(3))
def test_hyperband_with_workers_that_fail_and_die_ends_with_all_last_rounds(make, seed):

    rng = random.Random(seed)
    oracle = make(**HYPERBAND, **MANY, seed=seed)
    running = {}
    for step in range(2000):
        worker = rng.choice("abcd")
        if worker in running and rng.random() < 0.6:
            trial = running.pop(worker)
            outcome = rng.random()
            if outcome < 0.15:
                fail(oracle, trial, rng.choice(["FAILED", "INVALID"]))
            elif outcome < 0.2:
                running = {name: t for name, t in running.items() if name == worker}
                oracle.reap(-1)
            else:
                complete(oracle, trial)
        elif worker not in running:
            trial = oracle.create_trial(worker)
            if trial.status == "STOPPED" and not running:
                break
            if trial.status == "RUNNING":
                running[worker] = trial
        if step % 40 == 39:
            oracle = make(**HYPERBAND, **MANY, seed=seed)  # the chief is started again
            running = dict(oracle.ongoing_trials)
    assert oracle.finished
    sizes = rounds(oracle)
    assert {bracket: found[0] for bracket, found in sizes.items()} == {2: 9, 1: 5, 0: 3}
    assert all(found[-1] >= 1 for found in sizes.values())
