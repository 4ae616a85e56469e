"""A job of several workers on this machine: started, watched, ended, and started again.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kerascnn.errors import StrategyError, WorkerError
from kerascnn.training.cluster import TF_CONFIG, WORKERS, Cluster

TERMINATED = 128 + signal.SIGTERM  # the exit status of a clean end after SIGTERM
POLL = 0.1  # seconds
# After the first worker has failed the others have this long to say why they do, too.
GRACE = 3.0
# After one has ended as it should, the others save what there is to save.
SAVING = 120.0
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Attributes:
        worker: the first that failed, or 0.
        code: its exit status; negative: minus the signal that killed it.
    """

    worker: int
    code: int

    @property
    def status(self) -> int:
        """As a shell reports it."""
        return 128 - self.code if self.code < 0 else self.code

    @property
    def lost(self) -> bool:
        """Whether a worker was lost, so that the same job may succeed when it is started again."""
        return self.code < 0 or self.code == WorkerError.exit_status

    @property
    def description(self) -> str:
        """Such as "Worker 1 was killed by SIGKILL"."""
        if self.code < 0:
            return f"Worker {self.worker} was killed by {signal.Signals(-self.code).name}"
        return f"Worker {self.worker} ended with exit status {self.code}"


def run_job(
    command: Sequence[str],
    workers: int,
    *,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> Outcome:
    """Run a command once as each worker, to the end of all of them.

    The chief writes to this process's output. What the others write comes after their number.
    SIGTERM and SIGINT are handed on to all; when a worker fails, the others are killed.

    Args:
        command: arguments of `kerascnn`.
        workers: how many.
        environment: for all of them.
        say: is called with lines about the job.

    Raises:
        StrategyError: the GPUs can't be shared between so many.
    """
    devices = share_gpus(workers, environment)
    addresses = tuple(f"localhost:{port}" for port in free_ports(workers))
    children = []
    for index in range(workers):
        variables = {
            **{k: v for k, v in environment.items() if k != WORKERS},
            **devices[index],
            TF_CONFIG: Cluster(addresses, index).tf_config,
        }
        # Sessions of their own: a Ctrl-C in the terminal comes here only, and is handed on once.
        child: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-m", "kerascnn", *command],
            env=variables,
            start_new_session=True,
            stdout=subprocess.PIPE if index else None,
            stderr=subprocess.STDOUT if index else None,
        )
        children.append(child)
        if child.stdout is not None:
            threading.Thread(target=_hand_on, args=(child.stdout, index), daemon=True).start()
    try:
        with _handing_on(children):
            return _watch(children, say)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()


def _watch(children: Sequence[subprocess.Popen[bytes]], say: Callable[[str], None]) -> Outcome:
    """Wait for all; from the first end on, the rest have limited time."""
    first: Outcome | None = None
    deadline = float("inf")
    while None in (codes := [child.poll() for child in children]):
        ended = [(i, code) for i, code in enumerate(codes) if code is not None]
        failed = [Outcome(i, code) for i, code in ended if code not in (0, TERMINATED)]
        if failed and first is None:
            first = failed[0]
            deadline = time.monotonic() + GRACE
            say(f"{first.description}. The others are ended.")
        elif ended and deadline == float("inf"):
            deadline = time.monotonic() + SAVING
        if time.monotonic() > deadline:
            break
        time.sleep(POLL)
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()
    failed = [Outcome(i, child.returncode) for i, child in enumerate(children) if child.returncode]
    return first or next(iter(failed), Outcome(0, 0))


@contextlib.contextmanager
def _handing_on(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Give SIGTERM and SIGINT to the workers, whose ends end this process, too."""

    def hand_on(number: int, frame: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, hand_on) for number in numbers} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hand_on(output: IO[bytes], index: int) -> None:
    """Copy a worker's output to stderr, each line after its number."""
    for line in output:
        sys.stderr.write(f"[worker {index}] {line.decode(errors='replace')}")
        sys.stderr.flush()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def share_gpus(workers: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """For each worker the variable that shows it its part of this machine's GPUs.

    Raises:
        StrategyError: there are GPUs, but fewer than workers.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        found = [name for name in environment["CUDA_VISIBLE_DEVICES"].split(",") if name]
    else:
        found = [str(i) for i, _ in enumerate(GPUS.iterdir())] if GPUS.is_dir() else []
    if not found:
        return [{} for _ in range(workers)]
    each = len(found) // workers
    if not each:
        raise StrategyError(
            f"{workers} workers can't share {len(found)} GPU{'s' if len(found) > 1 else ''}. Start "
            f"at most {len(found)}, or hide the GPUs with CUDA_VISIBLE_DEVICES=."
        )
    parts = [found[i * each : (i + 1) * each] for i in range(workers)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(part)} for part in parts]


def restart_command(command: Sequence[str], run: Path) -> list[str]:
    """How to go on with a job: from the run's last checkpoint, if it has come so far."""
    return ["train", "--resume", str(run)] if (run / "config.json").is_file() else list(command)
