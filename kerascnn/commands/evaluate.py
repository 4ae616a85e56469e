"""`kerascnn evaluate`: loss and errors of a run on a test split, as papers report them."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    from kerascnn.training.recipes import Protocol
    from kerascnn.training.run import Run


def evaluate(
    run: Path = typer.Argument(help="A run directory."),
    data: str | None = typer.Option(None, help="Another source than the run was trained on."),
    protocol: str | None = typer.Option(
        None, help="`run`: as its recipe says; or as another recipe says, such as `alexnet`."
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
    batch_size: int = typer.Option(256, min=1, help="Has no effect on the result."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Evaluate a trained run; every image of the test split is counted once.

    Without options each image is shown once, its middle, as during training.
    """
    from kerascnn.training.run import Run

    def note(line: str) -> None:
        typer.echo(line, err=json)

    opened = Run.open(run)
    chosen = _protocol(opened, protocol, views, resize, flip)
    found = opened.evaluate(data, batch_size=batch_size, echo=note, protocol=chosen)
    if json:
        typer.echo(json_.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    top5 = f", top-5 error [bold]{found['top5_error']:.2%}[/]" if "top5_error" in found else ""
    Console(emoji=False).print(
        f"{escape(found['data'])} {found['split']}, {found['images']:,} images"
        f"{_described(chosen, opened.config['input_shape'][0])}: "
        f"error [bold]{found['error']:.2%}[/]{top5}, loss {found['loss']:.4f}",
        highlight=False,
        soft_wrap=True,
    )


def _protocol(
    run: Run, name: str | None, views: str | None, resize: str | None, flip: bool | None
) -> Protocol:
    """What the options say, on top of the named protocol.

    Raises:
        ArgumentError, UnknownNameError: an option is illegal.
    """
    from kerascnn.training import recipe_book
    from kerascnn.training.config import recipe_from
    from kerascnn.training.recipes import Recipe

    if name == "run":
        recipe = recipe_from(run.config["recipe"])
    else:
        recipe = recipe_book.find(name) if name else Recipe()
    changes: dict[str, Any] = {"views": views, "flip": flip}
    if resize is not None:
        changes["resize"] = _lengths(resize, min(run.config["input_shape"][:2]))
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


def _described(protocol: Protocol, side: int) -> str:
    """Nothing for the middle of each image, as during training."""
    from kerascnn.training.recipes import Protocol

    if protocol == Protocol():
        return ""
    scales = " and ".join(str(round(side * length)) for length in protocol.resize)
    parts = [protocol.views, f"at {scales}" if scales else "", "mirrored" if protocol.flip else ""]
    return f", {', '.join(part for part in parts if part)}"
