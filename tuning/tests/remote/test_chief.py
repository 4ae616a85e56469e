"""Chief and workers over real gRPC, in threads: who is let in, who is missed, what is repeated."""

import dataclasses
import threading
import time

import grpc
import pytest
from kerascnn_tuning import internals
from kerascnn_tuning.errors import CannotStartError, ChiefError
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.remote import addresses, machines
from kerascnn_tuning.remote import chief as chief_
from kerascnn_tuning.remote.chief import Chief
from kerascnn_tuning.remote.client import Client
from kerascnn_tuning.study.study import Study
from kerascnn_tuning.working import work
from rich.console import Console

from kerascnn.errors import ArgumentError

STUDY = "study-1"
TOKEN = "0123456789abcdef"


@pytest.fixture
def serve(tmp_path, tiny):
    """`serve(plan=..., token=...)` → (chief, thread, oracle) on a free port of this machine."""
    started = []

    def make(address="127.0.0.1:0", token="", plan=None, study_id=STUDY, **timing):
        problem = Problem.of(tiny(**(plan or {})), 10)
        oracle = make_oracle(problem, tmp_path / "oracle")
        settings = {"stale_seconds": 30.0, "wait_seconds": 60.0, **timing}
        chief = Chief(oracle, address, study_id=study_id, token=token, **settings)
        found = []
        thread = threading.Thread(target=lambda: found.append(chief.serve(0.02)), daemon=True)
        thread.start()
        started.append((chief, thread, oracle))
        return chief, thread, oracle, found

    yield make
    for chief, thread, oracle in started:
        if thread.is_alive():
            oracle.stop("end of test")
            for trial in list(oracle.ongoing_trials.values()):
                trial.status = "FAILED"
                oracle.end_trial(trial)
            oracle.tuner_ids.clear()
            thread.join(20)
        assert not thread.is_alive(), chief.address


@pytest.fixture
def call():
    clients = []

    def make(chief, worker="w", study=STUDY, token="", **options):
        settings = {"patience": 10.0, "stale_seconds": 30.0, **options}
        clients.append(
            Client(chief.address, worker=worker, study_id=study, token=token, **settings)
        )
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def quick(trial_id, values):
    return {"val_error": 0.5, "params": 1.0}


