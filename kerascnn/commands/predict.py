"""`kerascnn predict`: what a trained run sees in image files."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import typer

from kerascnn.commands.options import complete_precision, complete_run
from kerascnn.console import Console
from kerascnn.words import counted


def predict(
    run: Path = typer.Argument(help="A run directory.", autocompletion=complete_run),
    images: list[str] = typer.Argument(
        help="Image files; folders, for the images in them in any depth; patterns in quotes such "
        "as 'photos/**/*.jpg'; or - for names on standard input, one on a line."
    ),
    top: int | None = typer.Option(
        None,
        min=1,
        help="Classes of each image, default 3; of networks that find things boxes, default 10 on "
        "the terminal.",
    ),
    least_score: float | None = typer.Option(
        None,
        help="Of networks that find things: boxes with lower scores are left out. Default: 0.3 on "
        "the terminal and in pictures, and all in JSON and tables.",
    ),
    size: str | None = typer.Option(
        None,
        help="Of networks that take any: `own`, images as they are, or `trained`, scaled as "
        "training scaled its own. Default: own.",
    ),
    save: Path | None = typer.Option(
        None,
        help="Write to this file instead, NAME.csv or NAME.jsonl; for any number of images. Masks: "
        "a folder for them, their colours, and the images under these. Boxes: also NAME.json, or a "
        "folder for images with them.",
    ),
    null: bool = typer.Option(
        False, "--null", "-0", help="Names on standard input end with NUL, as from find -print0."
    ),
    precision: str | None = typer.Option(
        None,
        help="What the network computes in: float32, mixed_bfloat16, mixed_float16, float64, or "
        "auto: bfloat16 where that is quick on this machine and near enough. Default: as it was "
        "trained.",
        autocompletion=complete_precision,
    ),
    batch_size: int | None = typer.Option(None, min=1, help="Images in one step."),
    json: bool = typer.Option(
        False, "--json", help="Machine-readable output; boxes in COCO's results format."
    ),
) -> None:
    """Predict what is in images: the most likely classes, the area of each, or boxes, with bars.

    Results come in the order of the images. A file that can't be read is named and left out, the
    others are done, and the exit status is 1.
    """
    from kerascnn.commands.summary import Summary
    from kerascnn.data.files import Files
    from kerascnn.runs.run import Run

    opened = Run.open(run)
    given = {"top": top, "least_score": least_score, "size": size}
    options = {name: value for name, value in given.items() if value is not None}
    opened.task.check_asked("predict", options, opened.config.classes)
    writers = opened.task.writers(opened.config.named_classes, options)
    if save:
        writers.check(save)
    # TensorFlow, after the cheap refusals.
    model = opened.model(precision=precision, echo=lambda line: typer.echo(line, err=True))
    files = Files(images, sys.stdin.buffer, b"\0" if null else b"\n")
    summary = Summary(Console(stderr=True))
    with ExitStack() as open_:
        used = []
        if save:
            used.append(open_.enter_context(writers.saved(save)))
        if json:
            used.append(open_.enter_context(writers.json(sys.stdout)))
        elif not save:
            used.append(open_.enter_context(writers.terminal(Console())))
        found = opened.task.predict_files(
            model, opened.config, files, options=options, batch_size=batch_size
        )
        for prediction in found:
            summary.add(prediction.path, prediction.changes, prediction.error)
            if not prediction.error:
                for write in used:
                    write(prediction)
    done = counted(summary.read, "image", "images")
    saved = [f"Predictions of {done}: {save}"] if save else []
    summary.end(files.passed_over, saved, "There is no image to predict: no name came.")
