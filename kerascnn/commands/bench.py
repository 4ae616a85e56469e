"""`kerascnn bench`: our speed as a ratio against peers, measured in one call."""

from __future__ import annotations

import dataclasses
import importlib.util
import json as json_
from typing import Any

import typer
from typer.core import TyperGroup

from kerascnn import registry


class _WithPlugins(TyperGroup):
    """Our benchmarks, and those of other packages: entry points of `kerascnn.benchmarks`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *registry.entries(registry.BENCHMARKS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in registry.entries(registry.BENCHMARKS):
            return super().get_command(ctx, cmd_name)
        from kerascnn.cli import load_command

        return load_command(registry.BENCHMARKS, cmd_name)


bench = typer.Typer(
    cls=_WithPlugins,
    no_args_is_help=True,
    help="Measure speed against peers.",
    add_completion=False,
)


@bench.callback()
def _root() -> None:
    pass


@bench.command()
def train(
    names: list[str] = typer.Argument(help="Architectures, such as lenet5."),
    batch_size: int = typer.Option(128, min=1),
    epochs: int = typer.Option(6, min=2, help="Of each training."),
    rounds: int = typer.Option(3, min=1, help="Fresh processes for each contestant."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Train on the bundled digits: kerascnn, plain compile and fit, and PyTorch if installed."""
    from kerascnn import bench as measure

    results = {}
    for name in names:
        contestants = ["kerascnn", "keras fit"]
        if name == "lenet5" and importlib.util.find_spec("torch"):
            contestants.append("pytorch")
        results[name] = measure.train(
            name, batch_size=batch_size, epochs=epochs, rounds=rounds, contestants=contestants
        )
    if json:
        rows = {name: [dataclasses.asdict(m) for m in found] for name, found in results.items()}
        typer.echo(json_.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in ("network", "trained by"):
        table.add_column(column)
    for column in ("images/s", "min–max", "with first epoch", "first step", "ratio", "ratio*"):
        table.add_column(column, justify="right")
    for name, found in results.items():
        ours = found[0]
        for m in found:
            table.add_row(
                name,
                m.name,
                f"{m.images_per_second:,.0f}",
                f"{m.spread[0]:,.0f}–{m.spread[1]:,.0f}",
                f"{m.with_first_epoch:,.0f}",
                f"{m.first_step:.1f} s",
                f"{ours.images_per_second / m.images_per_second:.2f}",
                f"{ours.with_first_epoch / m.with_first_epoch:.2f}",
            )
    console = Console()
    console.print(table)
    console.print(
        f"Medians of {rounds} processes each, batch {batch_size}, {epochs} epochs. ratio: kerascnn "
        "to this; ratio*: with the first epoch.",
        highlight=False,
    )
