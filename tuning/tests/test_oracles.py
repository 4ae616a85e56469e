"""Oracles without training: what they propose, refuse, repeat, lose and remember.

Each test names a fault of KerasTuner 1.4.8 that it guards against.
"""

import json
import math

import keras_tuner
import pytest
from kerascnn_tuning import internals
from kerascnn_tuning.errors import SearchError, StudyError
from kerascnn_tuning.oracles import guarded
from kerascnn_tuning.oracles.guarded import LOSSES
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import TUNERS
from kerascnn_tuning.problem import Problem

from kerascnn.errors import ArgumentError


@pytest.fixture
def make(tmp_path, tiny):
    """`make(**plan)` → an oracle in the test's directory, resuming if there is a state."""

    def oracle(**changes):
        return make_oracle(Problem.of(tiny(**changes), classes=10), tmp_path / "oracle")

    return oracle


def score(problem, values):
    """Stands in for a validation error: smooth, and known."""
    cost = problem.network(problem.configuration(values).arguments).cost()
    return abs(math.log(cost.params / 400))


def complete(oracle, trial, value=None):
    values = trial.hyperparameters.values
    error = score(oracle.problem, values) if value is None else value
    cost = oracle.problem.network(oracle.problem.configuration(values).arguments).cost()
    oracle.update_trial(trial.trial_id, {"val_error": error, "params": cost.params})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def fail(oracle, trial, status="FAILED"):
    trial.status, trial.message = status, "it broke"
    oracle.end_trial(trial)


def run_all(oracle, worker="w", most=200):
    for _ in range(most):
        trial = oracle.create_trial(worker)
        if trial.status == "STOPPED":
            return list(oracle.trials.values())
        assert trial.status == "RUNNING"
        complete(oracle, trial)
    raise AssertionError("the search never stops")


def points(trials):
    return [json.dumps(t.hyperparameters.values, sort_keys=True) for t in trials]


@pytest.mark.parametrize("tuner", [t for t in TUNERS if t != "hyperband"])
def test_no_trial_is_over_budget_infeasible_or_repeated(make, tuner):
    # Of kernels 5 and 7 two don't fit into 16×16; stock bayesian proposed 4 of 6 points 30 times.
    oracle = make(tuner=tuner, choose={"widths": (2, 4, 8), "kernels": (3, 7)},
                  max_params=600, max_trials=30)  # fmt: skip
    trials = run_all(oracle)
    problem = oracle.problem
    feasible = [values for values in _everything(problem) if problem.refusal(values) is None]
    assert all(problem.refusal(t.hyperparameters.values) is None for t in trials)
    assert len(set(points(trials))) == len(trials)
    assert len(trials) == len(feasible) < 3**2 * 2**2
    assert oracle.finished
    assert oracle.reason is None


def _everything(problem):
    import itertools

    space = problem.hyperparameters().space
    for values in itertools.product(*(hp.values for hp in space)):
        yield dict(zip((hp.name for hp in space), values))


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


def test_a_tight_budget_is_met_where_uniform_draws_find_nothing(tmp_path):
    from kerascnn_tuning.plan import Plan

    plan = Plan(architecture="googlenet", max_params=500_000, max_trials=3)
    problem = Problem.of(plan, classes=10)
    assert problem.share_allowed(50) == 0
    trials = run_all(make_oracle(problem, tmp_path / "oracle"))
    assert len(trials) == 3


def test_an_impossible_budget_stops_with_the_reason(make):
    oracle = make(max_params=10)
    assert oracle.create_trial("w").status == "STOPPED"
    assert oracle.finished
    assert "over the budget of 10" in oracle.reason


def test_bayesian_search_beats_random_on_a_smooth_score(tmp_path, tiny):
    best = {}
    for tuner in ("random", "bayesian"):
        found = []
        for seed in range(4):
            plan = tiny(tuner=tuner, seed=seed, max_trials=15, fix={"hidden": (8,)},
                        choose={"widths": tuple(range(1, 40)), "kernels": (3, 5)})  # fmt: skip
            oracle = make_oracle(Problem.of(plan, 10), tmp_path / f"{tuner}{seed}" / "oracle")
            found.append(min(t.score for t in run_all(oracle)))
        best[tuner] = sum(found)
    assert best["bayesian"] < best["random"]


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


def test_the_same_seed_proposes_the_same_and_zero_is_a_seed(make, tmp_path, tiny):
    def proposals(name, seed):
        oracle = make_oracle(Problem.of(tiny(seed=seed), 10), tmp_path / name / "oracle")
        return points(run_all(oracle))

    assert proposals("a", 0) == proposals("b", 0) != proposals("c", 1)


def test_failures_in_a_row_stop_the_search_in_order(make):
    # Stock: raises under a lock that is never released; every worker hangs.
    oracle = make(failure_limit=3, max_trials=10)
    for _ in range(3):
        fail(oracle, oracle.create_trial("w"))
    assert oracle.create_trial("w").status == "STOPPED"
    assert oracle.create_trial("v").status == "STOPPED"
    assert oracle.finished
    assert oracle.reason.endswith("it broke")


def test_failures_between_successes_do_not_stop_it(make):
    oracle = make(failure_limit=2, max_trials=6)
    for number in range(6):
        trial = oracle.create_trial("w")
        fail(oracle, trial) if number % 2 else complete(oracle, trial)
    assert oracle.reason is None


