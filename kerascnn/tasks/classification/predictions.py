"""Where class probabilities go: to the terminal with bars, to JSON, JSON lines or CSV, one by one.

A path whose bytes are no UTF-8 keeps them: a CSV file has the same bytes, JSON has \\udce9 for the
byte 0xe9, as Python's names do, so that `os.fsencode` gives the file's name back.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from kerascnn.console import Console
from kerascnn.tasks.prediction import Prediction, Write, Writers
from kerascnn.tasks.writing import json_lines, json_list, written
from kerascnn.words import printable
from kerascnn.writing import check_save

BAR = 24  # characters of a bar that means certainty
TOP = 3  # classes of each image, unless told otherwise
FORMATS = (".csv", ".jsonl")

Row = tuple[str, Sequence[tuple[str, float]]]
"""A file's name and its classes with their probabilities, the likeliest first."""

WriteRow = Callable[[Row], None]


def writers(names: Sequence[str], top: int = TOP) -> Writers:
    """For predictions whose answers are class probabilities `[classes]`.

    Args:
        names: one for each class.
        top: how many classes of each image.
    """

    def row_of(prediction: Prediction) -> Row:
        return prediction.path, likeliest(prediction.answer, names, top)

    def as_object(prediction: Prediction) -> dict[str, object]:
        name, classes = row_of(prediction)
        shown = [{"name": n, "probability": float(p)} for n, p in classes]
        return {"image": name, "classes": shown}

    @contextlib.contextmanager
    def terminal(console: Console) -> Iterator[Write]:
        with bars(console) as write:
            yield lambda prediction: write(row_of(prediction))

    @contextlib.contextmanager
    def saved(path: Path) -> Iterator[Write]:
        if path.suffix.lower() == ".jsonl":
            with json_lines(path, as_object) as write:
                yield write
            return
        with _csv(path, min(top, len(names))) as write_row:
            yield lambda prediction: write_row(row_of(prediction))

    return Writers(
        terminal=terminal,
        json=lambda file: json_list(file, as_object),
        saved=saved,
        check=lambda path: check_save(path, FORMATS),
    )


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
def bars(console: Console) -> Iterator[WriteRow]:
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
def _csv(path: Path, columns: int) -> Iterator[WriteRow]:
    """image,class_1,probability_1,class_2,probability_2 ... with as many digits as they have."""
    with written(path) as file:
        # "\r\n", as RFC 4180 has it: then a name with either of them in it is quoted.
        writer = csv.writer(file, lineterminator="\r\n")
        places = range(1, columns + 1)
        writer.writerow(
            ["image", *(f"{what}_{n}" for n in places for what in ("class", "probability"))]
        )
        yield lambda row: writer.writerow(
            [row[0], *(cell for n, p in row[1] for cell in (n, str(p)))]
        )
