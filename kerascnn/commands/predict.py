"""`kerascnn predict`: what a trained run sees in image files."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer


def predict(
    run: Path = typer.Argument(help="A run directory."),
    images: list[Path] = typer.Argument(help="Image files."),
    top: int = typer.Option(3, min=1, help="Classes to show for each image."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Predict the classes of images: the most likely ones, with a bar for each."""
    import numpy as np
    from rich.console import Console
    from rich.text import Text

    from kerascnn.commands.predictions import render_predictions
    from kerascnn.data.images import read
    from kerascnn.training.inference import canvas_shape
    from kerascnn.training.run import Run

    found = Run.open(run)
    config = found.config
    names, shape = config["class_names"], canvas_shape(config)
    console = Console(stderr=json)
    pixels = []
    for path in images:
        image, changes = read(path, shape)
        pixels.append(image)
        if changes:
            note = Text(f"{path}: {', '.join(changes)}.", "dim")
            console.print(note, soft_wrap=True)
    rows = []
    for path, likely in zip(images, found.predict(np.stack(pixels))):
        best = np.argsort(likely)[::-1][:top]
        rows.append((str(path), [(names[index], float(likely[index])) for index in best]))
    if json:
        report = [
            {"image": path, "classes": [{"name": n, "probability": p} for n, p in classes]}
            for path, classes in rows
        ]
        typer.echo(json_.dumps(report, indent=2))
        return
    render_predictions(rows, console)
