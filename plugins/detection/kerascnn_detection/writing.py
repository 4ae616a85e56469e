"""Where detections go: a table to the terminal, COCO's results to JSON, pictures to a folder."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from kerascnn import tables
from kerascnn.console import Console
from kerascnn.errors import ArgumentError
from kerascnn.overlays import palette
from kerascnn.tasks import Prediction, Writers, json_lines, json_objects, written
from kerascnn.words import printable
from kerascnn.writing import Names, check_save, write_figure

BAR = 16  # characters of a bar that means a score of 1
LEAST_SCORE = 0.3  # on the terminal and in pictures, unless told otherwise
TOP = 10  # boxes of each image on the terminal, unless told otherwise
FORMATS = COCO, LINES, TABLE = ".json", ".jsonl", ".csv"
LONGEST = 200  # bytes of a file's name

Write = Callable[[Prediction], None]


@dataclass(frozen=True)
class Detected:
    """What a network finds in a photo.

    Attributes:
        rows: float32 `[n, 6]`: x1, y1, x2, y2 in pixels of the photo, label, score; the best first.
        photo: uint8 `[height, width, 1 or 3]`.
    """

    rows: np.ndarray
    photo: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the photo."""
        height, width = self.photo.shape[:2]
        return height, width


def writers(
    class_names: tuple[str, ...], *, least_score: float | None = None, top: int | None = None
) -> Writers:
    """For predictions whose answers are `Detected`, with no more rows than are asked for.

    What programs read, JSON and tables, has all of these rows.

    Args:
        class_names: of the classes.
        least_score: of boxes on the terminal and in pictures; default: `LEAST_SCORE`.
        top: so many boxes of each image on the terminal; default: `TOP`.
    """
    least = LEAST_SCORE if least_score is None else least_score
    most = TOP if top is None else top

    @contextlib.contextmanager
    def terminal(console: Console) -> Iterator[Write]:
        yield lambda found: show(console, found, class_names, least, most)

    @contextlib.contextmanager
    def results(file: Any) -> Iterator[Write]:
        with json_objects(file) as write:

            def each(found: Prediction) -> None:
                for one in as_results(found.answer.rows, found.path, class_names):
                    write(one)

            yield each

    @contextlib.contextmanager
    def saved(path: Path) -> Iterator[Write]:
        ending = path.suffix.lower()
        if ending == COCO:
            with written(path) as file, results(file) as write:
                yield write
        elif ending == LINES:
            with json_lines(path, lambda found: as_object(found, class_names)) as write:
                yield write
        elif ending == TABLE:
            with _csv(path, class_names) as write:
                yield write
        else:
            folder = Folder(path, class_names, least)
            yield folder.write

    return Writers(terminal=terminal, json=results, saved=saved, check=check)


def as_results(
    rows: np.ndarray,
    image: str | int,
    class_names: Sequence[str],
    numbers: Mapping[int, int] | None = None,
) -> list[dict[str, Any]]:
    """The boxes of an image in COCO's results format, the best first.

    "bbox" is x, y, width and height; "category", the class's name, is added.

    Args:
        rows: float32 `[n, 6]`.
        image: "image_id": the number that annotations have for it, or its file's name.
        class_names: of the classes.
        numbers: of a label "category_id", the number that annotations have for it, and null of a
            class that they don't know; default: the label, from 0.
    """
    return [{"image_id": image, **one} for one in _boxes(rows, class_names, numbers)]


def as_object(found: Prediction, class_names: Sequence[str]) -> dict[str, Any]:
    """An image with its boxes, also one without any."""
    height, width = found.answer.size
    boxes = _boxes(found.answer.rows, class_names)
    return {"image": found.path, "height": height, "width": width, "objects": boxes}


def _boxes(
    rows: np.ndarray, class_names: Sequence[str], numbers: Mapping[int, int] | None = None
) -> list[dict[str, Any]]:
    return [
        {
            "category_id": int(label) if numbers is None else numbers.get(int(label)),
            "category": class_names[int(label)],
            "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
            "score": score,
        }
        for x1, y1, x2, y2, label, score in rows.tolist()
    ]


