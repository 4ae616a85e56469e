"""Contestants in processes of their own, asked in turn, so that all see the same machine.

A contestant is started, works alone until its first step is done, and waits. When all are ready,
each is asked for one step, in turn, again and again (A B C A B C ...): a change of the machine's
load meets all of them, and none profits from what another has warmed up.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerascnn.bench.processes import QUIET, ended
from kerascnn.errors import KerascnnError

Step = Callable[[], None]
"""One step of work; returns when its result is there."""


@dataclass(frozen=True)
class Contestant:
    """Who is measured.

    Attributes:
        name: what the table calls it.
        make: "module:function" of what prepares the work and returns a `Step`.
        arguments: of that function; JSON.
    """

    name: str
    make: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What one contestant did.

    Attributes:
        name: who.
        seconds: median of a step.
        fastest, slowest: seconds of a step.
        first_step: seconds from the start of the process to the end of its first step.
        peak_memory: most bytes of memory that the process ever held.
        gpu_memory: most bytes of a GPU's memory that its tensors ever held; 0 without a GPU.
    """

    name: str
    seconds: float
    fastest: float
    slowest: float
    first_step: float
    peak_memory: int
    gpu_memory: int = 0


def race(
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    warm_up: int = 1,
    together: bool = False,
    failed: Callable[[str], None] | None = None,
) -> list[Measured]:
    """Let every contestant do `rounds` steps in turn, after `warm_up` rounds that don't count.

    Args:
        contestants: who.
        rounds, warm_up: see above.
        together: start all at once, which takes less time where there is a processor for each;
            else each alone.
        failed: is called with why a contestant can't start, and the others race without it. None:
            all must start.

    Raises:
        KerascnnError: a contestant failed; with the end of what it said.
    """
    with contextlib.ExitStack() as stack:
        starting = (stack.enter_context(_started(contestant)) for contestant in contestants)
        racers = _ready(list(starting) if together else starting, failed)
        for _ in range(warm_up):
            for racer in racers:
                racer.step()
        seconds: list[list[float]] = [[] for _ in racers]
        for _ in range(rounds):
            for racer, times in zip(racers, seconds):
                times.append(racer.step())
        return [
            Measured(
                name=racer.contestant.name,
                seconds=statistics.median(times),
                fastest=min(times),
                slowest=max(times),
                first_step=racer.first_step,
                peak_memory=int(racer.ask("memory")),
                gpu_memory=int(racer.ask("gpu memory")),
            )
            for racer, times in zip(racers, seconds)
        ]


class _Racer:
    """The other end of a contestant's process: one line asks, one line answers."""

    first_step: float

    def __init__(self, contestant: Contestant, process: subprocess.Popen, errors: Any) -> None:
        self.contestant = contestant
        self._process = process
        self._errors = errors

    def wait(self) -> None:
        """For the end of its first step."""
        self.first_step = self._answer()

    def step(self) -> float:
        """Seconds of one step, by the contestant's own clock."""
        return self.ask("step")

    def ask(self, what: str) -> float:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it ended: the missing answer says so
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()
            raise KerascnnError(ended(f"The benchmark of {self.contestant.name}", code, said))
        return float(line)


def _ready(racers: Iterable[_Racer], failed: Callable[[str], None] | None) -> list[_Racer]:
    """Those whose first step is done; see `race` for the others."""
    ready = []
    for racer in racers:
        try:
            racer.wait()
        except KerascnnError as error:
            if failed is None:
                raise
            failed(str(error))
        else:
            ready.append(racer)
    return ready


@contextlib.contextmanager
def _started(contestant: Contestant) -> Iterator[_Racer]:
    """A contestant's process, which has begun; it ends with the context."""
    task = json.dumps([contestant.make, dict(contestant.arguments), time.time()])
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "kerascnn.bench.rounds", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**QUIET, **os.environ},
        ) as process,
    ):
        try:
            yield _Racer(contestant, process, errors)
        finally:
            process.kill()


def _serve(task: str) -> None:
    """A contestant's side: do the first step, then whatever a line asks for."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print; the answers must stay alone on their pipe
    make, arguments, began = json.loads(task)
    module, _, function = make.partition(":")
    step: Step = getattr(importlib.import_module(module), function)(**arguments)
    step()
    answers.write(f"{time.time() - began}\n")
    told = {"memory": peak_memory, "gpu memory": gpu_memory}
    for line in sys.stdin:
        if tell := told.get(line.strip()):
            answers.write(f"{tell()}\n")
            continue
        start = time.perf_counter()
        step()
        answers.write(f"{time.perf_counter() - start}\n")


def peak_memory() -> int:
    """The most memory, in bytes, that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss of the parent down to what it starts.
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gpu_memory() -> int:
    """The most memory of the first GPU, in bytes, that this process's tensors have held."""
    torch, tf = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    if tf and tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return 0


SIDE = 2048
"""Rows and columns of the matrices whose product is the machine's peak."""


def matmul() -> Step:
    """The product of two float32 matrices by TensorFlow: what this machine can do at best."""
    import tensorflow as tf

    a = tf.random.normal((SIDE, SIDE))
    product = tf.function(lambda x: x @ x)

    def step() -> None:
        product(a).numpy()

    return step


PEAK = Contestant("matrix product", "kerascnn.bench.rounds:matmul")


def matmul_flops(measured: Measured) -> float:
    """Operations a second of `PEAK`; a multiply-add is two."""
    return 2 * SIDE**3 / measured.seconds


if __name__ == "__main__":
    _serve(sys.argv[1])
