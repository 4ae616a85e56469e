"""`kerascnn board`: TensorBoard on run directories, with loss and error on top."""

from __future__ import annotations

import contextlib
import json as json_
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

import typer

EVENTS = "*.tfevents.*"  # TensorBoard's own pattern for its files
RELOAD_SECONDS = 5.0
COLOURS = 7  # that TensorBoard has
PINNED = 4  # charts at the top


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
        The address of its page of curves.

    Raises:
        RunError: there is no log.
        ArgumentError: it can't listen there.
    """
    from kerascnn.errors import ArgumentError, RunError

    if not directory.is_dir():
        raise RunError(f"There is no directory {directory}. `kerascnn train` makes runs in ./runs.")
    logs = {path.parent for path in directory.rglob(EVENTS)}
    if not logs:
        raise RunError(
            f"There are no TensorBoard logs in {directory}. `kerascnn train` writes them; "
            "`kerascnn runs` lists what is there."
        )

    from tensorboard import program

    server = program.TensorBoard()
    server.configure(
        argv=("tensorboard",),
        **place(directory),
        host=host,
        port=port,
        reload_interval=RELOAD_SECONDS,
        load_fast="false",  # the fast loader calls itself experimental, with a page of text
    )
    try:
        return server.launch() + first_page(measures(directory), entries=len(logs))
    except program.TensorBoardPortInUseError:
        raise ArgumentError(
            f"Port {port} of {host} is in use. Choose another with --port, or leave it out."
        ) from None
    except program.TensorBoardServerException as error:
        raise ArgumentError(f"TensorBoard can't listen on {host}: {error.msg}") from None


def place(directory: Path) -> dict[str, str]:
    """Where TensorBoard looks; it calls what it finds in a single run by the run's name, too."""
    path = directory.resolve()
    named = not {",", ":"} & set(path.name) and "," not in str(path)  # these part its list
    if (path / "config.json").is_file() and named:
        return {"logdir_spec": f"{path.name}:{path}"}
    return {"logdir": str(directory)}


def measures(directory: Path) -> list[str]:
    """What the runs in a directory measured their validation images by; the loss is first."""
    from kerascnn.errors import RunError
    from kerascnn.files import read_csv
    from kerascnn.tasks.measure import HELD

    found = {"loss": None}
    for path in sorted(directory.rglob("history.csv")):
        with contextlib.suppress(RunError):  # its logs may still be good
            names, _ = read_csv(path, error=RunError, inside=path.parent)
            found |= {name.removeprefix(HELD): None for name in names if name.startswith(HELD)}
    return list(found) if len(found) > 1 else ["loss", "error"]


def first_page(tags: Iterable[str], *, entries: int) -> str:
    """What to add to TensorBoard's address for its page of curves.

    Its default smoothing would move the curves of a few epochs away from their values.

    Args:
        tags: that stand on top, before the statistics of layers.
        entries: of its list. Where they are more than the colours, those of a run share one.
    """
    pins = [{"plugin": "scalars", "tag": tag} for tag in list(tags)[:PINNED]]
    wanted = {"pinnedCards": json_.dumps(pins, separators=(",", ":")), "smoothing": "0"}
    if entries > COLOURS:
        wanted["runColorGroup"] = "regex:^(.*)/"
    return f"?{urlencode(wanted)}#timeseries"
