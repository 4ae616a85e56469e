"""`kerascnn draw`: a network as a picture, or what one of its units sees of a photo."""

from __future__ import annotations

import dataclasses
import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import (
    complete_subject,
    parse_network,
    refuse_for_run,
    run_directory,
)
from kerascnn.errors import ArgumentError
from kerascnn.writing import PICTURES, check_save, write_figure

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.network import Network


def draw(
    subject: str = typer.Argument(
        help="An architecture's name, or a run directory.", autocompletion=complete_subject
    ),
    photo: Path | None = typer.Argument(None, help="With --field: the image to draw upon."),
    field: list[str] = typer.Option(
        [],
        "--field",
        help="Instead of the network: the receptive field and stride of a map, an endpoint such as "
        "C4 or a layer; repeat for several, or C2,C3,C4.",
    ),
    save: Path | None = typer.Option(
        None, help="NAME.png, .svg or .pdf; default: the network's name, .png, here."
    ),
    assign: list[str] = typer.Option(
        [], "--set", help="argument=value of the architecture; repeat for several."
    ),
    input_shape: str | None = typer.Option(None, help="HEIGHTxWIDTHxCHANNELS; default: native."),
    classes: int | None = typer.Option(None, min=1, help="Default: native."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Draw a network on one page: volumes, parameters, and each kind of block unfolded once."""
    run = run_directory(subject)
    names = [name for part in field for name in part.split(",") if name]
    if photo and not names:
        raise ArgumentError(
            f"A photo is for --field, such as --field C4, which draws upon it. Received: {photo}."
        )
    what = f"{run.resolve().name if run else subject}{'-field' if names else ''}"
    path = save or Path(f"{what}.png")
    check_save(path, PICTURES)
    if photo and not photo.is_file():
        raise ArgumentError(f"The photo must be an image file. Received: {photo}.")
    chosen = _chosen(subject, run, assign, input_shape, classes)
    figure, report = _field(chosen, names, photo) if names else _network(chosen)
    write_figure(figure, path)
    if json:
        typer.echo(json_.dumps({"path": str(path), **report}, indent=2))
        return
    from kerascnn.console import Console

    console = Console(highlight=False)
    console.print(f"Wrote {path}", markup=False, soft_wrap=True)
    for note in report.get("notes", ()):
        console.print(note, style="dim", markup=False)


def _chosen(
    subject: str, run: Path | None, assign: list[str], input_shape: str | None, classes: int | None
) -> Network | keras.Model:
    """What the options describe, or the run's model."""
    if run is None:
        return parse_network(subject, assign, input_shape=input_shape, classes=classes)
    from kerascnn.runs.run import Run

    refuse_for_run(subject, {"--set": assign, "--input-shape": input_shape, "--classes": classes})
    return Run.open(run).model()


def _network(chosen: Network | keras.Model) -> tuple[Figure, dict[str, Any]]:
    from kerascnn.drawing.networks import profile_of
    from kerascnn.drawing.outline import outline
    from kerascnn.drawing.page import page

    found = outline(profile_of(chosen))
    report = {
        "model": found.model,
        "convolutional": found.convolutional,
        "dense": found.dense,
        "macs": found.macs,
        "stages": [dataclasses.asdict(stage) for stage in found.stages],
        "blocks": [{"drawn": one.block.name, "alike": one.names} for one in found.designs],
        "heads": [
            {
                "name": head.name,
                "from": found.stages[head.stage].name,
                "convolutional": head.convolutional,
                "dense": head.dense,
            }
            for head in found.heads
        ],
        "connections": [[found.stages[n].name for n in pair] for pair in found.connections],
        "notes": found.notes,
    }
    return page(found), report


def _field(
    chosen: Network | keras.Model, names: list[str], photo: Path | None
) -> tuple[Figure, dict[str, Any]]:
    from kerascnn.drawing.fields import field_page, fields
    from kerascnn.drawing.networks import model_of

    model = model_of(chosen)
    found, (height, width, _) = fields(model, names)
    image = None
    if photo:
        from kerascnn.data import images

        image, _ = images.read(photo, (height, width, 3))
    report = {"model": model.name, "fields": [dataclasses.asdict(one) for one in found]}
    return field_page(model.name, found, (height, width), image), report
