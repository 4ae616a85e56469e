"""`kerascnn list`: names, without importing what is behind them."""

from __future__ import annotations

import json as json_

import typer


def list_(
    pattern: str = typer.Argument("*", help="Shell wildcards, such as 'resnet*'."),
    provider: str | None = typer.Option(None, help="Only what this distribution offers."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List the installed architectures."""
    from kerascnn import registry

    names = registry.list_architectures(pattern, provider)
    rows = [
        {"name": name, "provider": entry.provider, "version": entry.version, "status": "ok"}
        for name in names
        for entry in registry.entries(registry.ARCHITECTURES)[name]
    ]
    if json:
        typer.echo(json_.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "from", "status", box=None)
    for row in rows:
        table.add_row(row["name"], f"{row['provider']} {row['version']}", row["status"])
    Console().print(table)
