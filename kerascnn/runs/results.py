"""What came out of a training: history.csv, a row for each epoch, and metrics.json, its end."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerascnn.errors import ArgumentError, RunError
from kerascnn.files import read_csv, read_json, shortened
from kerascnn.typed import require, typed, words
from kerascnn.writing import write_text

COLUMNS = ("epoch", "loss", "error", "seconds")  # that every history has
# What training itself logs; all else is a callback's.
LOGGED = (*COLUMNS, "learning_rate", "images_per_second", "input_wait", "val_loss", "val_error")


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write all epochs as CSV; a cell is empty where an epoch lacks what another one has."""
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    # Without a number: a validation loss beyond the largest one, while training goes on.
    writer.writerows({k: v if math.isfinite(v) else "" for k, v in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def read_history(path: Path) -> list[dict[str, float]]:
    """All epochs; none if the file does not exist.

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
            rows.append(_row(dict(zip(names, line)), number))
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


def _row(values: dict[str, str], number: int) -> dict[str, float]:
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
            continue  # a callback's, in other epochs
        if not text and name != "loss" and name.endswith("loss"):
            row[name] = math.nan  # a validation loss that was no number
            continue
        plain = re.fullmatch(r"[-+.0-9eE]{1,40}", text)
        try:
            row[name] = float(text) if plain else math.nan
        except ValueError:
            row[name] = math.nan
        share = name in LOGGED and name.endswith("error")
        signed = name not in LOGGED or "loss" in name
        low, high = -math.inf if signed else 0.0, 1.0 if share else math.inf
        if not math.isfinite(row[name]) or not low <= row[name] <= high:
            what = "a share from 0 to 1" if share else "a number" if signed else "0 or more"
            raise ValueError(f"{name} must be {what}. Received: {shortened(text)}")
    return row


def read_metrics(run: Path) -> dict[str, Any]:
    """The final figures of a run directory.

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
        _check_metrics(found)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {str(error).rstrip('.')}.") from None
    return found


def _check_metrics(values: Any) -> None:
    """Refuse what can't be a run's metrics: errors are shares, figures numbers, counts whole.

    Raises:
        ValueError: what was expected, and what was received.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"expected a table. Received: {type(values).__name__}.")
    kinds = {"epochs": int, "trainable_params": int, "train_seconds": float, "interrupted": bool}
    for name, value in values.items():
        hint: Any = kinds.get(name)
        if hint is None and re.search(r"(^|_)(loss|error)$", name):
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
        require(not name.endswith("error") or 0 <= number <= 1, name, "from 0 to 1", value)
        require(hint not in (int, float) or number >= 0, name, "0 or more", value)
