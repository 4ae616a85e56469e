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

import grpc
import numpy as np
import pytest
from kerascnn_tuning import internals

pytestmark = pytest.mark.slow

STUDY = """
architecture = "lenet5"
input_shape = [16, 16, 1]
only = ["kernels"]
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
# SGD overflows at the highest of these rates within the first epoch.
DIVERGING = """
architecture = "lenet5"
input_shape = [16, 16, 1]
strategy = "mirrored:2"
tuner = "grid"
only = ["learning_rate"]
epochs = 1
[fix]
optimizer = "sgd"
activation = "leaky_relu"
widths = [2, 2]
hidden = [8]
batch_size = 100
[choose]
learning_rate = [0.001, 0.002, 1000.0]
"""
PATIENCE = 300  # seconds; starting TensorFlow takes most of it on a busy machine


def start(*arguments, cwd=None, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "kerascnn", "tune", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", **environment},
        # A test run in the background would hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def kerascnn(*arguments):
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "kerascnn", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


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


def queued(directory):
    """Trials that wait for another worker, as the chief has written it."""
    return json.loads((directory / "oracle" / "oracle.json").read_text())["retry_queue"]


def test_all_workers_are_killed_and_then_the_chief(place, processes):
    """SIGKILL for every worker in the middle of its trial, then for the chief in another."""
    study, directory, address = place(trials=5, epochs=12)
    chief_command = ("chief", study, "--bind", address, "--dir", directory, "--stale", 4)
    worker_command = ("worker", "--chief", address, "--dir", directory, "--stale", 4)
    chief = start(*chief_command)
    victims = [start(*worker_command, "--id", name) for name in ("first", "second")]
    processes += [chief, *victims]
    wait_for(lambda: list(states(directory).values()).count("RUNNING") == 2, chief)
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
    # Nobody is left who could call: the chief notices by its own timer.
    wait_for(lambda: sorted(queued(directory)) == sorted(states(directory)), chief)

    third = start(*worker_command, "--id", "third")
    processes.append(third)
    wait_for(lambda: "COMPLETED" in states(directory).values(), chief)
    wait_for(lambda: "RUNNING" in states(directory).values(), chief)
    first_done = next(k for k, v in states(directory).items() if v == "COMPLETED")
    done = (directory / "trials" / first_done / "metrics.json").stat().st_mtime_ns
    chief.send_signal(signal.SIGKILL)
    chief.wait(10)

    again = start(*chief_command)
    processes.append(again)
    ended(again, 0)
    ended(third, 0)
    assert_all_completed_once(directory, 5)
    assert (directory / "trials" / first_done / "metrics.json").stat().st_mtime_ns == done


def test_strangers_and_a_second_chief_stay_outside_and_a_bad_worker_ends_it(
    place, processes, tmp_path
):
    """Real processes: wrong tokens, a port that is taken, a worker that fails every trial."""
    study, directory, address = place(trials=6)
    token = tmp_path / "token"
    token.write_text("a-secret-of-this-test")
    wrong = tmp_path / "wrong"
    wrong.write_text("another-secret-of-it")
    chief = start("chief", study, "--bind", address, "--dir", directory, "--token-file", token)
    processes.append(chief)
    wait_for(lambda: (directory / "locks" / "chief.lock").is_file(), chief)
    (directory / "trials").write_text("no worker can make a directory here")
    worker = ("worker", "--chief", address, "--dir", directory, "--token-file")
    stranger = start(*worker, wrong)
    rival = start("chief", study, "--bind", address, "--dir", tmp_path / "other")
    processes += [stranger, rival]

    # What anybody can send who knows KerasTuner's protocol.
    with grpc.insecure_channel(address) as channel:
        stub = internals.services().OracleStub(channel)
        request = internals.messages().CreateTrialRequest(tuner_id="stranger")
        for metadata in ((), (("token", "another-secret-of-it"),)):
            with pytest.raises(grpc.RpcError) as refused:
                stub.CreateTrial(request, timeout=60, metadata=metadata, wait_for_ready=True)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "wrong or missing token" in ended(stranger, 1)
    assert "the port is taken" in ended(rival, 1)
    assert not states(directory)

    honest = start(*worker, token)
    processes.append(honest)
    output = ended(chief, 1)
    assert "2 trials in a row failed" in output
    assert "Traceback" not in output
    ended(honest, 0)
    assert set(states(directory).values()) == {"FAILED"}


def test_local_workers_search_under_a_strategy_and_the_commands_report(place, processes):
    """`tune local` with two workers, one trial being hopeless; then `report` and `evaluate`."""
    study, directory, address = place(trials=3)
    study.write_text(DIVERGING)
    output = ended(start("local", study, "--dir", directory, "--workers", 2), 0)
    assert "best" in output
    assert sorted(states(directory).values()) == ["COMPLETED", "COMPLETED", "FAILED"]
    with open(directory / "leaderboard.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert "not a number" in lines[-1]["reason"]
    assert lines[-1]["learning_rate"] == "1000.0"

    study.write_text(DIVERGING.replace("0.002", "0.004"))
    changed = start("chief", study, "--bind", address, "--dir", directory)
    processes.append(changed)
    refusal = ended(changed, 1)
    assert "learning_rate: (0.001, 0.002, 1000.0) then, (0.001, 0.004, 1000.0) now" in refusal

    shutil.rmtree(directory / "best")
    report = ended(start("report", directory, "--json"), 0)
    assert len(json.loads(report[report.index("{") :])["trials"]) == 2
    found = kerascnn("evaluate", directory / "best")
    assert found["error"] == pytest.approx(float(lines[0]["test_error"]))
    # A worker's trial, repeated alone.
    trial = directory / lines[1]["trial"]
    again = kerascnn("train", "--from-trial", trial, "--run", directory.parent / "again")
    assert again["val_error"] == pytest.approx(float(lines[1]["val_error"]))
    assert again["val_loss"] == pytest.approx(float(lines[1]["val_loss"]), rel=1e-5)


def test_ctrl_c_leaves_a_study_that_goes_on_in_fresh_processes(place, processes):
    """SIGINT in the second trial of a process that is renewed after each; then --resume."""
    study, directory, _ = place(trials=3, epochs=30)
    first = start("--study", study, "--dir", directory, "--recycle", 1)
    processes.append(first)
    wait_for(lambda: list(states(directory).values()) == ["COMPLETED", "RUNNING"], first)
    wait_for(lambda: (directory / "trials" / "0001" / "history.csv").is_file(), first)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode not in (0, -signal.SIGINT), output
    assert f"Interrupted. Go on with `kerascnn tune search --resume {directory}`" in output
    assert "Traceback" not in output
    done = (directory / "trials" / "0000" / "metrics.json").stat().st_mtime_ns
    output = ended(start("--resume", directory, "--recycle", 2), 0)
    assert output.count("trial 000") == 2
    assert_all_completed_once(directory, 3)
    assert (directory / "trials" / "0000" / "metrics.json").stat().st_mtime_ns == done


def test_workers_that_cannot_start_end_their_chief_with_the_reason(
    place, processes, tmp_path, data
):
    """Other data on a worker started by hand; then all workers of `tune local`."""
    from kerascnn_tuning.plan import Plan
    from kerascnn_tuning.study.study import Study

    study, directory, address = place(trials=4)
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16), "uint8")
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        np.savez(tmp_path / machine / "few.npz", x_train=images, y_train=np.arange(60) % 3)
        images[7, 3, 3] ^= 1
    study.write_text('data = "npz:few.npz"\n' + study.read_text().replace("1000", "10"))
    chief = start("chief", study, "--bind", address, "--dir", directory, cwd=tmp_path / "one")
    processes.append(chief)
    worker = start("worker", "--chief", address, "--dir", directory, cwd=tmp_path / "two")
    processes.append(worker)
    assert "data.fingerprint" in (refusal := ended(worker, 3))
    assert "Traceback" not in refusal
    output = ended(chief, 1)
    assert "no worker can start" in output
    assert "data.fingerprint" in output
    assert "Traceback" not in output
    assert not states(directory)

    study.write_text(STUDY.format(trials=4, epochs=1))
    other = tmp_path / "local"
    Study.begin(Plan.read(study), other, data)
    for name in ("local-0", "local-1"):
        (other / "locks" / f"worker {name}.lock").mkdir(parents=True)
    output = ended(start("local", study, "--dir", other, "--workers", 2), 1)
    assert "can't start" in output
    assert "is started again" not in output
    assert "Traceback" not in output


FULL_DISK = """
mount -t tmpfs -o size=4m tmpfs "$1" || exit 99
head -c 3400k /dev/zero > "$1/ballast"
"$2" -m kerascnn tune --study "$3" --dir "$1/study" ; full=$?
echo "== full: $full"
rm "$1/ballast"
"$2" -m kerascnn tune --resume "$1/study" ; freed=$?
echo "== freed: $freed"
mkdir "$4" && cp -r "$1/study" "$4"
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="needs a file system of its own, which this machine doesn't allow",
)
def test_a_full_disk_ends_the_search_in_words_and_loses_nothing(place, tmp_path):
    """A real file system of 4 MB: full in the middle of a search; freed, the search goes on."""
    study, _, _ = place(trials=12)
    study.write_text("keep = 12\n" + study.read_text())
    (disk := tmp_path / "disk").mkdir()
    script = tmp_path / "script.sh"
    script.write_text(FULL_DISK)
    saved = tmp_path / "saved"
    command = ["unshare", "-rm", "sh", script, disk, sys.executable, study, saved]
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    first, _, second = done.stdout.partition("== full: ")
    assert second.startswith("1\n"), done.stdout
    assert "No space left on device" in first
    assert "Traceback" not in done.stdout
    assert first.count("best") >= 1  # some had been completed
    assert "== freed: 0" in second
    found = states(saved / "study")
    assert len(found) == 12
    completed = [k for k, v in found.items() if v == "COMPLETED"]
    assert len(completed) >= 10 - 2  # `failure_limit` trials may have failed
    for trial in completed:
        assert (saved / "study" / "trials" / trial / "metrics.json").is_file()
