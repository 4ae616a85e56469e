"""`kerascnn launch` with real processes: killed, stopped, terminated, never started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerascnn.commands.launch import restart_command
from kerascnn.distribution.cluster import Cluster
from kerascnn.distribution.launching import Outcome, free_ports, share_gpus
from kerascnn.errors import ArgumentError, StrategyError, WorkerError

KERASCNN = [sys.executable, "-m", "kerascnn"]
EPOCHS = 30
TRAIN = [
    *("train", "lenet5", "--set", "widths=2,4", "--set", "hidden=16", "--set", "dropout=0.2"),
    *("--epochs", str(EPOCHS), "--batch-size", "250"),
]


def kerascnn(*arguments):
    return subprocess.run([*KERASCNN, *arguments], capture_output=True, text=True, check=False)


def start(*arguments, **environment):
    return subprocess.Popen(
        [*KERASCNN, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers(launcher):
    """The process numbers of a job's workers, the chief's first."""
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True
    )
    return sorted(int(line) for line in done.stdout.split())


def wait_for(condition, launcher, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert launcher.poll() is None, launcher.stdout.read()[-3000:]
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.002)


def wait_until_gone(processes, seconds=30):
    """Orphans are left as zombies by some containers' first process."""
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(FileNotFoundError):
            while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                assert time.monotonic() < deadline, process
                time.sleep(0.1)


def last_epoch(run):
    names = [p.stem.split("-")[1] for p in (run / "checkpoints").glob("epoch-*.npz")]
    return max(map(int, names), default=-1)


