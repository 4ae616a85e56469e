"""Chief, worker, and all of them on one machine: what the commands run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from kerascnn import processors, resolve_strategy
from kerascnn.console import Console, sayer
from kerascnn.errors import KerascnnError
from kerascnn_tuning import warm_start
from kerascnn_tuning.display import Display
from kerascnn_tuning.errors import CannotStartError, SearchError
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.remote.addresses import STALE_SECONDS, WAIT_SECONDS, is_loopback
from kerascnn_tuning.remote.chief import Chief
from kerascnn_tuning.remote.client import Client
from kerascnn_tuning.searching import Keeper, finish, load_data, refuse_at_once
from kerascnn_tuning.study.study import Study
from kerascnn_tuning.trials import Runner, check_objectives
from kerascnn_tuning.working import settled_heap, work

RESTARTS = 10
"""A local worker that dies is started again so often."""


def run_chief(
    plan: Plan,
    directory: Path,
    address: str,
    *,
    token: str = "",
    stale_seconds: float = STALE_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
    console: Console,
) -> Study:
    """Give out a plan's trials to workers until all are done, then report.

    A chief that was killed goes on when it is started again: trials that run go on running.

    Raises:
        ArgumentError, StudyError, ChiefError: it can't begin.
        SearchError: it ended early.
    """
    refuse_at_once(plan, directory)
    dataset = load_data(plan, console)
    check_objectives(Problem.of(plan, dataset.classes), dataset)  # or no worker could start
    known = warm_start.gather(plan, directory, dataset, sayer(console))
    study = Study.begin(plan, directory, dataset)
    warm_start.write(directory, known)
    with study.locked("chief"), Display(study.problem, console) as display:
        oracle = make_oracle(study.problem, study.path / "oracle", Keeper(study, display))
        chief = Chief(
            oracle,
            address,
            study_id=study.id,
            token=token,
            stale_seconds=stale_seconds,
            wait_seconds=wait_seconds,
        )
        host = chief.address.rpartition(":")[0]
        if not is_loopback(host):
            console.print(
                f"Every machine that reaches {chief.address} and knows the token can take trials "
                "and report results. Calls are not encrypted: use a network that you trust."
            )
        console.print(f"The chief listens on {chief.address}.", highlight=False)
        reason = chief.serve()
    finish(study, reason)
    return study


def run_worker(
    directory: Path,
    address: str,
    *,
    worker: str | None = None,
    token: str = "",
    stale_seconds: float = STALE_SECONDS,
    patience: float = WAIT_SECONDS,
    recycle: int | None = None,
    console: Console,
) -> bool:
    """Run trials of the chief at `address`.

    Args:
        directory: the study directory, shared with the chief.
        address: HOST:PORT of the chief.
        worker: its id; default: machine and process. Two workers must not share one.
        token: the chief's.
        stale_seconds: the chief's.
        patience: seconds to wait for a chief that doesn't answer.
        recycle: trials after which to return False, for a fresh process.
        console: where messages go.

    Returns:
        Whether the search is over.

    Raises:
        ChiefError: the chief refuses or stays away.
        CannotStartError: with what this process has, the study's trials can't be run; the chief
            has been told.
    """
    study = _await_study(directory, patience)
    worker = worker or f"{socket.gethostname()}-{os.getpid()}"
    client = Client(
        address,
        worker=worker,
        study_id=study.id,
        token=token,
        patience=patience,
        stale_seconds=stale_seconds,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        try:
            resolve_strategy(study.plan.strategy)
            dataset = load_data(study.plan, console)
            study.require_same_world(study.problem, dataset)
            runner = Runner(study.problem, dataset, study.path / "trials")
            # Writing the lock also proves that the shared directory can be written.
            stack.enter_context(study.locked(f"worker {worker}"))
        except Exception as error:
            known = isinstance(error, (KerascnnError, OSError))
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            client.cannot_start(reason)
            raise CannotStartError(f"This worker can't start: {reason}") from error
        with settled_heap():
            return work(client, runner, worker=worker, alive=client.alive, most=recycle)


def _await_study(directory: Path, patience: float) -> Study:
    """The study, as soon as the chief has written it."""
    end = time.monotonic() + patience
    while not (directory / "study.json").is_file() and time.monotonic() < end:
        time.sleep(0.5)
    return Study.open(directory)


def run_local(
    plan_file: Path, directory: Path, workers: int, console: Console, *, threads: int | None = None
) -> int:
    """A chief and workers as processes of this machine; the chief's exit status.

    Each worker gets a GPU if there are any, else `threads`, or its share of the processors.

    Raises:
        SearchError: the workers died more often than `RESTARTS`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    tune = [sys.executable, "-m", "kerascnn", "tune"]
    shared = ["--dir", str(directory)]
    chief = subprocess.Popen(
        [*tune, "chief", str(plan_file), "--bind", address, *shared],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )

    share = max(1, processors.available() // workers)

    def start(index: int) -> subprocess.Popen[bytes]:
        command = [*tune, "worker", "--chief", address, *shared, "--id", f"local-{index}"]
        return subprocess.Popen(command, env=_worker_environment(index, threads or share))

    running = {index: start(index) for index in range(workers)}
    restarts, hopeless = 0, CannotStartError.exit_status
    try:
        while chief.poll() is None:
            time.sleep(0.5)
            if all(process.poll() == hopeless for process in running.values()):
                raise SearchError("No worker can start; see above.")
            for index, process in running.items():
                if process.poll() not in (None, 0, hopeless) and chief.poll() is None:
                    restarts += 1
                    if restarts > RESTARTS:
                        raise SearchError(f"Workers have died {restarts} times; see above.")
                    console.print(f"Worker local-{index} died and is started again.")
                    running[index] = start(index)
        return chief.returncode
    finally:
        for process in [chief, *running.values()]:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in [chief, *running.values()]:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _worker_environment(index: int, threads: int) -> dict[str, str]:
    gpus = _gpus()
    if gpus:
        return {**os.environ, "CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]}
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def _gpus() -> list[str]:
    """The GPUs that this process may use, without loading TensorFlow."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return [str(index) for index, _ in enumerate(listed.splitlines())]
