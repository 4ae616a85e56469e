"""Real processes that are killed while they search: nothing completed is lost or repeated."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

STUDY = """
architecture = "lenet5"
input_shape = [16, 16, 1]
only = ["kernel"]
max_trials = {trials}
epochs = {epochs}
failure_limit = 2
retries = 0
[fix]
hidden = [8]
batch_size = 1000
[choose]
widths = [2, 3, 4]
"""
PATIENCE = 150  # seconds; starting TensorFlow takes most of it on a busy machine


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "kerascnn", "tune", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.fixture
def processes():
    """Processes of a test, of which none outlives it."""
    found = []
    yield found
    for process in found:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture
def place(tmp_path):
    """A study file, a directory for the study and a free address."""

    def make(trials=4, epochs=1):
        (tmp_path / "study.toml").write_text(STUDY.format(trials=trials, epochs=epochs))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return tmp_path / "study.toml", tmp_path / "study", f"127.0.0.1:{port}"

    return make


def states(directory):
    """Trial → status, as the chief has written them."""
    found = {}
    for file in sorted(directory.glob("oracle/trial_*/trial.json")):
        state = json.loads(file.read_text())
        found[state["trial_id"]] = state["status"]
    return found


def wait_for(condition, process):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.05)


def ended(process, status):
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, output
    return output


def assert_all_completed_once(directory, count):
    assert list(states(directory).values()) == ["COMPLETED"] * count
    state = json.loads((directory / "oracle" / "oracle.json").read_text())
    assert sorted(state["end_order"]) == sorted(states(directory))
    with open(directory / "leaderboard.csv", newline="") as file:
        assert len({line["trial"] for line in csv.DictReader(file)}) == count
    assert (directory / "best" / "model.keras").is_file()


def test_workers_and_the_chief_are_killed_one_after_the_other(place, processes):
    """SIGKILL for every worker in the middle of its trial, then for the chief in another."""
    study, directory, address = place(trials=4, epochs=12)
    chief_command = ("chief", study, "--bind", address, "--dir", directory, "--stale", 4)
    worker_command = ("worker", "--chief", address, "--dir", directory, "--stale", 4)
    chief = start(*chief_command)
    first = start(*worker_command, "--id", "first")
    processes += [chief, first]
    wait_for(lambda: states(directory).get("0000") == "RUNNING", chief)
    first.send_signal(signal.SIGKILL)  # the only one: all workers are dead now

    second = start(*worker_command, "--id", "second")
    processes.append(second)
    wait_for(lambda: states(directory).get("0000") == "COMPLETED", chief)
    wait_for(lambda: "RUNNING" in states(directory).values(), chief)
    done = (directory / "trials" / "0000" / "metrics.json").stat().st_mtime_ns
    chief.send_signal(signal.SIGKILL)
    chief.wait(10)

    again = start(*chief_command)
    processes.append(again)
    ended(again, 0)
    ended(second, 0)
    assert_all_completed_once(directory, 4)
    assert (directory / "trials" / "0000" / "metrics.json").stat().st_mtime_ns == done


def test_a_worker_that_cannot_write_ends_the_search_with_the_reason(place, processes, tmp_path):
    """In place of a full disk: the trials' directory is a file. And strangers stay outside."""
    study, directory, address = place(trials=6)
    token = tmp_path / "token"
    token.write_text("a-secret-of-this-test")
    wrong = tmp_path / "wrong"
    wrong.write_text("another-secret-of-it")
    chief = start("chief", study, "--bind", address, "--dir", directory, "--token-file", token)
    processes.append(chief)
    wait_for(lambda: (directory / "locks" / "chief.lock").is_file(), chief)
    (directory / "trials").write_text("full")
    worker = ("worker", "--chief", address, "--dir", directory, "--token-file")
    stranger, honest = start(*worker, wrong), start(*worker, token)
    processes += [stranger, honest]
    assert "wrong or missing token" in ended(stranger, 1)
    output = ended(chief, 1)
    assert "2 trials in a row failed" in output
    ended(honest, 0)
    assert set(states(directory).values()) == {"FAILED"}


def test_local_workers_search_under_a_strategy_and_the_commands_report(place, tmp_path):
    """`tune local` with two workers, then `tune report` and `evaluate` on what it left."""
    study, directory, _ = place(trials=3)
    study.write_text('strategy = "mirrored:2"\n' + study.read_text())
    output = ended(start("local", study, "--dir", directory, "--workers", 2), 0)
    assert "best" in output
    assert_all_completed_once(directory, 3)
    shutil.rmtree(directory / "best")
    report = ended(start("report", directory, "--json"), 0)
    assert len(json.loads(report[report.index("{") :])["trials"]) == 3
    kerascnn = [sys.executable, "-m", "kerascnn", "evaluate", str(directory / "best"), "--json"]
    found = subprocess.run(kerascnn, capture_output=True, text=True, check=True).stdout
    with open(directory / "leaderboard.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert json.loads(found)["error"] == pytest.approx(float(first["test_error"]))
