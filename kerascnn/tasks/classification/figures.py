"""What `kerascnn evaluate` found: on the terminal, as JSON, as a table or a picture."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from kerascnn import tables
from kerascnn.console import Console
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Protocol
from kerascnn.words import printable
from kerascnn.writing import check_save

Found = Mapping[str, Any]
"""What `kerascnn.Run.evaluate` returns."""

FIGURES = ("precision", "recall", "f1")
MOST_ROWS = 30  # classes; of more, the worst are shown
WORST = 10
MISTAKES = 5
DIFFERENT = 1e-6  # relative: between two ways to sum up the same loss
FORMATS = (".csv", ".png")


def show(found: Found, how: str) -> None:
    """Print the summary, the classes and the most frequent mistakes.

    Args:
        found: see `Found`.
        how: the protocol, in words.
    """
    console = Console(emoji=False, highlight=False)
    console.print(_summary(found, how), soft_wrap=True)
    classes = found["classes"]
    known = [one for one in classes if one["support"]]
    shown = classes if len(classes) <= MOST_ROWS else sorted(known, key=_by_f1)[:WORST]
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("images", "predicted", "precision", "recall", "F1"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in shown:
        cells = [f"{one[key]:,}" for key in ("support", "predicted")]
        cells += ["–" if one[key] is None else f"{one[key]:.2%}" for key in FIGURES]
        table.add_row(tables.Name(printable(one["name"])), *cells)
    tables.show(console, table)
    if len(shown) < len(classes):
        rest = "the lowest F1; all classes: --json, --save NAME.csv"
        console.print(Text(f"{len(shown)} of {len(classes)} classes, {rest}", "dim"))
    if mistakes := _mistakes(found):
        console.print(Text(f"Most often mistaken: {'; '.join(mistakes)}."), soft_wrap=True)


def described(protocol: Mapping[str, Any], side: int) -> str:
    """A protocol in words; nothing for the middle of each image, as during training.

    Args:
        protocol: as `kerascnn.Run.evaluate` returns it.
        side: of the network's input, in pixels.
    """
    if protocol == asdict(Protocol()) | {"resize": []}:
        return ""
    scales = " and ".join(str(round(side * length)) for length in protocol["resize"])
    mirrored = "mirrored" if protocol["flip"] else ""
    parts = [protocol["views"], f"at {scales}" if scales else "", mirrored]
    return f", {', '.join(part for part in parts if part)}"


def _summary(found: Found, how: str) -> Text:
    split = "" if found["split"] == "all" else f" {found['split']}"
    count = f"{found['images']:,} {'image' if found['images'] == 1 else 'images'}"
    whole = "all " if found["split"] == "all" else ""
    text = Text(f"{printable(found['data'])}{split}, {whole}{count}{how}: error ")
    text.append(f"{found['error']:.2%}", "bold")
    for key, value in found.items():
        if number := re.fullmatch(r"top(\d+)_error", key):
            text.append(f", top-{number[1]} error ").append(f"{value:.2%}", "bold")
    text.append(f", loss {found['loss']:.4f}")
    plain = found["cross_entropy"]
    if abs(found["loss"] - plain) > DIFFERENT * abs(plain):
        text.append(f", plain cross-entropy {plain:.4f}")
    return text


def _by_f1(one: Mapping[str, Any]) -> tuple[float, str]:
    return one["f1"], one["name"]


def _mistakes(found: Found) -> list[str]:
    """Pairs of classes; none without a confusion matrix."""
    if found["confusion"] is None:
        return []
    matrix = np.array(found["confusion"])
    np.fill_diagonal(matrix, 0)
    names = [printable(one["name"]) for one in found["classes"]]
    most = np.argsort(-matrix, axis=None, kind="stable")[:MISTAKES]
    pairs = [divmod(int(place), len(names)) for place in most]
    return [f"{names[i]} for {names[j]} {matrix[i, j]:,}×" for i, j in pairs if matrix[i, j]]


def save(found: Found, path: Path) -> None:
    """Write the classes' figures and the confusion matrix, or the picture of it.

    Raises:
        ArgumentError: see `check_save`; or there is no confusion matrix to draw.
    """
    check_save(path, FORMATS)
    if path.suffix.lower() == ".csv":
        _save_csv(found, path)
        return
    if found["confusion"] is None:
        raise ArgumentError(
            f"--save {path}: a picture of {len(found['classes']):,} classes can't be read. "
            "Save NAME.csv, which has the figures of each class."
        )
    from kerascnn import pictures

    names = [printable(one["name"]) for one in found["classes"]]
    pictures.confusion(np.array(found["confusion"]), names).savefig(path)


def _save_csv(found: Found, path: Path) -> None:
    """A row for each class: its figures, empty where they aren't defined, then its predictions."""
    classes, matrix = found["classes"], found["confusion"]
    columns = [f"predicted {one['name']}" for one in classes] if matrix else []
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "support", "predicted", *FIGURES, *columns])
        for number, one in enumerate(classes):
            figures = ["" if one[key] is None else one[key] for key in FIGURES]
            counts = matrix[number] if matrix else []
            writer.writerow([one["name"], one["support"], one["predicted"], *figures, *counts])
