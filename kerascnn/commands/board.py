"""`kerascnn board`: TensorBoard on run directories, with loss and error first."""

from __future__ import annotations

import json as json_
import threading
from pathlib import Path

import typer

EVENTS = "*.tfevents.*"  # TensorBoard's own pattern for its files
RELOAD_SECONDS = 5.0
# The dashboard with the layout that training wrote, see kerascnn/watching/board.py. Its default
# smoothing would move the curves of a few epochs away from their values.
FIRST = "#custom_scalars&_smoothingWeight=0"


def board(
    directory: Path = typer.Argument(Path("runs"), help="A run, or a directory of runs."),
    port: int | None = typer.Option(
        None, min=0, max=65535, help="Default: 6006 or the next free one; 0: any free one."
    ),
    host: str = typer.Option("localhost", help="0.0.0.0 lets other machines in: all of them."),
    json: bool = typer.Option(False, "--json", help="Print the address as JSON."),
) -> None:
    """Serve TensorBoard until Ctrl-C; runs that are training show up by themselves."""
    from rich.markup import escape

    from kerascnn.console import Console

    address = serve(directory, host=host, port=port)
    try:
        if json:
            typer.echo(json_.dumps({"address": address, "directory": str(directory)}))
        else:
            console = Console(soft_wrap=True)
            console.print(f"{escape(str(directory))} in TensorBoard: [bold]{address}[/]")
            console.print("[dim]Ctrl-C ends it.[/]")
        threading.Event().wait()
    except KeyboardInterrupt:
        raise typer.Exit from None


def serve(directory: Path, *, host: str = "localhost", port: int | None = None) -> str:
    """Start TensorBoard in a thread of this process.

    Args:
        directory: where to look for logs, at any depth.
        host: the name or address to listen on.
        port: default: 6006 or the next free one; 0: any free one.

    Returns:
        The address of its first dashboard.

    Raises:
        RunError: there is no log.
        ArgumentError: it can't listen there.
    """
    from kerascnn.errors import ArgumentError, RunError

    if not directory.is_dir():
        raise RunError(f"There is no directory {directory}. `kerascnn train` makes runs in ./runs.")
    if next(directory.rglob(EVENTS), None) is None:
        raise RunError(
            f"There are no TensorBoard logs in {directory}. `kerascnn train` writes them; "
            "`kerascnn runs` lists what is there."
        )

    from tensorboard import program

    server = program.TensorBoard()
    server.configure(
        argv=("tensorboard",),
        logdir=str(directory),
        host=host,
        port=port,
        reload_interval=RELOAD_SECONDS,
        load_fast="false",  # the fast loader calls itself experimental, with a page of text
    )
    try:
        return server.launch() + FIRST
    except program.TensorBoardPortInUseError:
        raise ArgumentError(
            f"Port {port} of {host} is in use. Choose another with --port, or leave it out."
        ) from None
    except program.TensorBoardServerException as error:
        raise ArgumentError(f"TensorBoard can't listen on {host}: {error.msg}") from None