def test_workers_share_the_trials_and_the_chief_ends(serve, call):
    chief, thread, oracle, found = serve(plan={"max_trials": 8})
    workers = [
        threading.Thread(target=work, args=(call(chief, name), quick), kwargs={"worker": name})
        for name in ("a", "b")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    thread.join(10)
    assert found == [None]
    assert [t.status for t in oracle.trials.values()] == ["COMPLETED"] * 8
    assert sorted(oracle.end_order) == sorted(oracle.trials)


def test_the_reason_of_a_failure_reaches_the_chief_and_ends_it(serve, call):
    def broken(trial_id, values):
        raise OSError("No space left on device")

    chief, thread, oracle, found = serve(plan={"failure_limit": 2, "retries": 0})
    assert work(call(chief), broken, worker="w")
    thread.join(10)
    assert "No space left on device" in found[0]
    assert "OSError" in oracle.trials["0000"].message


def test_the_token_keeps_strangers_out(serve, call):
    chief, _, oracle, _ = serve(token=TOKEN)
    # A bare client of KerasTuner's protocol, as anybody has it.
    with grpc.insecure_channel(chief.address) as channel:
        stub = internals.services().OracleStub(channel)
        request = internals.messages().CreateTrialRequest(tuner_id="stranger")
        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateTrial(request, timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(ChiefError, match="wrong or missing token"):
        call(chief, token="f" * 16).create_trial("w")
    assert not oracle.trials
    assert call(chief, token=TOKEN).create_trial("w").status == "RUNNING"


def test_other_machines_need_a_token(serve):
    with pytest.raises(ArgumentError, match="--token-file"):
        serve(address="0.0.0.0:0")
    assert addresses.is_loopback("127.0.0.1")
    assert addresses.is_loopback("localhost")
    assert not addresses.is_loopback("chief.example")


def test_a_worker_of_another_directory_is_refused(serve, call):
    chief, *_ = serve()
    with pytest.raises(ChiefError, match="not the directory of the chief"):
        call(chief, study="another").create_trial("w")


def test_two_chiefs_cannot_share_a_port(serve, tmp_path, tiny):
    chief, *_ = serve()
    oracle = make_oracle(Problem.of(tiny(), 10), tmp_path / "second" / "oracle")
    with pytest.raises(ChiefError, match="port is taken"):
        Chief(oracle, chief.address, study_id=STUDY)


def test_all_workers_die_and_the_chief_notices_by_itself(serve, call):
    chief, thread, oracle, found = serve(
        plan={"max_trials": 2}, stale_seconds=0.3, wait_seconds=20.0
    )
    for name in ("a", "b"):
        assert call(chief, name).create_trial(name).status == "RUNNING"
    end = time.monotonic() + 10
    while oracle.ongoing_trials and time.monotonic() < end:
        time.sleep(0.05)  # nobody calls
    assert sorted(oracle.waiting) == ["0000", "0001"]
    assert work(call(chief, "c"), quick, worker="c")
    thread.join(10)
    assert found == [None]
    assert [t.status for t in oracle.trials.values()] == ["COMPLETED"] * 2


def test_a_chief_that_nobody_calls_gives_up_with_a_reason(serve):
    _, thread, _, found = serve(wait_seconds=0.3)
    thread.join(10)
    assert "no worker has called" in found[0]


def test_heartbeats_keep_a_long_trial(serve, call):
    chief, thread, oracle, _ = serve(plan={"max_trials": 1}, stale_seconds=1.5)

    def slow(trial_id, values):
        time.sleep(3.5)
        return quick(trial_id, values)

    client = call(chief, stale_seconds=1.5)
    work(client, slow, worker="w", alive=client.alive)
    thread.join(10)
    assert oracle.get_state()["lost"] == {}
    assert oracle.trials["0000"].status == "COMPLETED"


def test_the_late_report_of_a_worker_that_was_given_up_is_dropped(serve, call):
    chief, _, oracle, _ = serve(plan={"max_trials": 2})
    slow, fast = call(chief, "slow"), call(chief, "fast")
    trial = slow.create_trial("slow")
    oracle.reap(-1)
    again = fast.create_trial("fast")
    assert again.trial_id == trial.trial_id
    # The other one is still at it when the late report comes.
    slow.update_trial(trial.trial_id, {"val_error": 0.9, "params": 1.0})
    trial.status = "COMPLETED"
    slow.end_trial(trial)
    assert oracle.trials[trial.trial_id].status == "RUNNING"
    fast.update_trial(again.trial_id, {"val_error": 0.1, "params": 1.0})
    again.status = "COMPLETED"
    fast.end_trial(again)
    assert oracle.trials[trial.trial_id].score == pytest.approx(0.1)


def test_a_report_that_arrives_twice_counts_once(serve, call):
    chief, _, oracle, _ = serve()
    client = call(chief)
    trial = client.create_trial("w")
    assert client.create_trial("w").trial_id == trial.trial_id
    client.update_trial(trial.trial_id, {"val_error": 0.5, "params": 1.0})
    trial.status = "COMPLETED"
    client.end_trial(trial)
    client.end_trial(trial)
    assert oracle.end_order == [trial.trial_id]


def test_hyperparameters_survive_the_wire_and_idle_is_not_asked_again_at_once(
    serve, call, monkeypatch
):
    # Stock: 3,954 calls for 23 trials.
    chief, _, oracle, _ = serve(plan={"only": ("learning_rate",)})
    trial = call(chief, "first").create_trial("first")
    sent = oracle.trials[trial.trial_id].hyperparameters.values
    assert oracle.problem.configuration(sent) == oracle.problem.configuration(
        trial.hyperparameters.values
    )
    monkeypatch.setattr(oracle, "propose", lambda trial_id: {"status": "IDLE", "values": None})
    calls = []
    client = call(chief, "second")

    def counted(worker):
        calls.append(worker)
        if len(calls) == 3:
            oracle.stop("enough")
        return Client.create_trial(client, worker)

    client.create_trial = counted
    started = time.monotonic()
    work(client, quick, worker="second")
    assert time.monotonic() - started > 0.9
    assert len(calls) == 3


def test_a_chief_that_is_restarted_goes_on_and_the_worker_does_not_notice(tmp_path, tiny, call):
    problem = Problem.of(tiny(max_trials=3), 10)
    first = make_oracle(problem, tmp_path / "oracle")
    chief = Chief(first, "127.0.0.1:0", study_id=STUDY)
    chief.server.start()
    client = call(chief)
    trial = client.create_trial("w")
    chief.server.stop(0).wait()  # as dead as a process that was killed; the state is on the disk

    second = make_oracle(problem, tmp_path / "oracle")
    assert {w: t.trial_id for w, t in second.ongoing_trials.items()} == {"w": trial.trial_id}
    again = Chief(second, chief.address, study_id=STUDY)
    thread = threading.Thread(target=again.serve, args=(0.02,), daemon=True)
    thread.start()
    client.update_trial(trial.trial_id, {"val_error": 0.5, "params": 1.0})
    trial.status = "COMPLETED"
    client.end_trial(trial)
    assert work(client, quick, worker="w")
    thread.join(10)
    assert [t.status for t in second.trials.values()] == ["COMPLETED"] * 3
    assert sorted(second.end_order) == ["0000", "0001", "0002"]


def test_a_worker_without_a_chief_gives_up(call, serve):
    chief, thread, oracle, _ = serve()
    oracle.stop("over")
    thread.join(15)
    with pytest.raises(ChiefError, match="has not answered"):
        call(chief, patience=0.5).create_trial("w")


def test_a_worker_that_cannot_start_ends_its_chief_with_the_reason(serve, call, monkeypatch):
    monkeypatch.setattr(chief_, "GRACE_SECONDS", 0.5)
    chief, thread, oracle, found = serve(wait_seconds=600.0)
    call(chief).cannot_start("other data")
    thread.join(15)
    assert "no worker can start" in found[0]
    assert "other data" in found[0]
    assert not oracle.trials


def test_one_worker_that_cannot_start_does_not_end_a_search_of_others(serve, call, monkeypatch):
    monkeypatch.setattr(chief_, "GRACE_SECONDS", 1.5)
    chief, thread, oracle, found = serve(plan={"max_trials": 2})

    def slow(trial_id, values):
        time.sleep(1.7)
        return quick(trial_id, values)

    bad = call(chief, "bad")
    bad.cannot_start("no GPU")
    bad.cannot_start("no GPU")
    assert work(call(chief, "good"), slow, worker="good")
    thread.join(10)
    assert found == [None]
    assert len(oracle.end_order) == 2


def test_a_worker_with_other_data_is_refused_before_its_first_trial(
    serve, tmp_path, tiny, data, monkeypatch
):
    """`run_worker` itself, with a study and a data set that differ in one image."""
    monkeypatch.setattr(chief_, "GRACE_SECONDS", 0.5)
    study = Study.begin(tiny(), tmp_path / "study", data)
    chief, thread, oracle, found = serve(study_id=study.id)
    other = dataclasses.replace(data, fingerprint="5183f4" + "0" * 58)
    monkeypatch.setattr(machines, "load_data", lambda plan, console: other)
    with pytest.raises(
        CannotStartError, match=r"data\.fingerprint: .* in the study, 5183f4\w* here"
    ):
        machines.run_worker(study.path, chief.address, console=Console(quiet=True))
    thread.join(15)
    assert "data.fingerprint" in found[0]
    assert not oracle.trials
