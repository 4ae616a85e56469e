"""Seconds until a fresh process has said its first word: imports, and all commands."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerascnn.bench.processes import ended
from kerascnn.errors import KerascnnError

IMPORTS: Mapping[str, Sequence[str]] = {
    "python": ("-c", "pass"),
    "import kerascnn": ("-c", "import kerascnn"),
    "import tensorflow": ("-c", "import tensorflow"),
    "import keras.applications": ("-c", "import keras.applications"),
}
"""What is imported → the interpreter's arguments."""

DESCRIBING = ("list", "info {name}")
"""Commands that are timed in any case."""

COMMANDS = (
    "--help",
    *("recipes", "recipes paper --for {name}", "compare {name} lenet5", "runs {folder}"),
    *("draw {name} --save {folder}/network.png", "draw {name} --field C3 --save {folder}/c3.png"),
    *("data list", "data check mnist5k", "ablate {small}", "bench --help", "push --help"),
    "train {small} --data mnist5k --epochs 1 --run {folder}/again --overwrite",
    "launch --workers 2 train {small} --data mnist5k --epochs 1 --run {folder}/both --overwrite",
    *("evaluate {run}", "predict {run} {photo}", "explain {run} {photo} --save {folder}/why.png"),
    *("info {run}", "report {run} --save {folder}/report.html"),
    "export {run} --format keras --output {folder}/model{turn}.keras",
    *("app {run} --port 0", "board {folder} --port 0", "check {small} --quick"),
    "suggest --data mnist5k",
)
"""All commands of ours, as they are typed; {small} is LeNet-5, {run} one of it."""

SMALL = "lenet5"
TURN = "{turn}"  # the number of a turn, for what a command doesn't write over


@dataclass(frozen=True)
class Startup:
    """Seconds of one kind of process until its first output: median, fastest, slowest.

    Where there is none, until its end.

    Attributes:
        failure: why there are no seconds, where a command failed: an extra that isn't installed.
    """

    name: str
    seconds: float = math.nan
    fastest: float = math.nan
    slowest: float = math.nan
    failure: str = ""


def measure(names: Sequence[str], *, rounds: int, commands: bool = False) -> list[Startup]:
    """Run each process in turn, `rounds` times.

    Args:
        names: architectures that `kerascnn info` describes; all commands take the first of them.
        rounds: runs of each.
        commands: whether all commands are timed, too, for some of which LeNet-5 is trained first.

    Raises:
        KerascnnError: an import failed, with the end of what it said.
    """
    work = {key: [*words] for key, words in IMPORTS.items()}
    with contextlib.ExitStack() as stack:
        for typed in DESCRIBING:
            for name in names if "{name}" in typed else names[:1]:
                work[f"kerascnn {typed.format(name=name)}"] = _words(typed.format(name=name))
        if commands:
            places = stack.enter_context(_prepared(names[0]))
            shown = {**places, "run": "RUN", "folder": "FOLDER", "photo": "PHOTO", "turn": ""}
            for typed in COMMANDS:
                work[f"kerascnn {typed.format_map(shown)}"] = _words(typed.format_map(places))
        seconds: dict[str, list[float]] = {key: [] for key in work}
        failed: dict[str, str] = {}
        for turn in range(rounds):
            for key, words in work.items():
                if key in failed:
                    continue
                try:
                    seconds[key].append(_run([w.replace(TURN, f"{turn}") for w in words]))
                except KerascnnError as error:
                    if key in IMPORTS:
                        raise
                    failed[key] = str(error)
    return [
        Startup(key, failure=failed[key])
        if key in failed
        else Startup(key, statistics.median(found), min(found), max(found))
        for key, found in seconds.items()
    ]


def _words(typed: str) -> list[str]:
    return ["-m", "kerascnn", *typed.split()]


@contextlib.contextmanager
def _prepared(name: str) -> Iterator[dict[str, str]]:
    """What stands for the names in braces: a folder with a run and a photo in it."""
    from kerascnn.bench.data import write_photographs

    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        run = f"{folder}/run"
        train = [sys.executable, "-m", "kerascnn", "train", SMALL, "--data", "mnist5k"]
        done = subprocess.run(
            [*train, "--epochs", "1", "--run", run], capture_output=True, text=True
        )
        if done.returncode:
            raise KerascnnError(ended(f"Training {SMALL}", done.returncode, done.stderr))
        write_photographs(Path(folder), 1)
        (photo,) = Path(folder).glob("even/*.jpg")
        yield {
            "name": name,
            "small": SMALL,
            "run": run,
            "folder": folder,
            "photo": str(photo),
            "turn": TURN,
        }


def _run(words: Sequence[str]) -> float:
    """Seconds to the first output of a process, or to its end; then it is ended, if it goes on."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # what it starts ends with it
    ) as process:
        assert process.stdout
        imported = words[0] == "-c"  # which end by themselves, whatever they say
        out = process.stdout
        said = out.read() if imported else os.read(out.fileno(), 2**16)
        if imported or not said:
            process.wait()
        seconds = time.perf_counter() - began
        if process.poll() or re.search(rb"^(Error|Traceback)", said, re.MULTILINE):
            end = (said + out.read()).decode(errors="replace")[-2000:]
            raise KerascnnError(f"python {' '.join(words)} failed:\n{end}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return seconds
