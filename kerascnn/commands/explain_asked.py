"""What `kerascnn explain` is asked, whatever it explains, and where its pictures go."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kerascnn.commands.trained import Trained
from kerascnn.console import Console, sayer
from kerascnn.errors import ArgumentError
from kerascnn.tasks.writing import json_objects
from kerascnn.words import printable
from kerascnn.writing import PICTURES, Names, check_save, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Place:
    """Where pictures go.

    Attributes:
        path: a folder, or the file of the only picture.
        is_file: which of them.
        names: of pictures in the folder, so that photos of one name don't overwrite another.
    """

    path: Path
    is_file: bool = False
    names: Names = field(default_factory=Names)

    @classmethod
    def of(cls, save: Path | None) -> Place | None:
        """What --save says; None: nothing.

        Raises:
            ArgumentError: see `check_save`.
        """
        if save is None:
            return None
        if save.is_dir() or not (save.suffix or save.exists()):
            return cls(save)
        folder = "a folder, whose name has no dot if it is new, or a file"
        check_save(save, PICTURES, folder)
        return cls(save, is_file=True)

    @classmethod
    def within(cls, home: Path, name: str) -> Place:
        """A folder of a run, or of the folder here.

        Raises:
            ArgumentError: what is called so is no folder, or a link: a stranger's run could have
                pictures written anywhere.
        """
        path = home / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            what = "a link" if path.is_symlink() else "a file"
            raise ArgumentError(
                f"{path}, where the pictures go, must be a folder. Name another one with --save. "
                f"Received: {what}."
            )
        return cls(path)

    def next(self, name: str) -> Path:
        """The file for a picture called so; its folder is made."""
        if self.is_file:
            return self.path
        return self.folder() / f"{self.names.fresh(name)}.png"

    def folder(self) -> Path:
        """Where the pictures are; it is made."""
        if self.is_file:
            return self.path.parent
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of every way to explain a network.

    Attributes:
        subject: the network.
        layers: endpoints or layers; (): the way's own.
        place: where pictures go; None: none is drawn.
        json: whether numbers are printed.
    """

    subject: Trained
    layers: tuple[str, ...]
    place: Place | None
    json: bool

    def say(self, line: str) -> None:
        """Print a line for people."""
        sayer(Console(stderr=self.json))(printable(line))

    @contextlib.contextmanager
    def numbers(self) -> Iterator[Callable[[Mapping[str, object]], None]]:
        """Prints one JSON list of what it is called with, if that is asked for."""
        if not self.json:
            yield lambda one: None
            return
        with json_objects(sys.stdout) as write:
            yield write

    def draw(self, name: str, figure: Callable[[], Figure]) -> dict[str, str]:
        """Write a picture, if any is to be drawn.

        Args:
            name: of the file in its folder, without the ending.
            figure: makes it.

        Returns:
            Its path under "picture", if there is one.
        """
        if self.place is None:
            return {}
        path = self.place.next(name)
        write_figure(figure(), path)
        return {"picture": str(path)}
