"""Trains what an experiment's file lists, from the command line, and reports what came out.

    python tests/experiments/run.py tests/experiments/results.toml

Every run is `kerascnn train` in a process of its own, for each seed; runs that are finished already
are not done again. Prints a table in Markdown and, if the file names one, writes a picture: the
median over the seeds of the training error (thin) and of the validation error (thick) of each
epoch, with the range of the seeds.

Keys of a file, besides those that the files show:
    reach: a training error; the table says after how many epochs it was reached.
    make: the script that makes the data, if they aren't there.
    look, look_picture: a module beside this one, whose `report(label → runs, picture)` says and
        draws what is seen in the trained networks.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kerascnn.commands.options import parse_network
from kerascnn.quiet import hush_tensorflow
from kerascnn.runs.run import Run

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One line of the table: a network, its settings, and its runs."""

    label: str
    network: str
    options: tuple[str, ...]
    runs: tuple[Run, ...]

    def command(self, seed: int | str) -> list[str]:
        """What a user types."""
        return ["kerascnn", "train", self.network, *self.options, "--seed", str(seed)]


def rows(experiment: dict[str, Any], runs: Path) -> list[Row]:
    """The experiment's rows, with the directories of their runs."""
    found = []
    for entry in experiment["runs"]:
        name = entry.get("recipe", experiment["recipe"])
        recipe = [] if name == "own" else ["--recipe", name]  # the architecture's own: no option
        shape = ["--input-shape", entry["input"]] if "input" in entry else []
        arguments = [part for text in entry.get("set", []) for part in ("--set", text)]
        changes = [part for text in entry.get("with", []) for part in ("--with", text)]
        found.append(
            Row(
                label=entry["label"],
                network=entry["network"],
                options=("--data", experiment["data"], *shape, *arguments, *recipe, *changes),
                runs=tuple(
                    Run(runs / f"{entry['label'].replace(' ', '-')}-{seed}")
                    for seed in range(experiment["seeds"])
                ),
            )
        )
    return found


def train(row: Row) -> None:
    """Train each seed that is not finished yet."""
    for seed, run in enumerate(row.runs):
        if not (run.path / "config.json").is_file() or not run.finished:
            command = [*row.command(seed), "--run", str(run.path), "--overwrite"]
            print("$", shlex.join(command), file=sys.stderr, flush=True)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make(experiment: dict[str, Any]) -> None:
    """Let the experiment's script make its data, unless they are there."""
    path = Path(experiment["data"].removeprefix("npz:"))
    if "make" in experiment and not path.is_file():
        command = [sys.executable, experiment["make"], str(path)]
        print("$", shlex.join(command), file=sys.stderr, flush=True)
        subprocess.run(command, check=True)


def epochs_to(history: Sequence[Mapping[str, float]], reach: float) -> float:
    """After how many epochs the training error fell to `reach`; infinity: never.

    An epoch's error is the mean over its course, so it stands for its middle; between two the
    error is taken to fall evenly, and before the first from 1 at the start.
    """
    before, middle = 1.0, 0.0
    for line in history:
        error, now = line["error"], line["epoch"] - 0.5
        if error <= reach:
            return middle + (now - middle) * (before - reach) / (before - error)
        before, middle = error, now
    return math.inf


def table(found: list[Row], reach: float | None = None) -> str:
    """One line for each row: size, errors, epochs to a training error of `reach`, time, command."""
    to = "" if reach is None else f" epochs to {reach:.0%} |"
    lines = [
        f"| network | input | parameters | MACs | training error at the end, median (range) |{to} "
        "test error | training | command |",
        f"|---|---|--:|--:|--:|{'--:|' if to else ''}--:|--:|---|",
    ]
    for row in found:
        options = row.options
        shape = next(iter(_values(options, "--input-shape")), None)
        network = parse_network(
            row.network,
            _values(options, "--set"),
            input_shape=shape,
            classes=row.runs[0].config.classes,
        )
        cost = network.cost()
        trained = _spread([run.history[-1]["error"] * 100 for run in row.runs], " %")
        tested = _spread([run.metrics["test_error"] * 100 for run in row.runs], " %")
        seconds = [run.metrics["train_seconds"] for run in row.runs]
        epochs = ""
        if reach is not None:
            epochs = _spread([epochs_to(run.history, reach) for run in row.runs]) + " | "
        lines.append(
            f"| {row.label} | {'×'.join(map(str, network.input_shape))} "
            f"| {cost.params:,} | {cost.macs / 1e6:.1f} M "
            f"| {trained} | {epochs}{tested} "
            f"| {median(seconds):.0f} s | `{shlex.join(row.command('S'))}` |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], unit: str = "") -> str:
    """The median, and in brackets the range; what is infinite was never reached."""
    middle, low, high = (
        f"{value:.1f}" if math.isfinite(value) else "never"
        for value in (median(values), min(values), max(values))
    )
    if math.isfinite(median(values)):
        middle += unit
    return middle if min(values) == max(values) else f"{middle} ({low} to {high})"


def _values(options: tuple[str, ...], name: str) -> list[str]:
    return [value for key, value in itertools.pairwise(options) if key == name]


def picture(found: list[Row], title: str, path: Path, reach: float | None = None) -> None:
    """Training error (thin) and validation error (thick) of each epoch, in percent.

    A dashed line marks the training error that is to be reached.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for index, row in enumerate(found):
        colour = f"C{index}"
        epochs = [line["epoch"] for line in row.runs[0].history]
        for key, width in (("error", 1.0), ("val_error", 2.5)):
            each = [[line[key] * 100 for line in run.history] for run in row.runs]
            middle = [median(values) for values in zip(*each)]
            label = row.label if key == "val_error" else None
            axes.plot(epochs, middle, colour, linewidth=width, label=label)
            if key == "val_error":
                low, high = ([f(values) for values in zip(*each)] for f in (min, max))
                axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    if reach is not None:
        axes.axhline(reach * 100, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="epoch", ylabel="error, %", yscale="log", title=title)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(title="thick: validation, thin: training", frameon=False)
    figure.savefig(path, dpi=120)


def shortened(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The same with one seed, one epoch and no picture."""
    kept = {key: value for key, value in experiment.items() if not key.endswith("picture")}
    runs = [{**entry, "with": [*entry.get("with", []), "epochs=1"]} for entry in experiment["runs"]]
    return {**kept, "seeds": 1, "runs": runs}


def main() -> None:
    """Run the experiment of a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument(
        "--short",
        action="store_true",
        help="one seed, one epoch and no picture, to see whether it runs",
    )
    options = parser.parse_args()
    experiment = tomllib.loads(options.file.read_text(encoding="utf-8"))
    place = options.runs / options.file.stem
    if options.short:
        experiment, place = shortened(experiment), place.with_name(f"{place.name}-short")
    found = rows(experiment, place)
    make(experiment)
    for row in found:
        train(row)
    reach, pictures = experiment.get("reach"), HERE.parent / "pictures"
    print(table(found, reach))
    if "picture" in experiment:
        picture(found, experiment["title"], pictures / experiment["picture"], reach)
    if "look" in experiment:
        hush_tensorflow()
        look = importlib.import_module(experiment["look"])
        path = experiment.get("look_picture")
        print()
        print(look.report({row.label: row.runs for row in found}, path and pictures / path))


if __name__ == "__main__":
    main()
