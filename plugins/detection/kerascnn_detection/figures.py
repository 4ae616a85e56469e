"""What `kerascnn evaluate` found of boxes: on the terminal, as a table or as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from kerascnn import tables
from kerascnn.console import Console
from kerascnn.tasks import Measure, json_objects, written
from kerascnn.words import printable
from kerascnn.writing import write_figure

Found = Mapping[str, Any]
"""What `kerascnn.Run.evaluate` returns."""

FORMATS = (".csv", ".png", ".json")
MOST_ROWS = 30  # classes; of more, the worst are shown
WORST = 10
BAR = 16  # characters of a bar that means an AP of 1

INSTALL = 'COCO\'s figures need faster-coco-eval: pip install "kerascnn-detection[coco]".'

TITLES = {
    "ap": "AP .5:.95",
    "ap50": "AP .5",
    "ap75": "AP .75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar1": "AR 1",
    "ar10": "AR 10",
    "ar100": "AR 100",
    "ar_small": "AR small",
    "ar_medium": "AR medium",
    "ar_large": "AR large",
}
"""COCO's names of `average_precision.PRECISIONS` and `average_precision.RECALLS`."""


def show(found: Found, measures: Sequence[Measure]) -> None:
    """Print the measures, a bar for the AP of each class, and COCO's figures.

    Args:
        found: see `Found`.
        measures: the task's.
    """
    console = Console(highlight=False)
    console.print(_summary(found, measures), soft_wrap=True)
    if "classes" not in found:
        return
    _show_classes(console, found["classes"])
    if (proposals := found.get("proposals")) and proposals["recall"] is not None:
        said = f"{proposals['of_an_image']:,.0f} for an image have {proposals['recall']:.2%}"
        console.print(Text(f"Proposals: {said} of the objects at IoU .5."), soft_wrap=True)
    if found["coco"] is None:
        console.print(Text(INSTALL, "dim"), soft_wrap=True)
    else:
        _show_coco(console, found["coco"])


def _summary(found: Found, measures: Sequence[Measure]) -> Text:
    split = "" if found["split"] == "all" else f" {found['split']}"
    count = f"{found['images']:,} {'image' if found['images'] == 1 else 'images'}"
    whole = "all " if found["split"] == "all" else ""
    text = Text(f"{printable(found['data'])}{split}, {whole}{count}: ")
    for number, measure in enumerate(measures):
        text.append(f"{', ' if number else ''}{measure.title} ")
        text.append(measure.written(found[measure.name]), "" if number else "bold")
    if "ap50_11" in found:
        text.append(f", VOC's 11 points {found['ap50_11']:.2%}")
    if found["loss"] is not None:
        text.append(f", loss {found['loss']:.4f}")
    return text


def _show_classes(console: Console, classes: Sequence[Mapping[str, Any]]) -> None:
    known = [one for one in classes if one["ap50"] is not None]
    few = len(classes) <= MOST_ROWS
    shown = classes if few else sorted(known, key=lambda one: (one["ap50"], one["name"]))[:WORST]
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("objects", "found", "recall", "AP75"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("AP50", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, width=BAR)
    for one in shown:
        cells = [f"{one[key]:,}" for key in ("objects", "detections")]
        cells += [_percent(one[key]) for key in ("recall", "ap75", "ap50")]
        bar = Bar(1.0, 0.0, one["ap50"] or 0.0, color="cyan")
        table.add_row(tables.Name(printable(one["name"])), *cells, bar)
    tables.show(console, table)
    if len(shown) < len(classes):
        rest = "the lowest AP50; all classes: --json, --save NAME.csv"
        console.print(Text(f"{len(shown)} of {len(classes)} classes, {rest}", "dim"))
    if difficult := sum(one["difficult"] for one in classes):
        said = f"{difficult:,} difficult objects are neither asked for nor counted as wrong."
        console.print(Text(said, "dim"), soft_wrap=True)


def _show_coco(console: Console, coco: Mapping[str, float | None]) -> None:
    """COCO's twelve figures, six in a row, each below its name."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    for _ in range(6):
        table.add_column(justify="right", no_wrap=True)
    names = list(TITLES)
    for lead, row in (("COCO", names[:6]), ("", names[6:])):
        table.add_row(Text(lead), *(Text(TITLES[name], "dim") for name in row))
        table.add_row("", *(_percent(coco[name]) for name in row))
    tables.show(console, table)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def save(found: Found, path: Path) -> None:
    """Write a row of figures for each class, the curves of precision by recall, or all boxes."""
    {".csv": _save_csv, ".png": _save_curves, ".json": _save_results}[path.suffix.lower()](
        found, path
    )


def _save_curves(found: Found, path: Path) -> None:
    from kerascnn_detection import pictures

    names = [{**one, "name": printable(one["name"])} for one in found["classes"]]
    write_figure(pictures.curves(names), path)


def _save_results(found: Found, path: Path) -> None:
    """COCO's results, which its tools and server read."""
    with written(path) as file, json_objects(file) as write:
        for one in found["results"]:
            write(one)


COLUMNS = ("objects", "difficult", "detections", "recall", "ap50", "ap75", "ap50_11")


def _save_csv(found: Found, path: Path) -> None:
    """A row for each class, empty where a figure isn't defined"""
    with written(path) as file:
        writer = csv.writer(file)
        writer.writerow(["class", *COLUMNS])
        for one in found["classes"]:
            writer.writerow(
                [one["name"], *("" if one[key] is None else one[key] for key in COLUMNS)]
            )
