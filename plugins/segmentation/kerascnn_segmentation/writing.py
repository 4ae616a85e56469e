"""Where masks go: areas to the terminal and to JSON, masks and pictures to a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from kerascnn.console import Console
from kerascnn.errors import ArgumentError
from kerascnn.overlays import BACKGROUND, coloured, palette, whole_palette
from kerascnn.tasks import Prediction, Writers, json_lines, json_list
from kerascnn.words import printable
from kerascnn.writing import Names, check_save, replacing, write_figure

BAR = 24  # characters of a bar that means the whole image
TOP = 10  # classes of each image on the terminal, unless told otherwise
LINES = ".jsonl"
LONGEST = 200  # bytes of a file's name
PARTS = MASKS, COLOURS, OVERLAYS = "masks", "colours", "overlays"
"""The folders in the one that is written to."""


Write = Callable[[Prediction], None]


@dataclass(frozen=True)
class Outlined:
    """What a network sees in a photo.

    Attributes:
        mask: uint8 `[height, width]`, the class of each pixel.
        photo: uint8 `[height, width, 1 or 3]`.
    """

    mask: np.ndarray
    photo: np.ndarray


def writers(class_names: tuple[str, ...], top: int = TOP) -> Writers:
    """For predictions whose answers are `Outlined`.

    Args:
        class_names: of the classes.
        top: classes of each image on the terminal.
    """

    def object_of(prediction: Prediction) -> dict[str, Any]:
        return as_object(prediction.path, prediction.answer, class_names)

    @contextlib.contextmanager
    def terminal(console: Console) -> Iterator[Write]:
        yield lambda found: show(console, found.path, found.answer, class_names, top)

    @contextlib.contextmanager
    def saved(path: Path) -> Iterator[Write]:
        if path.suffix.lower() == LINES:
            with json_lines(path, object_of) as write:
                yield write
            return
        folder = Folder(path, class_names)
        yield lambda found: folder.write(found.path, found.answer)

    return Writers(
        terminal=terminal,
        json=lambda file: json_list(file, object_of),
        saved=saved,
        check=check,
    )


def check(path: Path) -> None:
    """Refuse what predictions can't be saved to, before anything is computed.

    Raises:
        ArgumentError: it is neither a folder that can be made, nor NAME.jsonl.
    """
    if path.suffix.lower() == LINES:
        check_save(path, (LINES,))
    else:
        check_folder(path)


def areas(mask: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """`{"name", "pixels", "share"}` of the classes in a mask, the largest first."""
    pixels = np.bincount(mask.ravel(), minlength=len(class_names))
    largest = np.argsort(-pixels, kind="stable")
    return [
        {
            "name": class_names[label],
            "pixels": int(pixels[label]),
            "share": float(pixels[label] / mask.size),
        }
        for label in largest
        if pixels[label]
    ]


def as_object(path: str, answer: Outlined, class_names: Sequence[str]) -> dict[str, Any]:
    """What JSON has of an image."""
    height, width = answer.mask.shape
    found = areas(answer.mask, class_names)
    return {"image": path, "height": height, "width": width, "classes": found}


def show(
    console: Console, path: str, answer: Outlined, class_names: Sequence[str], top: int
) -> None:
    """Print an image's name and its largest classes, with a bar for the area of each.

    Args:
        console: where to.
        path: the image's.
        answer: what was found.
        class_names: of the classes.
        top: so many classes at most.
    """
    height, width = answer.mask.shape
    title = Text(printable(path), "bold").append(f"  {height}×{width}", "dim")
    console.print(title, soft_wrap=True)
    colours = dict(zip(class_names, palette(class_names).tolist()))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=BAR)
    table.add_column(overflow="fold")
    found = areas(answer.mask, class_names)
    for one in found[:top]:
        red, green, blue = colours[one["name"]]
        plain = one["name"] == BACKGROUND
        color = "bright_black" if plain else f"rgb({red},{green},{blue})"
        bar = Bar(1.0, 0.0, one["share"], color=color)
        name = Text(printable(one["name"]), "dim" if plain else "")
        table.add_row(f"  {one['share']:7.2%}", bar, name)
    console.print(table)
    if len(found) > top:
        console.print(Text(f"  and {len(found) - top} more", "dim"))


def check_folder(path: Path) -> None:
    """Refuse a folder that masks can't be written to, before anything is computed.

    Raises:
        ArgumentError: it looks like a file, can't be made, or has masks already: those of an
            earlier prediction, or those that somebody drew, as a source `masks:PATH` has them.
    """
    if path.exists() and not path.is_dir():
        raise ArgumentError(
            f"--save must be a folder, for masks, or NAME.jsonl, for areas. Received: {path}, "
            "which is a file."
        )
    if path.suffix and not path.exists():
        raise ArgumentError(
            "--save must be a folder, for masks, or NAME.jsonl, for areas; a folder that isn't "
            f"there yet has no dot in its name. Received: {path}."
        )
    home = path if path.exists() else path.parent
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise ArgumentError(f"--save must be where you can write. Received: {path}.")
    for part in (path / name for name in PARTS):
        empty = part.is_dir() and not any(part.iterdir())
        if os.path.lexists(part) and not empty:
            raise ArgumentError(
                "--save must be a folder without masks, as none is replaced. Choose another, or "
                f"remove what is there. Received: {path}, in which there is {part.name}."
            )


class Folder:
    """A folder that is filled with what was found in images: masks, colours and overlays.

    In `masks` are PNG files whose pixels are the numbers of classes, with a palette, so that
    programs show them in the classes' colours; `colours` has these as RGB, and `overlays` the
    photos under them, with a legend. A file is called after its photo; of photos of one name, in
    whatever case, the second ends in -2, and so on.

    Args:
        path: of the folder.
        class_names: of the classes.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self._path, self._class_names = path, class_names
        self._colours = palette(class_names)
        self._names = Names()
        for part in PARTS:
            (path / part).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, answer: Outlined) -> None:
        """Write the three files of an image, each as a whole or not at all."""
        from kerascnn_segmentation import pictures  # TensorFlow, after the cheap refusals

        stem = os.path.splitext(os.path.basename(path))[0]
        name = f"{self._names.fresh(os.fsdecode(os.fsencode(stem)[:LONGEST]))}.png"
        indices = Image.fromarray(answer.mask)
        indices.putpalette(whole_palette(self._colours).tobytes())
        with replacing(self._path / MASKS / name) as partial:
            indices.save(partial)
        with replacing(self._path / COLOURS / name) as partial:
            Image.fromarray(coloured(answer.mask, self._colours)).save(partial)
        title = printable(os.path.basename(path))
        figure = pictures.found_in(answer.photo, answer.mask, self._class_names, title)
        write_figure(figure, self._path / OVERLAYS / name)
