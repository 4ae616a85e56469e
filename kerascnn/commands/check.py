"""`kerascnn check`: the conformance suite on any installed architecture."""

from __future__ import annotations

import json as json_
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from kerascnn.cli import complete_architecture

if TYPE_CHECKING:
    from kerascnn.checks import Outcome

COLOURS = {
    "ok": "green",
    "failed": "bold red",
    "expected failure": "yellow",
    "skipped": "bright_black",
}


def check(
    pattern: str = typer.Argument(
        ..., help="A name, or shell wildcards in quotes.", autocompletion=complete_architecture
    ),
    expect: list[str] = typer.Option(
        [], metavar="CHECK=REASON", help="A check that is expected to fail, and why. Repeatable."
    ),
    quick: bool = typer.Option(
        False,
        help="Leave out the slow checks of networks with more than 100 layers, which take 1 to 20 "
        "minutes each on two CPU cores, and '*' more than an hour.",
    ),
    full: bool = typer.Option(
        False, help="Leave out nothing, not even XLA on networks of a thousand layers: hours."
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Run the conformance suite; the exit status is 1 if a check failed."""
    from kerascnn import registry
    from kerascnn.errors import ArgumentError

    if wrong := [item for item in expect if "=" not in item]:
        raise ArgumentError(f"--expect must be CHECK=REASON. Received: {wrong[0]!r}.")
    expected = dict(item.split("=", 1) for item in expect)
    # A name without wildcards that nobody offers is an error with suggestions, from `get`.
    names = registry.list_architectures(pattern) or [pattern]
    for name in names:
        registry.get(name)

    from kerascnn import checks

    outcomes: list[Outcome] = []
    for name in names:
        running = checks.run_checks(name, expected_failures=expected, quick=quick, full=full)
        outcomes += running if json else _shown(name, running, len(checks.names()))
    if json:
        typer.echo(json_.dumps([vars(outcome) for outcome in outcomes], indent=2))
    else:
        _print_totals(outcomes)
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _shown(name: str, running: Iterable[Outcome], number: int) -> list[Outcome]:
    """The outcomes for one architecture, shown as a table once they are all known."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    outcomes: list[Outcome] = []
    with console.status(f"{name}: building") as status:
        for outcome in running:
            outcomes.append(outcome)
            status.update(f"{name}: {len(outcomes)} of {number} checks done")
    table = Table(title=name, title_justify="left", box=None)
    table.add_column("check", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("outcome")
    for outcome in outcomes:
        text = f"[{COLOURS[outcome.status]}]{outcome.status}[/]"
        text += f": {escape(outcome.reason)}" if outcome.reason else ""
        table.add_row(outcome.check, f"{outcome.seconds:.1f}", text)
    console.print(table)
    return outcomes


def _print_totals(outcomes: list[Outcome]) -> None:
    from rich.console import Console

    counts = {status: sum(o.status == status for o in outcomes) for status in COLOURS}
    parts = [f"[{COLOURS[s]}]{count} {s}[/]" for s, count in counts.items() if count]
    seconds = sum(outcome.seconds for outcome in outcomes)
    Console().print(f"{len(outcomes)} checks in {seconds:.0f} s: {', '.join(parts)}")
