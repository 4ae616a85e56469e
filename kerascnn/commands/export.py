"""`kerascnn export`: a trained run, or a network by name, as a file for another runtime."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer

from kerascnn.commands.options import complete_subject


def export(
    model: str = typer.Argument(
        help="A run directory, or the name of an architecture.", autocompletion=complete_subject
    ),
    format: str = typer.Option(help="savedmodel, onnx, litert, keras or weights."),
    output: Path | None = typer.Option(None, help="Default: the model's name, here."),
    pixels: bool = typer.Option(
        False, help="Put the preprocessing inside, so that the file takes pixels in 0..255."
    ),
    raw: bool = typer.Option(
        False,
        "--raw",
        help="Of networks that choose boxes: what they choose among, for a suppression of your "
        "own. For savedmodel, onnx and litert.",
    ),
    weights: str | None = typer.Option(None, help="For a name: 'imagenet' or a weight file."),
    input_shape: str | None = typer.Option(None, help="For a name: such as 64x64x3."),
    classes: int | None = typer.Option(None, help="For a name: number of classes."),
    set_: list[str] = typer.Option([], "--set", help="For a name: argument=value."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Export a model, and compare the file's outputs with the model's in the real runtime."""
    from kerascnn import exporting, tasks
    from kerascnn.commands.options import parse_network, refuse_for_run, run_directory
    from kerascnn.errors import ArgumentError

    if path := run_directory(model):
        from kerascnn.runs.run import Run

        refuse_for_run(
            model,
            {
                "--weights": weights,
                "--input-shape": input_shape,
                "--classes": classes,
                "--set": set_,
            },
        )
        run = Run.open(path)
        network, preprocessing, task = run.model(), run.config.preprocessing, run.task
    else:
        chosen = parse_network(model, set_, input_shape=input_shape, classes=classes)
        source = chosen.require(weights) if weights else None
        preprocessing = (source or chosen).preprocessing
        network, task = chosen.model(weights=weights), tasks.find(chosen.task)
    size = network.inputs[0].shape[1:3]
    if raw and format not in exporting.SERVED:
        raise ArgumentError(
            f"--raw is for {', '.join(exporting.SERVED)}: other formats hold the network as it is. "
            f"Received: --format {format}."
        )
    if format in exporting.SERVED:
        network = task.raw(network) if raw else task.served(network)
    comparison = task.comparison(network)
    written = exporting.export(
        network,
        output or Path(path.resolve().name if path else model),
        format,
        preprocessing=preprocessing if pixels else None,
        size=size,
        comparison=comparison,
    )
    if json:
        found = {
            "path": str(written.path),
            "format": format,
            "pixels": pixels,
            "difference": written.difference,
            "kept": list(written.kept),
        }
        typer.echo(json_.dumps(found, indent=2))
        return
    from kerascnn.console import Console

    if written.difference is None:
        said = f"{written.why_not}, so its outputs were not compared"
    else:
        what = exporting.compared(comparison)
        said = f"its {what} differ from the model's by {written.difference:.1e} of their range"
    console = Console()
    console.print(f"Wrote [bold]{written.path}[/]; {said}.", highlight=False)
    if format == "keras" and not written.kept:
        console.print("It has layers of Keras alone, and loads without kerascnn.", highlight=False)
    if written.kept:
        console.print(
            f"Not of Keras alone, so the file needs their packages: {', '.join(written.kept)}.",
            highlight=False,
            markup=False,
        )
