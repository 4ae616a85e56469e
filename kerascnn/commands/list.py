"""`kerascnn list`: names, without loading what is behind them."""

from __future__ import annotations

import json as json_

import typer


def list_(
    pattern: str = typer.Argument("*", help="Shell wildcards, such as 'resnet*'."),
    provider: str | None = typer.Option(None, help="Only what this distribution offers."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List the installed architectures, and which of them can't be used."""
    from kerascnn import health
    from kerascnn.architecture import Architecture
    from kerascnn.console import Console, print_error
    from kerascnn.registry import ARCHITECTURES

    rows = health.survey(ARCHITECTURES, Architecture, pattern=pattern, provider=provider)
    for explanation in dict.fromkeys(row.explanation for row in rows if row.status != "ok"):
        print_error("Warning", explanation, style="yellow")
    if json:
        typer.echo(json_.dumps([row.as_dict() for row in rows], indent=2))
        return
    from rich.table import Table

    from kerascnn.tables import show

    if not rows:
        only = f" of {provider}" if provider else ""
        Console(stderr=True).print(f"No architecture{only} matches {pattern}.", markup=False)
        return
    table = Table("name", "from", "status", box=None)
    for row in rows:
        table.add_row(row.entry.name, row.entry.origin, row.status)
    show(Console(), table)