def final_state(run):
    assert json.loads((run / "metrics.json").read_text())["epochs"] == EPOCHS
    with np.load(run / "checkpoints" / f"epoch-{EPOCHS:05d}.npz") as file:
        return {key: file[key] for key in file.files if key != "position"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The final state of a job that nothing has happened to."""
    run = tmp_path_factory.mktemp("launch") / "whole"
    done = kerascnn("launch", "-n", "2", *TRAIN, "--run", str(run))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Test error") == 1, "the chief alone reports"
    return final_state(run)


def assert_equal_states(one, two):
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)


@pytest.mark.slow
def test_a_job_whose_workers_are_killed_ends_as_if_they_had_not(whole, tmp_path):
    """First worker 1, then the chief while it writes a checkpoint, then both: bit for bit."""
    run = tmp_path / "run"
    launcher = start("launch", "-n", 2, "--restarts", 3, *TRAIN, "--run", run)
    wait_for(lambda: last_epoch(run) >= 3, launcher)
    first = workers(launcher)
    os.kill(first[1], signal.SIGKILL)
    wait_for(lambda: last_epoch(run) >= 8, launcher)
    second = workers(launcher)
    assert not set(first) & set(second)
    wait_for(lambda: any((run / "checkpoints").glob(".partial-*")), launcher)
    os.kill(second[0], signal.SIGKILL)
    wait_for(lambda: last_epoch(run) >= 14, launcher)
    for process in workers(launcher):
        os.kill(process, signal.SIGKILL)
    printed, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, printed[-3000:]
    assert "Worker 1 was killed by SIGKILL" in printed
    assert f"Restart 3 of 3: kerascnn train --resume {run}" in printed
    assert not list(run.rglob(".partial-*")), "half of a checkpoint is of no use"
    assert_equal_states(final_state(run), whole)


@pytest.mark.slow
def test_two_workers_keep_the_best_epoch_and_end_early_as_if_none_had_been_killed(tmp_path):
    """The rate rises until it gets worse; worker 1 is killed before that, the chief after it."""
    command = [
        *(*TRAIN[:-4], "--epochs", "60", "--batch-size", "250", "--learning-rate", "0.02"),
        *("--with", "schedule=step", "--with", "steps=[[6, 60.0]]"),
        *("--keep", "best:val_loss", "--patience", "5", "--class-weight", "balanced"),
    ]
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = kerascnn("launch", "-n", "2", *command, "--run", str(whole))
    assert done.returncode == 0, done.stderr[-3000:]
    expected = json.loads((whole / "metrics.json").read_text())
    assert expected["epochs"] == expected["epoch"] + 5 < 60
    launcher = start("launch", "-n", 2, "--restarts", 3, *command, "--run", run)
    for worker, epoch in ((1, 3), (0, expected["epoch"] + 2)):
        wait_for(lambda least=epoch: last_epoch(run) >= least, launcher)
        os.kill(workers(launcher)[worker], signal.SIGKILL)
    printed, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, printed[-3000:]
    found = json.loads((run / "metrics.json").read_text())
    times = ("train_seconds",)
    assert {k: v for k, v in found.items() if k not in times} == {
        k: v for k, v in expected.items() if k not in times
    }
    assert f"Stopped after epoch {expected['epochs']} of 60" in printed
    import keras

    for one, two in zip(
        keras.models.load_model(run / "model.keras").weights,
        keras.models.load_model(whole / "model.keras").weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


@pytest.mark.slow
def test_terminated_then_stopped_then_finished(whole, tmp_path):
    """SIGTERM ends a job cleanly within an epoch; a worker that hangs ends it with a message."""
    run = tmp_path / "run"
    launcher = start("launch", "-n", 2, *TRAIN, "--run", run)
    wait_for(lambda: last_epoch(run) >= 3, launcher)
    launcher.terminate()
    printed, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 143, printed[-3000:]
    assert f"Go on with `kerascnn train --resume {run}` on every worker." in printed
    assert json.loads((run / "metrics.json").read_text())["interrupted"]
    assert last_epoch(run) < EPOCHS

    done = last_epoch(run)
    launcher = start("launch", "-n", 2, "train", "--resume", run)
    wait_for(lambda: last_epoch(run) >= done + 3, launcher)
    processes = workers(launcher)
    os.kill(processes[1], signal.SIGSTOP)
    printed, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == WorkerError.exit_status, printed[-3000:]
    assert "Worker 0 of 2 stops: another worker has ended or doesn't answer" in printed
    assert all(not os.path.exists(f"/proc/{process}") for process in processes)

    finished = kerascnn("launch", "-n", "2", "train", "--resume", str(run))
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert_equal_states(final_state(run), whole)


@pytest.mark.slow
def test_the_workers_of_a_killed_launcher_save_and_end(whole, tmp_path):
    """Nobody is left to watch them, and the run can be gone on with at once."""
    run = tmp_path / "run"
    launcher = start("launch", "-n", 2, *TRAIN, "--run", run)
    wait_for(lambda: last_epoch(run) >= 3, launcher)
    processes = workers(launcher)
    launcher.kill()
    printed, _ = launcher.communicate(timeout=60)  # to the end of all who write there
    assert "Worker 0 ends: the `kerascnn launch` that started it is gone." in printed
    assert "Terminated after" in printed
    wait_until_gone(processes)
    assert last_epoch(run) < EPOCHS

    finished = kerascnn("launch", "-n", "2", "train", "--resume", str(run))
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert_equal_states(final_state(run), whole)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_job_that_is_ended_while_it_starts_is_not_started_again(tmp_path, number, status):
    """Its workers die of the signal then, which looks like a loss."""
    launcher = start("launch", "-n", 2, "--restarts", 3, *TRAIN, "--run", tmp_path / "run")
    wait_for(lambda: len(workers(launcher)) == 2, launcher)
    time.sleep(0.5)
    processes = workers(launcher)
    launcher.send_signal(number)
    printed, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == status, printed
    assert "Restart" not in printed
    assert "Error" not in printed
    assert all(not os.path.exists(f"/proc/{process}") for process in processes)


@pytest.mark.slow
def test_a_peer_that_never_starts_ends_the_job(tmp_path):
    """TensorFlow would wait for it for ever, deaf to signals."""
    ports = free_ports(2)
    alone = Cluster(tuple(f"localhost:{port}" for port in ports), 0)
    worker = start(
        *TRAIN, "--run", tmp_path / "run", TF_CONFIG=alone.tf_config, KERASCNN_START_TIMEOUT="5"
    )
    printed, _ = worker.communicate(timeout=120)
    assert worker.returncode == -signal.SIGKILL
    assert f"Worker 0 has waited 5 s for the others of localhost:{ports[0]}" in printed
    assert not (tmp_path / "run").exists(), "the next attempt may use the same directory"


@pytest.mark.slow
def test_a_port_in_use_is_named(tmp_path):
    """TensorFlow says neither which port nor why, at the end of a page."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port, other = taken.getsockname()[1], free_ports(1)[0]
        cluster = Cluster((f"localhost:{port}", f"localhost:{other}"), 0)
        worker = start(*TRAIN, "--run", tmp_path / "run", TF_CONFIG=cluster.tf_config)
        printed, _ = worker.communicate(timeout=120)
    assert worker.returncode == WorkerError.exit_status, "with a free port it can succeed"
    assert f"Error: Worker 0 can't start as localhost:{port}" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list",), "launch starts `train` only"),
        (("train", "lenet5", "--strategy", "mirrored"), "needs strategy multiworker"),
        (("train", "lenet5", "--epochz", "3"), "No such option"),
    ],
)
def test_what_can_not_be_launched_is_refused_before_a_process_starts(arguments, message):
    from typer.testing import CliRunner

    from kerascnn.commands.launch import launch

    result = CliRunner().invoke(launch, ["-n", "2", *arguments])
    assert result.exit_code != 0
    assert message in (str(result.exception) + result.output)


