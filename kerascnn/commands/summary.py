"""What a command that looks at image files says at its end: changes, and files that are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.text import Text

from kerascnn.console import Console, print_error
from kerascnn.errors import DataError
from kerascnn.words import LISTED, counted, printable


@dataclass
class Summary:
    """What there is to say beside the results: on stderr, each thing once.

    Attributes:
        console: where to.
        images: how many files were looked at.
        changes: a phrase → how many images were changed so.
        bad: how many files can't be read.
        first: names of the first of them.
    """

    console: Console
    images: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    first: list[str] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many files could be read."""
        return self.images - self.bad

    def add(self, path: str, changes: Iterable[str], error: str) -> None:
        """Count one; what is wrong with it is said at once.

        Args:
            path: the file.
            changes: what was changed to fit the network, a phrase each.
            error: why it can't be read; "": it can.
        """
        self.images += 1
        self.changes.update(changes)
        if error:
            self.bad += 1
            if len(self.first) < LISTED:
                self.first.append(printable(path))
            print_error("Warning", printable(error), style="yellow")

    def end(self, passed_over: int, done: Iterable[str], none: str) -> None:
        """Say what was changed, left out and done.

        Args:
            passed_over: how many files in folders are no images, by their names.
            done: lines to end with.
            none: what to say if there was no file at all.

        Raises:
            DataError: a file could not be read, or there was none.
        """
        notes = [
            f"{counted(count, 'image is', 'images are')} {change}."
            for change, count in self.changes.most_common()
        ]
        if passed_over:
            what = "file in the folders is no image", "files in the folders are no images"
            notes.append(f"{counted(passed_over, *what)}, by the endings of the names.")
        for note in (*notes, *done):
            self.console.print(Text(note, "dim"), soft_wrap=True)
        if self.bad:
            more = f" and {self.bad - len(self.first):,} more" if self.bad > len(self.first) else ""
            raise DataError(
                f"{self.bad:,} of {counted(self.images, 'image', 'images')} could not be read: "
                f"{', '.join(self.first)}{more}."
            )
        if not self.images:
            raise DataError(none)
