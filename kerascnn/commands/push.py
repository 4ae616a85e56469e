"""`kerascnn push` and `kerascnn pull`: runs to the Hugging Face hub, and from it."""

from __future__ import annotations

from pathlib import Path

import typer

from kerascnn.commands.options import complete_run


def push(
    run: Path = typer.Argument(help="A finished run.", autocompletion=complete_run),
    repository: str = typer.Argument(help="OWNER/NAME on the Hugging Face hub."),
    licence: str | None = typer.Option(
        None, help="Of the weights, as the hub names it: apache-2.0, cc-by-4.0 ..."
    ),
    private: bool = typer.Option(False, "--private", help="Make the repository private."),
    message: str | None = typer.Option(None, help="Of the commit."),
) -> None:
    """Upload a run: weights as safetensors, config, figures, and a model card."""
    from kerascnn.hub import pushing
    from kerascnn.runs.run import Run

    done = pushing.push(
        Run.open(run), repository, licence=licence, private=private, message=message
    )
    typer.echo(f"Uploaded as {done}")
    if licence is None:
        typer.echo("The card states no licence: others may not use it. See --licence.", err=True)


def pull(
    address: str = typer.Argument(help="hf://OWNER/NAME, or hf://OWNER/NAME@REVISION."),
    run: Path | None = typer.Option(
        None, help="The run directory to make; default: one in kerascnn's cache."
    ),
) -> None:
    """Fetch a run from the hub, check it, and say where it is."""
    from kerascnn.hub.loading import load

    found = load(address, run=run, echo=lambda line: typer.echo(line, err=True))
    typer.echo(found.path)
