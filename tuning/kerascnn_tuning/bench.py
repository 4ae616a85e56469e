"""`kerascnn bench tune`: our search against stock KerasTuner, and against itself on one worker.

Contestants run in fresh processes, in turn, and on the same space, budget, data and epochs; figures
are medians. Only the waste is counted, not timed, and memory and disk are watched side by side.
"""

from __future__ import annotations

import json as json_
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from kerascnn.bench import answer, as_json, ended
from kerascnn.errors import ArgumentError, KerascnnError

PARTS = ("waste", "time", "workers", "growth", "bookkeeping")
WARM = 10  # trials after which TensorFlow has loaded what it needs
WASTE: dict[str, Any] = {"architecture": "lenet5", "max_params": "100k", "max_trials": 50}
# Eight networks of LeNet-5's kind, trained without augmentation, as the peer has none.
TIMED: dict[str, Any] = {
    "architecture": "lenet5",
    "tuner": "grid",
    "only": ["kernels"],
    "fix": {"augmentation": 0.0, "label_smoothing": 0.0, "batch_size": 128},
    "choose": {"kernels": [3, 5], "pool": ["avg", "max"]},
    "epochs": 6,
}
# Eight trials of equal length, so that two workers have the same to do.
SHARED: dict[str, Any] = {
    "architecture": "lenet5",
    "only": ["learning_rate"],
    "max_trials": 8,
    "epochs": 8,
}
KEPT, KEPT_BY = (10, 100, 1000), ("random", "bayesian")
GROWTH: dict[str, Any] = {
    "architecture": "lenet5",
    "only": ["learning_rate"],
    "choose": {"widths": [6, 12, 16, 24]},
    "fix": {"augmentation": 0.0, "label_smoothing": 0.0, "batch_size": 1000},
    "epochs": 1,
}


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: the question.
        ours, other: the answers, with their units.
        ratio: what to compare with the aim; None where a ratio says nothing.
    """

    what: str
    ours: str
    other: str
    ratio: float | None = None


def tune(
    part: list[str] = typer.Option([], help=f"Only {', '.join(PARTS)}. Repeatable."),
    rounds: int = typer.Option(2, min=1, help="Processes for each contestant, where time counts."),
    trials: int = typer.Option(100, min=20, help="Of the search whose memory is watched."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Searches on LeNet-5: wasted trials, time, workers, memory and disk, against KerasTuner."""
    if unknown := [name for name in part if name not in PARTS]:
        raise ArgumentError(f"--part must be one of {', '.join(PARTS)}. Received: {unknown[0]!r}.")
    measures: dict[str, Callable[[], list[Line]]] = {
        "waste": waste,
        "time": lambda: times(rounds),
        "workers": lambda: workers(rounds),
        "growth": lambda: growth(trials),
        "bookkeeping": bookkeeping,
    }
    load = os.getloadavg()[0]
    figures = [row for name in PARTS if name in (part or PARTS) for row in measures[name]()]
    if json:
        typer.echo(as_json(figures, rounds=rounds, load=load))
        return
    from rich.table import Table

    from kerascnn.console import Console

    table = Table(box=None)
    for column in ("", "kerascnn tune", "compared with", "ratio"):
        table.add_column(column)
    for row in figures:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, row.ours, row.other, ratio)
    Console().print(table)


def waste() -> list[Line]:
    """Which share of the trials a budget of 100k parameters costs."""
    rows = {}
    for who in ("ours", "stock"):
        with tempfile.TemporaryDirectory() as directory:
            rows[who] = _ask(f"wasted_by_{who}", plan=WASTE, directory=directory)
    shown = {w: f"{r['wasted'] / r['trials']:.0%} of {r['trials']}" for w, r in rows.items()}
    return [
        Line(
            "trials failed or over 100k parameters",
            shown["ours"],
            f"{shown['stock']} (stock KerasTuner)",
        )
    ]


def times(rounds: int) -> list[Line]:
    """How long a completed trial takes."""
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
    for _ in range(rounds):
        for who, found in rows.items():
            with tempfile.TemporaryDirectory() as directory:
                found.append(_ask(f"timed_{who}", plan=TIMED, directory=directory))
    median = {
        who: {key: statistics.median(row[key] for row in found) for key in ("seconds", "error")}
        for who, found in rows.items()
    }
    shown = {
        who: f"{row['seconds']:.2f} s, error {row['error']:.1%}" for who, row in median.items()
    }
    return [
        Line(
            f"time for a completed trial ({TIMED['epochs']} epochs)",
            shown["ours"],
            f"{shown['stock']} (stock KerasTuner)",
            median["stock"]["seconds"] / median["ours"]["seconds"],
        )
    ]


def workers(rounds: int) -> list[Line]:
    """How long two local workers take for what one does, each with one thread."""
    seconds: dict[int, list[float]] = {2: [], 1: []}
    for _ in range(rounds):
        for count, found in seconds.items():
            with tempfile.TemporaryDirectory() as directory:
                found.append(_local(Path(directory), count))
    two, one = statistics.median(seconds[2]), statistics.median(seconds[1])
    return [
        Line(
            f"time for {SHARED['max_trials']} trials, 2 workers",
            f"{two:.1f} s",
            f"{one:.1f} s (1 worker)",
            one / two,
        )
    ]


