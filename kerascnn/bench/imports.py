"""Seconds until a fresh process has imported, listed or described something."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerascnn.errors import KerascnnError

WORK: Mapping[str, Sequence[str]] = {
    "python": ("-c", "pass"),
    "import kerascnn": ("-c", "import kerascnn"),
    "kerascnn list": ("-m", "kerascnn", "list"),
    "kerascnn info NAME": ("-m", "kerascnn", "info"),
    "import tensorflow": ("-c", "import tensorflow"),
    "import keras.applications": ("-c", "import keras.applications"),
}
"""What is typed → the interpreter's arguments; a network's name follows those of `info`."""


@dataclass(frozen=True)
class Startup:
    """Seconds of one kind of process, from start to exit: median, fastest, slowest."""

    name: str
    seconds: float
    fastest: float
    slowest: float


def measure(names: Sequence[str], *, rounds: int) -> list[Startup]:
    """Run each process in turn, `rounds` times.

    Args:
        names: architectures for `kerascnn info`.
        rounds: runs of each.
    """
    work = {key: [*words] for key, words in WORK.items() if "NAME" not in key}
    for name in names:
        work[f"kerascnn info {name}"] = [*WORK["kerascnn info NAME"], name]
    seconds: dict[str, list[float]] = {key: [] for key in work}
    for _ in range(rounds):
        for key, words in work.items():
            seconds[key].append(_run(words))
    return [Startup(key, statistics.median(s), min(s), max(s)) for key, s in seconds.items()]


def _run(words: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
    )
    if done.returncode:
        raise KerascnnError(f"python {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began
