"""Predictions to the terminal, to JSON and to files, whatever an answer is."""

from __future__ import annotations

import contextlib
import json as json_
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from kerascnn.console import Console
from kerascnn.tasks.prediction import Prediction, Write, Writers
from kerascnn.words import printable
from kerascnn.writing import check_save

JSON_LINES = (".jsonl",)
_NUMBERS = re.compile(r"\[\n\s+([-+.\d][-+.\de,\s]*?)\s+\]")

AsObject = Callable[[Prediction], Mapping[str, object]]
"""From a prediction to what JSON can hold."""


def plain_writers(said: Callable[[Any], str]) -> Writers:
    """A line for each image; in JSON an object with its name and the same words.

    Args:
        said: an answer in a few words.
    """

    def as_object(prediction: Prediction) -> Mapping[str, object]:
        return {"image": prediction.path, "answer": said(prediction.answer)}

    @contextlib.contextmanager
    def terminal(console: Console) -> Iterator[Write]:
        def write(prediction: Prediction) -> None:
            line = f"{printable(prediction.path)}: {printable(said(prediction.answer))}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield write

    return Writers(
        terminal=terminal,
        json=lambda file: json_list(file, as_object),
        saved=lambda path: json_lines(path, as_object),
        check=lambda path: check_save(path, JSON_LINES),
    )


@contextlib.contextmanager
def json_list(file: IO[str], as_object: AsObject) -> Iterator[Write]:
    """One JSON list of predictions, written as it grows."""
    with json_objects(file) as write:
        yield lambda prediction: write(as_object(prediction))


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


@contextlib.contextmanager
def json_lines(path: Path, as_object: AsObject) -> Iterator[Write]:
    """A file with an object on each line: if the process ends early, those it has stay."""
    with written(path) as file:
        yield lambda prediction: print(json_.dumps(as_object(prediction)), file=file)


@contextlib.contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """A file to write names of files to, of which some are no UTF-8."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file