def growth(trials: int) -> list[Line]:
    """How much memory a search takes beyond its first trials, and how much of the disk."""
    plan = {**GROWTH, "max_trials": trials}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        few_digits(root / "few.npz")
        plan["data"] = f"npz:{root / 'few.npz'}"
        write_toml(root / "study.toml", plan)
        ours, stock = root / "ours", root / "stock"
        task = {"function": "many_of_stock", "plan": plan, "directory": str(stock)}
        watched = {
            ours: _start("kerascnn", "tune", "--study", str(root / "study.toml"), "--dir", ours),
            stock: _start("kerascnn_tuning.bench_processes", json_.dumps(task)),
        }
        grown = _watch(watched)
        sizes = {place: size(place) for place in watched}
    return [
        Line(
            f"growth of memory over {trials} trials, largest",
            f"{grown[ours]:.0f} MB",
            f"{grown[stock]:.0f} MB (stock KerasTuner)",
        ),
        Line(
            f"disk for {trials} trials",
            f"{sizes[ours]:.1f} MB",
            f"{sizes[stock]:.1f} MB (stock KerasTuner)",
        ),
    ]


def bookkeeping() -> list[Line]:
    """What a search takes for each trial besides training it: more, the more trials it has?"""
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        few_digits(root / "few.npz")
        for tuner in KEPT_BY:
            each = []
            for trials in KEPT:
                found = _ask(
                    "kept",
                    plan={**WASTE, "tuner": tuner, "max_trials": trials},
                    directory=str(root / f"{tuner}{trials}"),
                    data=f"npz:{root / 'few.npz'}",
                )
                each.append(f"{found['milliseconds']:.0f} ms")
            counts = ", ".join(f"{trials:,}" for trials in KEPT)
            lines.append(
                Line(f"{tuner}: besides training, each of {counts} trials", ", ".join(each), "")
            )
    return lines


def _start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def _ask(function: str, **arguments: Any) -> dict[str, Any]:
    task = json_.dumps({"function": function, **arguments})
    found: dict[str, Any] = answer(
        "kerascnn_tuning.bench_processes", task, what=f"The benchmark {function}"
    )
    return found


def _local(directory: Path, count: int) -> float:
    """Seconds from the beginning of the first trial to the end of the last, as the disk shows."""
    write_toml(directory / "study.toml", SHARED)
    study = directory / "study"
    command = ("tune", "local", directory / "study.toml", "--dir", study, "--workers", count)
    process = _start("kerascnn", *command, "--threads", 1)
    begun = 0.0
    while process.poll() is None:
        time.sleep(0.05)
        now = time.monotonic()
        if not begun and any(study.glob("oracle/trial_*/trial.json")):
            begun = now
        if begun and completed(study) == SHARED["max_trials"]:
            process.communicate()
            return now - begun
    output = process.communicate()[0]
    raise KerascnnError(ended(f"The search with {count} workers", process.returncode, output))


def completed(study: Path) -> int:
    """Completed trials, of ours or of stock KerasTuner."""
    files = study.glob("**/trial_*/trial.json")
    return sum('"COMPLETED"' in file.read_text(encoding="utf-8") for file in files)


def _watch(watched: dict[Path, subprocess.Popen[str]]) -> dict[Path, float]:
    """Megabytes by which each process exceeds, at most, what it had after `WARM` trials."""
    warm: dict[Path, float] = {}
    most: dict[Path, float] = {}
    running = dict(watched)
    while running:
        time.sleep(0.5)
        for place, process in list(running.items()):
            if process.poll() is not None:
                if process.returncode:
                    output = process.communicate()[0]
                    raise KerascnnError(ended("The search", process.returncode, output))
                running.pop(place)
            elif place in warm or completed(place) >= WARM:
                now = resident(process.pid)
                warm.setdefault(place, now)
                most[place] = max(now, most.get(place, 0.0))
    return {place: most[place] - warm[place] for place in watched}


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def size(directory: Path) -> float:
    """Megabytes of all files."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) / 1e6


def few_digits(path: Path) -> None:
    """200 digits: what is measured doesn't depend on how many."""
    import numpy as np

    from kerascnn.data import load

    digits = load("mnist5k", input_shape=(28, 28, 1), echo=None).train
    few = digits.take(np.arange(200) * (digits.size // 200))  # they are in the order of classes
    images, labels = next(few.batches(200).as_numpy_iterator())
    np.savez(path, images=images, labels=labels)


def write_toml(path: Path, plan: dict[str, Any]) -> None:
    """A plan as a study file: JSON's values are TOML's."""
    lines = [f"{k} = {json_.dumps(v)}" for k, v in plan.items() if not isinstance(v, dict)]
    for key, table in plan.items():
        if isinstance(table, dict):
            lines += [f"[{key}]", *(f"{k} = {json_.dumps(v)}" for k, v in table.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
