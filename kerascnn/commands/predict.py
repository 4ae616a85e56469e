"""`kerascnn predict`: what a trained run sees in image files."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import typer

from kerascnn.console import Console
from kerascnn.words import counted
from kerascnn.writing import check_save


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
    from kerascnn.commands.summary import Summary
    from kerascnn.data.files import Files
    from kerascnn.runs.run import Run
    from kerascnn.tasks.classification import predictions

    opened = Run.open(run)
    names = opened.config.named_classes
    if save:
        check_save(save, predictions.FORMATS)

    from kerascnn.tasks.classification.prediction import (
        predict_files,  # TensorFlow, after the cheap refusals
    )

    model = opened.model()
    files = Files(images, sys.stdin.buffer, b"\0" if null else b"\n")
    summary = Summary(Console(stderr=True))
    with ExitStack() as open_:
        writers = []
        if save:
            writers.append(open_.enter_context(predictions.saved(save, min(top, len(names)))))
        if json:
            writers.append(open_.enter_context(predictions.json_list(sys.stdout)))
        elif not save:
            writers.append(open_.enter_context(predictions.bars(Console())))
        for prediction in predict_files(model, opened.config, files, batch_size=batch_size):
            summary.add(prediction.path, prediction.changes, prediction.error)
            if not prediction.error:
                likely = predictions.likeliest(prediction.probabilities, names, top)
                for write in writers:
                    write((prediction.path, likely))
    done = counted(summary.read, "image", "images")
    saved = [f"Predictions of {done}: {save}"] if save else []
    summary.end(files.passed_over, saved, "There is no image to predict: no name came.")
