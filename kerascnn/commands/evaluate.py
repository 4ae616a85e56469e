"""`kerascnn evaluate`: loss and error of a run on a test split."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer


def evaluate(
    run: Path = typer.Argument(help="A run directory."),
    data: str | None = typer.Option(None, help="Another source than the run was trained on."),
    batch_size: int = typer.Option(256, min=1, help="Has no effect on the result."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Evaluate a trained run; every image of the test split is counted once."""
    from kerascnn.training.run import Run

    def note(line: str) -> None:
        typer.echo(line, err=json)

    found = Run.open(run).evaluate(data, batch_size=batch_size, echo=note)
    if json:
        typer.echo(json_.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    Console(emoji=False).print(
        f"{escape(found['data'])} {found['split']}, {found['images']:,} images: "
        f"error [bold]{found['error']:.2%}[/], loss {found['loss']:.4f}",
        highlight=False,
        soft_wrap=True,
    )
