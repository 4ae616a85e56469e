"""What the commands of `kerascnn bench` share: options, refusals, tables and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from kerascnn import catalogue, processors
from kerascnn.commands.options import complete_architecture

PEERS = ("keras", "torchvision", "timm")


def names_argument(required: bool = True) -> Any:
    """The names of the networks that a command measures."""
    default = ... if required else None
    return typer.Argument(
        default, help="Architectures, such as resnet50.", autocompletion=complete_architecture
    )


AGAINST = typer.Option(
    list(PEERS), "--against", help="keras, torchvision or timm, where installed; repeatable."
)
SHAPE = typer.Option(None, help="HEIGHTxWIDTHxCHANNELS; default: each network's own.")
PRECISION = typer.Option(
    ["float32"],
    "--precision",
    help="float32, mixed_bfloat16, mixed_float16 or float64; repeatable: all take turns, and "
    "ratios are to ours in the first.",
)
ROUNDS = typer.Option(5, min=1, help="Times that each contestant's turn comes.")
JSON = typer.Option(False, "--json", help="Machine-readable output.")


def check(names: Sequence[str], against: Sequence[str] = ()) -> None:
    """Refuse a wrong name before anything is measured."""
    for name in names:
        catalogue.get(name)
    require("--against", against, PEERS)


def require(option: str, values: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse values that an option doesn't know.

    Raises:
        ArgumentError: names those that it does.
    """
    from kerascnn.errors import ArgumentError

    for value in values:
        if value not in expected:
            raise ArgumentError(
                f"{option} must be one of {', '.join(expected)}. Received: {value!r}."
            )


def rows_of(results: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """What was measured on each network, one row for each contestant."""
    return [{"network": n, **dataclasses.asdict(m)} for n, found in results.items() for m in found]


def dump(rows: Sequence[Any], **conditions: Any) -> None:
    """One JSON object: the conditions, and a row for each contestant."""
    from kerascnn.bench import as_json

    typer.echo(as_json(rows, **conditions))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Rows of group, contestant and numbers, under a line for each group; then the notes."""
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    table = Table("", box=None)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    group = ""
    for row in rows:
        if row[0] != group:
            group = row[0]
            table.add_row(f"[bold]{group}")
        table.add_row(*row[1:])
    console = Console()
    show(console, table)
    for note in notes:
        console.print(note, highlight=False)


def progress(line: str) -> None:
    """Say on the terminal what is being done."""
    from kerascnn.console import Console

    Console(stderr=True).print(line, style="dim", highlight=False)


def caution(load: float) -> list[str]:
    """A warning if others were using the machine when the measurement began."""
    if load < 0.5:
        return []
    return [
        f"The machine was busy (load average {load:.1f} on {processors.available()} processors "
        "before the start): trust the ratios more than the speeds, and neither much."
    ]