def test_a_retry_starts_with_clean_metrics(make):
    # Stock: a retry after a NaN can never succeed, as the first run's metrics are kept.
    oracle = make(retries=1)
    trial = oracle.create_trial("w")
    complete(oracle, trial, value=float("nan"))
    assert not oracle.finished
    again = oracle.create_trial("w")
    assert again.trial_id == trial.trial_id
    complete(oracle, again, value=0.25)
    assert oracle.trials[trial.trial_id].status == "COMPLETED"
    assert oracle.trials[trial.trial_id].score == 0.25


def test_a_lost_trial_is_given_to_another_worker_and_the_late_report_is_dropped(make):
    # Stock: it stays RUNNING for ever and the chief never exits (KT#915).
    oracle = make()
    lost = oracle.create_trial("dead")
    assert oracle.reap(3600) == []
    assert oracle.reap(-1) == [lost.trial_id]
    taken = oracle.create_trial("alive")
    assert taken.trial_id == lost.trial_id
    complete(oracle, taken, value=0.5)
    late = internals.Trial(taken.hyperparameters, lost.trial_id, "FAILED")
    oracle.end_trial(late)
    assert oracle.trials[lost.trial_id].status == "COMPLETED"
    assert oracle.end_order.count(lost.trial_id) == 1


def test_a_trial_that_kills_every_worker_fails_in_the_end(make):
    oracle = make(max_trials=1)
    for number in range(LOSSES):
        oracle.create_trial(f"w{number}")
        oracle.reap(-1)
    (trial,) = oracle.trials.values()
    assert trial.status == "FAILED"
    assert "workers died" in trial.message
    assert oracle.finished


def test_a_full_disk_under_the_oracle_stops_the_search_with_its_name(make, monkeypatch):
    # Stock: half a file in place of the state, and a lock that is held for ever.
    oracle = make()
    complete(oracle, oracle.create_trial("w"))

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(guarded, "write_json", full)
        with pytest.raises(SearchError, match="No space left on device"):
            oracle.create_trial("w")
    assert oracle.finished
    assert "No space left" in oracle.reason
    assert run_all(make())[0].status == "COMPLETED"  # with room again, it goes on


def test_an_exception_inside_leaves_no_lock_behind(make, monkeypatch):
    oracle = make()

    def broken(trial_id):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(oracle, "populate_space", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            oracle.create_trial("w")
    assert oracle.create_trial("w").status == "RUNNING"


def test_a_crash_between_the_two_writes_loses_and_repeats_nothing(make, monkeypatch):
    """KerasTuner writes the trial, then the oracle; die in between, at the start and at the end."""
    oracle = make()
    started = oracle.create_trial("w")
    with monkeypatch.context() as patched:
        patched.setattr(oracle, "save", lambda: None)
        complete(oracle, started)
        unsaved = oracle.create_trial("v")
    again = make()
    assert again.end_order == [started.trial_id]
    assert again.ongoing_trials == {}
    assert again.create_trial("w").trial_id == unsaved.trial_id


def test_no_time_left_means_no_new_trial(make):
    oracle = make(max_minutes=1e-9)
    assert oracle.create_trial("w").status == "STOPPED"
    assert oracle.reason is None


def test_nothing_to_search_is_an_error(make):
    with pytest.raises(ArgumentError, match="nothing to search"):
        make(only=("kernels",), choose={}, fix={"kernels": 5})


def test_another_keras_tuner_is_refused(monkeypatch):
    monkeypatch.setattr(keras_tuner, "__version__", "1.5.0")
    with pytest.raises(internals.IncompatibleKerasTunerError, match=r"needs keras-tuner==1\.4\.8"):
        internals.check()


def rounds(oracle):
    """Bracket → how many trials each of its rounds has."""
    found = {}
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        bracket = values["tuner/bracket"]
        found.setdefault(bracket, [0] * (bracket + 1))[values["tuner/round"]] += 1
    return found


HYPERBAND = {"tuner": "hyperband", "epochs": 9, "max_trials": None, "failure_limit": 100}
MANY = {"choose": {"widths": tuple(range(2, 30))}}


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
    import random

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


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("oracle.json", '{"half'),
        ("oracle.json", "[]"),
        ("oracle.json", "{}"),
        ("oracle.json", "[" * 100_000),
        ("oracle.json", '{"start_order": ["0007"]}'),
        ("trial_0000/trial.json", ""),
        ("trial_0000/trial.json", "null"),
        ("trial_0000/trial.json", '{"hyperparameters": 3}'),
        ("trial_0000/trial.json", "\udc00"),
        ("trial_0000/trial.json", None),
    ],
)
def test_damaged_files_of_the_oracle_are_one_message_with_their_name(make, tmp_path, file, content):
    oracle = make()
    for _ in range(2):
        complete(oracle, oracle.create_trial("w"))
    path = tmp_path / "oracle" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(StudyError) as error:
        make()
    assert str(path) in str(error.value)
    assert "Restore it" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score", None),
        ("score", "low"),
        ("status", "PERFECT"),
        ("trial_id", "../../0000"),
        ("metrics", []),
        ("hyperparameters", {"space": [], "values": {"kernel": "five"}}),
        ("hyperparameters", {"space": [], "values": {"kernels": 5}}),
    ],
)
def test_a_trial_with_wrong_values_is_named(make, tmp_path, key, value):
    oracle = make()
    complete(oracle, oracle.create_trial("w"))
    path = tmp_path / "oracle" / "trial_0000" / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(StudyError, match=r"trial_0000/trial\.json"):
        make()