def described_run(strategy, **recipe):
    """What the config.json of a run must hold."""
    return {
        "kerascnn_run": 1,
        "name": "lenet5",
        "architecture": {"name": "lenet5", "arguments": {}},
        "input_shape": [28, 28, 1],
        "classes": 10,
        "preprocessing": {},
        "data": {"source": "mnist5k", "fingerprint": ""},
        "recipe": recipe,
        "strategy": strategy,
        "precision": "float32",
        "jit": None,
        "seed": 0,
        "created": "2026-01-01",
    }


def test_a_run_gets_one_directory_for_all_workers(tmp_path):
    from kerascnn.commands.launch import _with_run

    command, run = _with_run(["train", "lenet5", "--data", "mnist5k"])
    assert command[-2:] == ["--run", str(run)]
    assert run.name.startswith("lenet5-mnist5k-")
    with pytest.raises(ArgumentError, match="launch starts"):
        _with_run(["board"])
    (tmp_path / "config.json").write_text(json.dumps(described_run("auto")))
    again = ["train", "--resume", str(tmp_path)]
    assert _with_run(again) == (again, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(described_run("mirrored:2")))
    with pytest.raises(ArgumentError, match="was trained with 'mirrored:2'"):
        _with_run(again)  # each worker would go on by itself


def test_gpus_are_shared_out():
    eight = {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
    assert share_gpus(2, eight)[1] == {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}
    assert share_gpus(2, {"CUDA_VISIBLE_DEVICES": ""}) == [{}, {}]
    assert share_gpus(2, {"CUDA_VISIBLE_DEVICES": "-1"}) == [{}, {}], "the usual way to hide them"
    with pytest.raises(StrategyError, match="3 workers can't share 2 GPUs"):
        share_gpus(3, {"CUDA_VISIBLE_DEVICES": "0,1"})


def test_only_lost_workers_are_worth_a_restart(tmp_path):
    """A mistake would be made again; a machine that was taken away may come back."""
    assert Outcome(1, -signal.SIGKILL).lost
    assert Outcome(0, WorkerError.exit_status).lost
    assert not Outcome(0, 1).lost
    assert not Outcome(0, 143).lost
    assert Outcome(1, -signal.SIGKILL).status == 137
    asked = Outcome(1, -signal.SIGTERM, asked=signal.SIGTERM)
    assert (asked.lost, asked.failed, asked.status) == (False, False, 143)
    assert restart_command(["train", "lenet5"], tmp_path) == ["train", "lenet5"]
    (tmp_path / "config.json").write_text("{}")
    again = ["train", "--resume", str(tmp_path)]
    assert restart_command(["train", "x"], tmp_path) == again
    (tmp_path / "config.json").write_text(json.dumps(described_run("auto", loss="mine:Loss")))
    assert restart_command(["train", "x"], tmp_path) == [*again, "--loss", "mine:Loss"]
