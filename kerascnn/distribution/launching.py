"""A job of several workers on this machine: started, watched, ended, and started again.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from kerascnn.distribution.cluster import TF_CONFIG, WORKERS, Cluster
from kerascnn.distribution.signals import Request, handled
from kerascnn.distribution.watchdog import LAUNCHED, REPEAT
from kerascnn.errors import StrategyError, WorkerError

TERMINATED = 128 + signal.SIGTERM  # the exit status of a clean end after SIGTERM
CLEAN = (0, TERMINATED, 128 + signal.SIGINT)
POLL = 0.1  # seconds
# After the first worker has failed the others have this long to say why they do, too.
GRACE = 3.0
# After one has ended as it should, the others save what there is to save.
SAVING = 120.0
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Attributes:
        worker: the first that failed, or 0.
        code: its exit status; negative: minus the signal that killed it.
        asked: the signal that asked for the end of the job, or 0.
    """

    worker: int
    code: int
    asked: int = 0

    @property
    def status(self) -> int:
        """As a shell reports it."""
        if self.code and self.asked:
            return 128 + self.asked
        return 128 - self.code if self.code < 0 else self.code

    @property
    def lost(self) -> bool:
        """Whether a worker was lost, so that the same job may succeed when it is started again."""
        return not self.asked and (self.code < 0 or self.code == WorkerError.exit_status)

    @property
    def failed(self) -> bool:
        """Whether the job came to a bad end that nobody has asked for."""
        return not self.asked and self.code not in (0, TERMINATED)

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
    children: list[subprocess.Popen[bytes]] = []
    readers: list[threading.Thread] = []
    try:
        with _handing_on(children) as request:
            for index in range(workers):
                variables = {
                    **{k: v for k, v in environment.items() if k != WORKERS},
                    **devices[index],
                    TF_CONFIG: Cluster(addresses, index).tf_config,
                    LAUNCHED: "1",
                }
                children.append(child := _start(command, variables, to_stderr=index > 0))
                if child.stdout is not None:
                    reader = threading.Thread(
                        target=_hand_on, args=(child.stdout, index), daemon=True
                    )
                    readers.append(reader)
                    reader.start()
            if request.number:  # those that had not been started have missed it
                _send(children, request.number)
            return _watch(children, request, say)
    finally:
        _kill(children)
        for reader in readers:  # a program that a worker has started may hold its output open
            reader.join(1.0)


def _start(
    command: Sequence[str], environment: Mapping[str, str], *, to_stderr: bool
) -> subprocess.Popen[bytes]:
    """A worker, in a session of its own: a Ctrl-C in the terminal is for the launcher to hand on.

    Its standard input is open as long as this process lives, see `watchdog.follow_launcher`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "kerascnn", *command],
        env=environment,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if to_stderr else None,
        stderr=subprocess.STDOUT if to_stderr else None,
    )


def _watch(
    children: Sequence[subprocess.Popen[bytes]], request: Request, say: Callable[[str], None]
) -> Outcome:
    """Wait for all; from the first end on, the rest have limited time."""
    first: Outcome | None = None
    deadline = float("inf")
    again = time.monotonic() + REPEAT
    while None in (codes := [child.poll() for child in children]):
        now = time.monotonic()
        failed = [Outcome(i, code) for i, code in enumerate(codes) if code not in (None, *CLEAN)]
        if failed and first is None:
            first, deadline = failed[0], now + GRACE
            if not request.number:
                say(f"{first.description}. The others are ended.")
        elif deadline == float("inf") and codes != [None] * len(codes):
            deadline = now + SAVING
        if request.number == signal.SIGTERM and now > again:
            again = now + REPEAT
            _send(children, signal.SIGTERM)
        if now > deadline:
            break
        time.sleep(POLL)
    _kill(children)
    ends = [Outcome(i, child.returncode) for i, child in enumerate(children) if child.returncode]
    first = first or next(iter(ends), Outcome(0, 0))
    return dataclasses.replace(first, asked=request.number)


@contextlib.contextmanager
def _handing_on(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[Request]:
    """Give SIGTERM and SIGINT to the workers, whose ends end this process, too."""
    request = Request()

    def hand_on(number: int, frame: object) -> None:
        request.number = number
        _send(children, number)

    with handled(hand_on):
        yield request


def _send(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _kill(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


def _hand_on(output: IO[bytes], index: int) -> None:
    """Copy a worker's output to stderr, each line after its number."""
    for line in output:
        # Were it not read on, the worker would wait for ever when the pipe is full.
        with contextlib.suppress(OSError):
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
        names = environment["CUDA_VISIBLE_DEVICES"].split(",")
        # As CUDA reads it, -1 hides itself and what comes after it.
        found = list(itertools.takewhile(lambda name: name and name != "-1", names))
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
