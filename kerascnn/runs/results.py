"""What came out of a training: history.csv, a row for each epoch, and metrics.json, its end.

Both hold loss and the measures of the run's task, of the training images by their names, of the
others as in val_error and test_error. A measure that had no value in an epoch is missing there.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascnn.errors import ArgumentError, RunError
from kerascnn.files import read_csv, read_json, shortened
from kerascnn.tasks.measure import Measure, logged
from kerascnn.typed import require, typed, words
from kerascnn.writing import write_text

COLUMNS = ("epoch", "loss", "seconds")  # that every history has
# What training logs whatever the task; all else is the task's or a callback's.
LOGGED = (*COLUMNS, "learning_rate", "images_per_second", "input_wait", "val_loss")


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write all epochs as CSV; a cell is empty where an epoch lacks what another one has."""
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    # Without a number: a validation loss beyond the largest one, while training goes on.
    writer.writerows({k: v if math.isfinite(v) else "" for k, v in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def read_history(path: Path, measures: Sequence[Measure]) -> list[dict[str, float]]:
    """All epochs; none if the file does not exist.

    Args:
        path: the file.
        measures: the run's task's, whose shares must be shares.

    Raises:
        RunError: it is damaged: a row of another length, no number, or figures that contradict
            each other.
    """
    if not path.exists():
        return []
    names, lines = read_csv(path, error=RunError, inside=path.parent)
    if missing := [name for name in COLUMNS if name not in names]:
        raise RunError(
            f"{path} is damaged: expected the columns {', '.join(COLUMNS)} among others. "
            f"Missing: {', '.join(missing)}."
        )
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_row(dict(zip(names, line)), number, measures))
        except ValueError as error:
            raise RunError(f"{path} is damaged: line {number + 1}: {error}.") from None
    _check_images(path, rows)
    return rows


def _check_images(path: Path, rows: list[dict[str, float]]) -> None:
    """Refuse a history of which figures were exchanged: every epoch trains on the same images.

    Raises:
        RunError: one has more, or less, than the first; the last may have been ended early.
    """
    trained = [row.get("images_per_second", 0.0) * row["seconds"] for row in rows]
    first = next(filter(None, trained), 0.0)
    for epoch, images in enumerate(trained, start=1):
        same = math.isclose(images, first, rel_tol=1e-6) or not images
        if not same and not (epoch == len(trained) and images < first):
            raise RunError(
                f"{path} is damaged: line {epoch + 1}: images_per_second times seconds is "
                f"{images:.6g} images; in the first epoch it is {first:.6g}."
            )


def _row(values: dict[str, str], number: int, measures: Sequence[Measure]) -> dict[str, float]:
    """A row of the history, in numbers.

    Raises:
        ValueError: what was expected, and what was received.
    """
    if values.get("epoch") != str(number):
        raise ValueError(f"expected epoch {number}. Received: {shortened(values.get('epoch'))}")
    row: dict[str, float] = {"epoch": number}
    for name, text in values.items():
        if name == "epoch":
            continue
        if not text and name not in LOGGED:
            continue  # a measure without a value, or a callback's, in other epochs
        if not text and name != "loss" and name.endswith("loss"):
            row[name] = math.nan  # a validation loss that was no number
            continue
        plain = re.fullmatch(r"[-+.0-9eE]{1,40}", text)
        try:
            row[name] = float(text) if plain else math.nan
        except ValueError:
            row[name] = math.nan
        measure = logged(name, measures)
        share = measure is not None and measure.share
        signed = name not in LOGGED or "loss" in name
        low = -math.inf if signed and not share else 0.0
        high = 1.0 if share else math.inf
        if not math.isfinite(row[name]) or not low <= row[name] <= high:
            what = "a share from 0 to 1" if share else "a number" if signed else "0 or more"
            raise ValueError(f"{name} must be {what}. Received: {shortened(text)}")
    return row


def read_metrics(run: Path, measures: Sequence[Measure]) -> dict[str, Any]:
    """The final figures of a run directory.

    Args:
        run: the directory.
        measures: its task's, whose shares must be shares.

    Raises:
        RunError: they are damaged, or training has not come to its end.
    """
    path = run / "metrics.json"
    if not path.exists():
        raise RunError(
            f"The run {run} has no {path.name}: training has not come to its end. "
            f"Go on with `kerascnn train --resume {run}`."
        )
    found = read_json(path, error=RunError, inside=run)
    try:
        _check_metrics(found, measures)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {str(error).rstrip('.')}.") from None
    return found


def _check_metrics(values: Any, measures: Sequence[Measure]) -> None:
    """Refuse what can't be a run's metrics: figures are numbers, shares at most 1, counts whole.

    Raises:
        ValueError: what was expected, and what was received.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"expected a table. Received: {type(values).__name__}.")
    kinds = {"epochs": int, "trainable_params": int, "train_seconds": float, "interrupted": bool}
    for name, value in values.items():
        hint: Any = kinds.get(name)
        measure = logged(name, measures)
        if measure or re.search(r"(^|_)loss$", name):
            hint = float | None  # a loss that was no number
        if hint is None:
            continue
        try:
            number = typed(hint, value)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{name} must be {words(hint)}. Received: {shortened(value)}."
            ) from None
        if number is None:
            continue
        share = measure is not None and measure.share
        require(not share or 0 <= number <= 1, name, "from 0 to 1", value)
        require(hint not in (int, float) or number >= 0, name, "0 or more", value)
