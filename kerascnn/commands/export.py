"""`kerascnn export`: a trained run, or a network by name, as a file for another runtime."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer

from kerascnn.commands.options import complete_precision, complete_source, complete_subject


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
    precision: str | None = typer.Option(
        None,
        help="What the file computes in: float32, mixed_bfloat16, mixed_float16, float64, or auto: "
        "bfloat16 where that is quick on this machine and near enough. For savedmodel and keras; "
        "onnx knows float32 and mixed_float16, litert float32. Default: as it was trained, if the "
        "format can.",
        autocompletion=complete_precision,
    ),
    quantize: str | None = typer.Option(
        None,
        help="int8: whole numbers of 8 bits, several times as quick, for onnx and litert. Their "
        "ranges are found on images of --data.",
    ),
    data: str | None = typer.Option(
        None,
        help="For --quantize: where images are from. Default: those that a run was trained on.",
        autocompletion=complete_source,
    ),
    weights: str | None = typer.Option(None, help="For a name: 'imagenet' or a weight file."),
    input_shape: str | None = typer.Option(None, help="For a name: such as 64x64x3."),
    classes: int | None = typer.Option(None, help="For a name: number of classes."),
    set_: list[str] = typer.Option([], "--set", help="For a name: argument=value."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Export a model, and compare the file's outputs with the model's in the real runtime."""
    from kerascnn import exporting, likeness, quantizing, tasks
    from kerascnn.commands.options import parse_network, refuse_for_run, run_directory
    from kerascnn.errors import ArgumentError
    from kerascnn.precision import FAST, precision_of
    from kerascnn.precision import chosen as in_precision
    from kerascnn.recipes.recipe import AUTO

    def note(line: str) -> None:
        typer.echo(line, err=True)

    if format not in exporting.SUFFIXES:
        raise ArgumentError(
            f"--format must be one of {', '.join(exporting.SUFFIXES)}. Received: {format!r}."
        )
    _check_quantize(quantize, data, format, precision)
    if precision is not None:
        exporting.check_precision(format, precision)
        if precision == AUTO and FAST not in exporting.COMPUTES[format]:
            precision = "float32"
    calibration = None
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
        network = run.model(precision=precision, echo=note)
        preprocessing, task = run.config.preprocessing, run.task
        if quantize:
            calibration = quantizing.of_run(run, data, note, pixels=pixels)
    else:
        if quantize and data is None:
            raise ArgumentError(
                "--quantize finds ranges on images like those that the network is for: say where "
                "they are, such as --data folder:PHOTOS."
            )
        chosen = parse_network(model, set_, input_shape=input_shape, classes=classes)
        source = chosen.require(weights) if weights else None
        preprocessing = (source or chosen).preprocessing
        network, task = chosen.model(weights=weights), tasks.find(chosen.task)
        if precision is not None:
            found = in_precision(
                network,
                precision,
                network=chosen,
                size=network.inputs[0].shape[1:3],
                comparison=task.comparison(network),
            )
            network = found.model
            if found.why:
                note(found.why)
        if data is not None:
            calibration = quantizing.of_source(data, chosen, preprocessing, pixels=pixels)
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
        calibration=calibration,
    )
    if json:
        result = {
            "path": str(written.path),
            "format": format,
            "pixels": pixels,
            "precision": written.precision,
            "difference": written.difference,
            "kept": list(written.kept),
        }
        typer.echo(json_.dumps(result, indent=2))
        return
    from kerascnn.console import Console

    if written.difference is None:
        said = f"{written.why_not}, so its outputs were not compared"
    else:
        what = likeness.compared(comparison)
        said = f"its {what} differ from the model's by {written.difference:.1e} of their range"
    console = Console()
    console.print(f"Wrote [bold]{written.path}[/]; {said}.", highlight=False)
    if written.precision not in ("", "float32"):
        console.print(f"It computes in {written.precision}.", highlight=False)
    elif written.precision and precision_of(network) != written.precision:
        console.print(
            f"It computes in {written.precision}, as {format} knows no {precision_of(network)}.",
            highlight=False,
        )
    if format == "keras" and not written.kept:
        console.print("It has layers of Keras alone, and loads without kerascnn.", highlight=False)
    if written.kept:
        console.print(
            f"Not of Keras alone, so the file needs their packages: {', '.join(written.kept)}.",
            highlight=False,
            markup=False,
        )


def _check_quantize(
    quantize: str | None, data: str | None, format: str, precision: str | None
) -> None:
    """Refuse what doesn't go with --quantize, or without.

    Raises:
        ArgumentError: names it.
    """
    from kerascnn import exporting, quantizing
    from kerascnn.errors import ArgumentError

    if quantize is None:
        if data is not None:
            raise ArgumentError("--data is for --quantize: without it no image is needed.")
        return
    if quantize != quantizing.INT8:
        raise ArgumentError(f"--quantize must be {quantizing.INT8}. Received: {quantize!r}.")
    if precision is not None:
        raise ArgumentError(
            f"A file computes in {quantize} or in a --precision, not in both. "
            f"Received: --quantize {quantize} --precision {precision}."
        )
    exporting.check_quantized(format)
