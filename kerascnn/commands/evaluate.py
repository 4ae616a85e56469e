"""`kerascnn evaluate`: loss, errors and each class's figures, as papers report them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import (
    complete_precision,
    complete_protocol,
    complete_run,
    complete_source,
)
from kerascnn.errors import ArgumentError
from kerascnn.words import printable

if TYPE_CHECKING:
    from kerascnn.recipes.recipe import Protocol
    from kerascnn.runs.run import Run
    from kerascnn.tasks.task import Task


def evaluate(
    run: Path = typer.Argument(help="A run directory.", autocompletion=complete_run),
    data: str | None = typer.Option(
        None, help="Another source than the run was trained on.", autocompletion=complete_source
    ),
    split: str | None = typer.Option(
        None,
        help="train, validation, test or all. Default: test; of another source without a split: "
        "all.",
    ),
    protocol: str | None = typer.Option(
        None,
        help="`run`: as its recipe says; or as another recipe says, such as `alexnet`.",
        autocompletion=complete_protocol,
    ),
    views: str | None = typer.Option(
        None,
        help="single; 10-crop: corners and centre; 50-crop: VGG's grid; 144-crop: GoogLeNet's, "
        "which has scales of its own; dense: the network slides over the image. The last three "
        "look at all of a rectangular image, the others at its middle square.",
    ),
    resize: str | None = typer.Option(
        None, help="Shorter sides in pixels, averaged if several, such as 256 or 256,384,512."
    ),
    flip: bool | None = typer.Option(None, "--flip/--no-flip", help="Average mirror images in."),
    top: int | None = typer.Option(
        None, help="Count an answer as right if the class is among so many likeliest; default 5."
    ),
    save: Path | None = typer.Option(
        None,
        help="The figures of each class and the confusion matrix as NAME.csv, or the matrix as a "
        "picture, NAME.png; of boxes the curves of precision, and all boxes as COCO's results, "
        "NAME.json.",
    ),
    size: str | None = typer.Option(
        None,
        help="Of networks that take any: `own`, images as they are stored, or `trained`, as "
        "training has seen them. Default: trained.",
    ),
    precision: str | None = typer.Option(
        None,
        help="What the network computes in: float32, mixed_bfloat16, mixed_float16, float64, or "
        "auto: bfloat16 where that is quick on this machine and near enough. The answers are "
        "compared with those in float32. Default: as it was trained.",
        autocompletion=complete_precision,
    ),
    batch_size: int | None = typer.Option(None, min=1, help="Has no effect on the result."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Evaluate a trained run: loss, errors, and the figures of each class.

    Without --data these are the images that were for the test when the run was trained; of another
    source its own test split, or all of a source without one. Classes match by name. Without
    further options each image is shown once, its middle, as during training.
    """
    from kerascnn.runs.run import Run

    def note(line: str) -> None:
        typer.echo(printable(line), err=json)

    opened = Run.open(run)
    task = opened.task
    asked = any(option is not None for option in (protocol, views, resize, flip))
    chosen = _protocol(opened, protocol, views, resize, flip) if asked else None
    if save:
        task.check_save(save)
    found = opened.evaluate(
        data,
        split=split,
        batch_size=batch_size,
        echo=note,
        protocol=chosen,
        top=top,
        size=size,
        precision=precision,
    )
    if save:
        task.save(found, save)
    if json:
        typer.echo(task.as_json(found))
        return
    task.show(found, opened.config)
    if precision:
        typer.echo(_beside_float32(task, found))
    if save:
        note(f"Saved: {save}")


def _beside_float32(task: Task, found: Mapping[str, Any]) -> str:
    """What the precision has changed, in a sentence."""
    exact = found["in_float32"]
    figures = ", ".join(
        f"{one.title} {one.written(found[one.name])} ({one.written(exact[one.name])} in float32)"
        for one in task.measures
    )
    same = found["agreement"]
    agreed = "" if same is None else f"; the likeliest class is float32's for {same:.2%} of images"
    return f"{found['precision']}: {figures}{agreed}."


def _protocol(
    run: Run, name: str | None, views: str | None, resize: str | None, flip: bool | None
) -> Protocol:
    """What the options say, on top of the named protocol.

    Raises:
        ArgumentError, UnknownNameError: an option is illegal.
    """
    from kerascnn.recipes import book as recipe_book
    from kerascnn.recipes.recipe import Recipe

    if name == "run":
        recipe = run.config.recipe
    else:
        recipe = recipe_book.find(name) if name else Recipe()
    changes: dict[str, Any] = {"views": views, "flip": flip}
    if resize is not None:
        changes["resize"] = _lengths(resize, min(run.config.input_shape[:2]))
    elif views == "144-crop":
        changes["resize"] = ()  # it has scales of its own
    given = {key: value for key, value in changes.items() if value is not None}
    return recipe_book.override(recipe, {"evaluation": given}).evaluation


def _lengths(text: str, side: int) -> tuple[float, ...]:
    """`256,384` → in units of the network's input."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= side for part in parts):
        raise ArgumentError(
            f"--resize must be pixels, at least the network's {side}, such as "
            f"{round(side * 256 / 224)} or {side},{2 * side}. Received: {text!r}."
        )
    return tuple(int(part) / side for part in parts)
