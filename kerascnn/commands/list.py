"""`kerascnn list`: names, without loading what is behind them."""

from __future__ import annotations

import json as json_

import typer

from kerascnn.commands.options import complete_task


def list_(
    pattern: str = typer.Argument("*", help="Shell wildcards, such as 'resnet*'."),
    task: str | None = typer.Option(
        None, help="Only networks for this, such as classification.", autocompletion=complete_task
    ),
    provider: str | None = typer.Option(None, help="Only what this distribution offers."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List the installed architectures, what they are made for, and which of them can't be used."""
    from kerascnn import health, registry
    from kerascnn.architecture import Architecture
    from kerascnn.console import Console, print_error
    from kerascnn.errors import UnknownNameError
    from kerascnn.registry import ARCHITECTURES, TASKS

    rows = health.survey(ARCHITECTURES, Architecture, pattern=pattern, provider=provider)
    for explanation in dict.fromkeys(row.explanation for row in rows if row.status != "ok"):
        print_error("Warning", explanation, style="yellow")
    if task is not None:
        # A network may be for a task that no installed distribution has.
        known = dict.fromkeys([*registry.names(TASKS), *filter(None, (row.task for row in rows))])
        if task not in known:
            raise UnknownNameError(registry.unknown(TASKS, task, known))
        rows = [row for row in rows if row.task == task]
    if json:
        typer.echo(json_.dumps([row.as_dict() for row in rows], indent=2))
        return
    from rich.table import Table

    from kerascnn.tables import show

    if not rows:
        only = f" for {task}" if task else ""
        only += f" of {provider}" if provider else ""
        Console(stderr=True).print(f"No architecture{only} matches {pattern}.", markup=False)
        return
    table = Table("name", "task", "from", "status", box=None)
    for row in rows:
        table.add_row(row.entry.name, row.task, row.entry.origin, row.status)
    show(Console(), table)
