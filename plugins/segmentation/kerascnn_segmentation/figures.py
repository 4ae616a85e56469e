"""What `kerascnn evaluate` found of masks: on the terminal, as JSON, as a table or a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from kerascnn import tables
from kerascnn.console import Console
from kerascnn.tasks import Measure
from kerascnn.words import printable
from kerascnn.writing import write_figure

Found = Mapping[str, Any]
"""What `kerascnn.Run.evaluate` returns."""

FORMATS = (".csv", ".png")
FIGURES = ("iou", "accuracy")
MOST_ROWS = 30  # classes; of more, the worst are shown
WORST = 10
MISTAKES = 5


def show(found: Found, measures: Sequence[Measure]) -> None:
    """Print the measures, the classes and what is most often taken for something else.

    Args:
        found: see `Found`.
        measures: the task's.
    """
    console = Console(highlight=False)
    console.print(_summary(found, measures), soft_wrap=True)
    classes = found["classes"]
    known = [one for one in classes if one["iou"] is not None]
    shown = classes if len(classes) <= MOST_ROWS else sorted(known, key=_by_iou)[:WORST]
    pixels = sum(one["pixels"] for one in classes)
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("pixels", "predicted", "IoU", "accuracy"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in shown:
        cells = [f"{one[key] / max(1, pixels):.2%}" for key in ("pixels", "predicted")]
        cells += ["–" if one[key] is None else f"{one[key]:.2%}" for key in FIGURES]
        table.add_row(tables.Name(printable(one["name"])), *cells)
    tables.show(console, table)
    if len(shown) < len(classes):
        rest = "the lowest IoU; all classes: --json, --save NAME.csv"
        console.print(Text(f"{len(shown)} of {len(classes)} classes, {rest}", "dim"))
    if mistakes := _mistakes(found):
        console.print(Text(f"Most often mistaken: {'; '.join(mistakes)}."), soft_wrap=True)


def _summary(found: Found, measures: Sequence[Measure]) -> Text:
    split = "" if found["split"] == "all" else f" {found['split']}"
    count = f"{found['images']:,} {'image' if found['images'] == 1 else 'images'}"
    whole = "all " if found["split"] == "all" else ""
    text = Text(f"{printable(found['data'])}{split}, {whole}{count}: ")
    for number, measure in enumerate(measures):
        title = measure.title[0].lower() + measure.title[1:]
        text.append(f"{', ' if number else ''}{title} ")
        text.append(measure.written(found[measure.name]), "" if number else "bold")
    if found["loss"] is not None:
        text.append(f", loss {found['loss']:.4f}")
    return text


def _by_iou(one: Mapping[str, Any]) -> tuple[float, str]:
    return one["iou"], one["name"]


def _mistakes(found: Found) -> list[str]:
    """Pairs of classes, with the share of the first one's pixels."""
    matrix = np.array(found["confusion"], "float64")
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    np.fill_diagonal(matrix, 0)
    names = [printable(one["name"]) for one in found["classes"]]
    most = np.argsort(-matrix, axis=None, kind="stable")[:MISTAKES]
    pairs = [divmod(int(place), len(names)) for place in most]
    return [f"{names[i]} for {names[j]} {shares[i, j]:.1%}" for i, j in pairs if matrix[i, j]]


def save(found: Found, path: Path) -> None:
    """Write the figures and the confusion matrix of the classes, or a bar for each one's IoU."""
    if path.suffix.lower() == ".csv":
        _save_csv(found, path)
        return
    from kerascnn_segmentation import pictures

    names = [printable(one["name"]) for one in found["classes"]]
    write_figure(pictures.overlaps(np.array(found["confusion"]), names), path)


def _save_csv(found: Found, path: Path) -> None:
    """A row for each class: its figures, empty where they aren't defined, then its predictions."""
    classes, matrix = found["classes"], found["confusion"]
    columns = [f"predicted {one['name']}" for one in classes]
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "pixels", "predicted", *FIGURES, *columns])
        for number, one in enumerate(classes):
            figures = ["" if one[key] is None else one[key] for key in FIGURES]
            writer.writerow(
                [one["name"], one["pixels"], one["predicted"], *figures, *matrix[number]]
            )
