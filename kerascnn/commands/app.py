"""`kerascnn app`: a page on this machine that shows what a run sees in a photo."""

from __future__ import annotations

import contextlib
import importlib.util
import json as json_
from pathlib import Path

import typer

from kerascnn.commands.options import complete_run
from kerascnn.errors import ArgumentError

NEEDED = ("starlette", "uvicorn")


def app(
    run: Path = typer.Argument(help="A run directory.", autocompletion=complete_run),
    port: int | None = typer.Option(
        None, min=0, max=65535, help="Default: 8600 or the next free one; 0: any free one."
    ),
    json: bool = typer.Option(False, "--json", help="Print the address as JSON."),
) -> None:
    """Serve a page, until Ctrl-C, that shows what a run sees in a photo that is dropped on it.

    It shows the likeliest classes, boxes or masks, and where the evidence is. It is for the
    browsers of this machine: no other machine can reach it, and the page loads nothing from
    elsewhere. Photos are not stored.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ArgumentError(
            f'kerascnn app needs {" and ".join(missing)}: pip install "kerascnn[app]".'
        )
    from kerascnn.console import Console
    from kerascnn.runs.run import Run
    from kerascnn.words import printable

    opened = Run.open(run)
    from kerascnn.app.server import LOOPBACK, listening, serve  # TensorFlow

    with contextlib.closing(listening(port)) as door:
        from kerascnn.app.eye import Eye

        eye = Eye(opened)
        address = f"http://{LOOPBACK}:{door.getsockname()[1]}/"
        if json:
            typer.echo(json_.dumps({"address": address, "run": str(run)}))
        else:
            console = Console(soft_wrap=True)
            console.print(f"{printable(str(run))} looks at photos: {address}", markup=False)
            console.print("[dim]Ctrl-C ends it.[/]")
        with contextlib.suppress(KeyboardInterrupt):
            serve(eye, door)