@contextlib.contextmanager
def _csv(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    """A row for each box: image,class,score,x1,y1,x2,y2."""
    with written(path) as file:
        writer = csv.writer(file, lineterminator="\r\n")  # as RFC 4180 has it
        writer.writerow(["image", "class", "score", "x1", "y1", "x2", "y2"])

        def write(found: Prediction) -> None:
            for *corners, label, score in found.answer.rows.tolist():
                rounded = [round(edge, 2) for edge in corners]
                writer.writerow([found.path, class_names[int(label)], score, *rounded])

        yield write


def show(
    console: Console,
    found: Prediction,
    class_names: Sequence[str],
    least_score: float,
    top: int,
) -> None:
    """Print an image's name and its best boxes, with a bar for the score of each.

    Args:
        console: where to.
        found: what was found in the image.
        class_names: of the classes.
        least_score: of the boxes that are shown.
        top: so many at most.
    """
    rows, (height, width) = found.answer.rows, found.answer.size
    title = Text(printable(found.path), "bold").append(f"  {height}×{width}", "dim")
    console.print(title, soft_wrap=True)
    sure = rows[rows[:, 5] >= least_score]
    colours = palette(class_names).tolist()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=BAR)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    for x1, y1, x2, y2, label, score in sure[:top].tolist():
        red, green, blue = colours[int(label)]
        bar = Bar(1.0, 0.0, min(max(score, 0.0), 1.0), color=f"rgb({red},{green},{blue})")
        name = tables.Name(printable(class_names[int(label)]))
        place = Text(f"x {x1:.0f}–{x2:.0f}, y {y1:.0f}–{y2:.0f}", "dim")
        table.add_row(f"  {score:5.3f}", bar, name, place)
    if len(sure):
        tables.show(console, table)
    rest = [f"{len(sure) - top} more"] if len(sure) > top else []
    if unsure := len(rows) - len(sure):
        rest.append(f"{unsure} with scores below {least_score:g}")
    if rest or not len(sure):
        lead = "and " if len(sure) else "nothing" + (", but " if rest else "")
        console.print(Text(f"  {lead}{', '.join(rest)}", "dim"))


def check(path: Path) -> None:
    """Refuse what predictions can't be saved to, before anything is computed.

    Raises:
        ArgumentError: it is neither a file of `FORMATS` nor a folder that is empty or can be made.
    """
    if path.suffix.lower() in FORMATS:
        check_save(path, FORMATS)
        return
    what = f"a folder, for pictures, or NAME{', NAME'.join(FORMATS[:-1])} or NAME{TABLE}"
    if path.exists() and not path.is_dir():
        raise ArgumentError(f"--save must be {what}. Received: {path}, which is a file.")
    if path.suffix and not path.exists():
        raise ArgumentError(
            f"--save must be {what}; a folder that isn't there yet has no dot in its name. "
            f"Received: {path}."
        )
    home = path if path.exists() else path.parent
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise ArgumentError(f"--save must be where you can write. Received: {path}.")
    if path.exists() and any(path.iterdir()):
        raise ArgumentError(
            "--save must be a folder that is empty or isn't there yet, as nothing is replaced. "
            f"Choose another. Received: {path}, in which there is {next(path.iterdir()).name}."
        )


class Folder:
    """A folder that is filled with photos on which boxes are drawn, PNG files.

    A file is called after its photo; of photos of one name, in whatever case, the second ends in
    -2, and so on.

    Args:
        path: of the folder.
        class_names: of the classes.
        least_score: of the boxes that are drawn.
    """

    def __init__(self, path: Path, class_names: Sequence[str], least_score: float) -> None:
        self._path, self._class_names, self._least = path, class_names, least_score
        self._names = Names()
        path.mkdir(parents=True, exist_ok=True)

    def write(self, found: Prediction) -> None:
        """Write the picture of an image, as a whole or not at all."""
        from kerascnn_detection import pictures  # Matplotlib, after the cheap refusals

        stem = os.path.splitext(os.path.basename(found.path))[0]
        name = f"{self._names.fresh(os.fsdecode(os.fsencode(stem)[:LONGEST]))}.png"
        rows = found.answer.rows
        figure = pictures.found_in(
            found.answer.photo,
            rows[rows[:, 5] >= self._least],
            self._class_names,
            printable(os.path.basename(found.path)),
        )
        write_figure(figure, self._path / name)
