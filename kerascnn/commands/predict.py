"""`kerascnn predict`: what a trained run sees in image files."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from kerascnn.console import Console, print_error
from kerascnn.errors import DataError
from kerascnn.words import LISTED, counted, printable

if TYPE_CHECKING:
    from kerascnn.runs.prediction import Prediction


def predict(
    run: Path = typer.Argument(help="A run directory."),
    images: list[str] = typer.Argument(
        help="Image files; folders, for the images in them in any depth; patterns in quotes such "
        "as 'photos/**/*.jpg'; or - for names on standard input, one on a line."
    ),
    top: int = typer.Option(3, min=1, help="Classes to show for each image."),
    save: Path | None = typer.Option(
        None, help="Write to this file instead, NAME.csv or NAME.jsonl; for any number of images."
    ),
    null: bool = typer.Option(
        False, "--null", "-0", help="Names on standard input end with NUL, as from find -print0."
    ),
    batch_size: int = typer.Option(32, min=1, help="Images in one step."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Predict the classes of images: the most likely ones, with a bar for each.

    Results come in the order of the images. A file that can't be read is named and left out, the
    others are done, and the exit status is 1.
    """
    from kerascnn.commands import predictions
    from kerascnn.runs.files import Files
    from kerascnn.runs.run import Run

    opened = Run.open(run)
    names = opened.config.named_classes
    if save:
        predictions.check_format(save)

    from kerascnn.runs.prediction import predict_files  # TensorFlow, after the cheap refusals

    model = opened.model()
    files = Files(images, sys.stdin.buffer, b"\0" if null else b"\n")
    summary = _Summary(Console(stderr=True))
    with ExitStack() as open_:
        writers = []
        if save:
            writers.append(open_.enter_context(predictions.saved(save, min(top, len(names)))))
        if json:
            writers.append(open_.enter_context(predictions.json_list(sys.stdout)))
        elif not save:
            writers.append(open_.enter_context(predictions.bars(Console())))
        for prediction in predict_files(model, opened.config, files, batch_size=batch_size):
            summary.add(prediction)
            if not prediction.error:
                likely = predictions.likeliest(prediction.probabilities, names, top)
                for write in writers:
                    write((prediction.path, likely))
    summary.end(files.passed_over, save)


@dataclass
class _Summary:
    """What there is to say beside the predictions: on stderr, each thing once.

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

    def add(self, prediction: Prediction) -> None:
        """Count one; what is wrong with it is said at once."""
        self.images += 1
        self.changes.update(prediction.changes)
        if prediction.error:
            self.bad += 1
            if len(self.first) < LISTED:
                self.first.append(printable(prediction.path))
            print_error("Warning", printable(prediction.error), style="yellow")

    def end(self, passed_over: int, save: Path | None) -> None:
        """Say what was changed and left out.

        Raises:
            DataError: a file could not be read.
        """
        notes = [
            f"{counted(count, 'image is', 'images are')} {change}."
            for change, count in self.changes.most_common()
        ]
        if passed_over:
            what = "file in the folders is no image", "files in the folders are no images"
            notes.append(f"{counted(passed_over, *what)}, by the endings of the names.")
        if save:
            done = counted(self.images - self.bad, "image", "images")
            notes.append(f"Predictions of {done}: {save}")
        for note in notes:
            self.console.print(Text(note, "dim"), soft_wrap=True)
        if self.bad:
            more = f" and {self.bad - len(self.first):,} more" if self.bad > len(self.first) else ""
            raise DataError(
                f"{self.bad:,} of {counted(self.images, 'image', 'images')} could not be read: "
                f"{', '.join(self.first)}{more}."
            )
        if not self.images:
            raise DataError("There is no image to predict: no name came.")
