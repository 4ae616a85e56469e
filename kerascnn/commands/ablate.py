"""`kerascnn ablate`: what each part of a network and its recipe is worth."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kerascnn.commands.options import complete_architecture, parse_network

if TYPE_CHECKING:
    from kerascnn.console import Console
    from kerascnn.training.ablation import Part


def ablate(
    name: str = typer.Argument(
        help="An architecture; see `kerascnn list`.", autocompletion=complete_architecture
    ),
    what: str | None = typer.Option(
        None,
        metavar="PART,PART,...",
        help="What to leave out, each for itself, such as lrn,dropout,augmentation; all: every "
        "part. Without it the parts are listed, and nothing is trained.",
    ),
    data: str = typer.Option("mnist5k", help="As for `kerascnn train`, as those that follow."),
    seeds: int = typer.Option(3, min=1, help="Runs of each: with seeds 0, 1, 2 ..."),
    set_: list[str] = typer.Option([], "--set", help="An argument of the architecture."),
    input_shape: str | None = typer.Option(None, help="Such as 64x64x3; default: native."),
    recipe: str | None = typer.Option(None, help="small, paper, a name or a file."),
    with_: list[str] = typer.Option([], "--with", help="A field of the recipe: epochs=5."),
    strategy: str = typer.Option("auto", help="auto, none, mirrored or mirrored:N."),
    directory: Path | None = typer.Option(
        None,
        "--runs",
        help="For the runs, ablation.csv and ablation.png; default: runs/ablations/NAME-DATA. The "
        "same command again keeps what is finished and goes on.",
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Train a network with everything, and without one part after the other: what is each worth?"""
    from kerascnn import catalogue
    from kerascnn.console import Console
    from kerascnn.recipes import book as recipe_book

    network = parse_network(name, set_, input_shape=input_shape)
    settings = recipe_book.settings(with_)
    chosen = recipe_book.asked(recipe_book.choose(recipe, catalogue.get(name)), settings)

    from kerascnn.training import ablation

    console = Console(stderr=json)
    known = ablation.parts(network, chosen)
    if what is None:
        _list(console, known, name, json)
        return
    wanted = [part.name for part in known] if what == "all" else what.split(",")
    found = ablation.ablate(
        network,
        data,
        what=[part.strip() for part in wanted if part.strip()],
        seeds=seeds,
        recipe=chosen,
        batch_size=None
        if "batch_size" in settings or recipe_book.is_fixed(recipe, chosen)
        else "auto",
        strategy=strategy,
        directory=directory,
        console=console,
    )
    if json:
        rows = [
            {"without": outcome.part and outcome.part.name, "values": outcome.values}
            for outcome in found.outcomes
        ]
        told = {"directory": str(found.directory), "measure": found.measure.name, "outcomes": rows}
        typer.echo(json_.dumps(told, indent=2))
        return
    from kerascnn.tables import show

    console.print()
    show(console, found.table())
    files = (
        f"{found.directory / ablation.FIGURES} and {ablation.PICTURE} have it; runs beside them."
    )
    console.print(files, markup=False, highlight=False, soft_wrap=True)


def _list(console: Console, known: tuple[Part, ...], name: str, json: bool) -> None:
    """What there is to leave out."""
    from rich.table import Table

    from kerascnn.tables import Name, show
    from kerascnn.training.ablation import written

    if json:
        rows = [{"part": p.name, "or": p.other, "was": p.was, "becomes": p.becomes} for p in known]
        typer.echo(json_.dumps(rows, indent=2, default=str))
        return
    if not known:
        console.print(f"{name} and its recipe have nothing that can be left out.", markup=False)
        return
    table = Table("part", "or", "now", "without", box=None, pad_edge=False, header_style="bold")
    for part in known:
        row = (part.name, part.other, written(part.was), written(part.becomes))
        table.add_row(Name(row[0]), Name(row[1]), *row[2:])
    show(console, table)
    console.print(
        "\nChoose with --what, such as --what", known[0].label, "or --what all.", style="dim"
    )
