"""The safety net: failures, retries, lost trials, full disks, crashes and damaged files.

Each test names a fault of KerasTuner 1.4.8 that it guards against.
"""

import json

import pytest
from kerascnn_tuning import internals
from kerascnn_tuning.errors import SearchError, StudyError
from kerascnn_tuning.oracles import guarded
from kerascnn_tuning.oracles.guarded import LOSSES
from search_steps import complete, fail, run_all


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
