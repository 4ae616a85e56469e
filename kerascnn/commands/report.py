"""`kerascnn report`: what came out of a run or a study, as one page."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer

from kerascnn.commands.options import complete_run, complete_source


def report(
    directory: Path = typer.Argument(
        help="A run directory; or a study of `kerascnn tune`.", autocompletion=complete_run
    ),
    save: Path = typer.Option(Path("report.html"), help="NAME.html."),
    data: str | None = typer.Option(
        None,
        help="What a run is evaluated on; default: the data it was trained on.",
        autocompletion=complete_source,
    ),
    explain: int = typer.Option(3, min=0, help="Images of a run that are explained; 0: none."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Write a run or a study as one HTML page that needs no network and no other file.

    Of a run: curves, figures of each class, what the network is most wrong and most right about,
    why it says what it says, the network, its recipe and data, and the commands to do it again.
    The run is evaluated on its own images for that; where they are gone, the rest is shown. Of a
    study: its trials, the best of them, and the pictures of all.

    Like config.json, the page names the folders that the run was trained in and on.
    """
    from kerascnn.console import Console, sayer
    from kerascnn.reports.reporter import write
    from kerascnn.words import memory, printable

    say = sayer(Console(stderr=True))

    def note(line: str) -> None:
        say(printable(line))

    path = write(directory, save, data=data, explain=explain, echo=note)
    if json:
        typer.echo(json_.dumps({"path": str(path), "bytes": path.stat().st_size}))
        return
    typer.echo(f"Wrote {printable(str(path))} ({memory(path.stat().st_size)}).")
