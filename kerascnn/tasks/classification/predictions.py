"""Where predictions go: to the terminal with bars, to JSON, JSON lines or CSV, one by one.

A path whose bytes are no UTF-8 keeps them: a CSV file has the same bytes, JSON has \\udce9 for the
byte 0xe9, as Python's names do, so that `os.fsencode` gives the file's name back.
"""

from __future__ import annotations

import contextlib
import csv
import json as json_
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from kerascnn.console import Console
from kerascnn.words import printable
from kerascnn.writing import check_save

_NUMBERS = re.compile(r"\[\n\s+([-+.\d][-+.\de,\s]*?)\s+\]")
BAR = 24  # characters of a bar that means certainty

Row = tuple[str, Sequence[tuple[str, float]]]
"""A file's name and its classes with their probabilities, the likeliest first."""

Write = Callable[[Row], None]


def likeliest(probabilities: np.ndarray, names: Sequence[str], top: int) -> list[tuple[str, float]]:
    """The first classes by probability, `[classes]`; of equal ones the first in the run's order."""
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(names[index], probabilities[index]) for index in best]


def render_predictions(rows: Iterable[Row], console: Console) -> None:
    """Print each image's name and its likeliest classes, with a bar for each probability.

    Args:
        rows: as they come.
        console: where to print.
    """
    with bars(console) as write:
        for row in rows:
            write(row)


@contextlib.contextmanager
def bars(console: Console) -> Iterator[Write]:
    """Names, probabilities and bars for people."""

    def write(row: Row) -> None:
        name, classes = row
        console.print(Text(printable(name), "bold"), soft_wrap=True)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, width=BAR)
        table.add_column(overflow="fold")
        for rank, (label, probability) in enumerate(classes):
            style = "cyan" if rank == 0 else "dim"
            bar = Bar(1.0, 0.0, probability, color="cyan" if rank == 0 else "bright_black")
            table.add_row(f"  {probability:7.2%}", bar, Text(printable(label), style))
        console.print(table)

    yield write


@contextlib.contextmanager
def json_list(file: IO[str]) -> Iterator[Write]:
    """One JSON list of predictions, written as it grows."""
    with json_objects(file) as write:
        yield lambda row: write(_object(row))


@contextlib.contextmanager
def json_objects(file: IO[str]) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """One JSON list of objects, written as it grows."""
    between = "["

    def write(one: Mapping[str, object]) -> None:
        nonlocal between
        # Strings hold no line ends: these are lists of numbers, each on a line of its own so far.
        text = _NUMBERS.sub(
            lambda found: f"[{' '.join(found[1].split())}]", json_.dumps(one, indent=2)
        )
        file.write(between + "\n  " + text.replace("\n", "\n  "))
        between = ","

    yield write
    file.write("\n]\n" if between == "," else "[]\n")


def _object(row: Row) -> dict[str, object]:
    name, classes = row
    return {"image": name, "classes": [{"name": n, "probability": float(p)} for n, p in classes]}


@contextlib.contextmanager
def _json_lines(file: IO[str], columns: int) -> Iterator[Write]:
    yield lambda row: print(json_.dumps(_object(row)), file=file)


@contextlib.contextmanager
def _csv(file: IO[str], columns: int) -> Iterator[Write]:
    """image,class_1,probability_1,class_2,probability_2 ... with as many digits as they have."""
    # "\r\n", as RFC 4180 has it: then a name with either of them in it is quoted.
    writer = csv.writer(file, lineterminator="\r\n")
    places = range(1, columns + 1)
    writer.writerow(
        ["image", *(f"{what}_{n}" for n in places for what in ("class", "probability"))]
    )
    yield lambda row: writer.writerow([row[0], *(cell for n, p in row[1] for cell in (n, str(p)))])


FORMATS = {".csv": _csv, ".jsonl": _json_lines}


@contextlib.contextmanager
def saved(path: Path, columns: int) -> Iterator[Write]:
    """A file of predictions, written as they come: if the process ends early, those it has stay.

    Args:
        path: ends in one of `FORMATS`.
        columns: classes for each image.

    Raises:
        ArgumentError: see `check_save`.
    """
    check_save(path, FORMATS)
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:  # noqa: SIM117
        with FORMATS[path.suffix.lower()](file, columns) as write:
            yield write
