"""`kerascnn check`: the conformance suite on any installed architecture."""

from __future__ import annotations

import json as json_
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from kerascnn.commands.options import complete_architecture

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
    jobs: int = typer.Option(
        1, min=1, help="Of several networks, how many are checked at the same time."
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Run the conformance suite; the exit status is 1 if a check failed."""
    from kerascnn import catalogue
    from kerascnn.errors import ArgumentError

    if wrong := [item for item in expect if "=" not in item]:
        raise ArgumentError(f"--expect must be CHECK=REASON. Received: {wrong[0]!r}.")
    expected = dict(item.split("=", 1) for item in expect)
    # A name without wildcards that nobody offers is an error with suggestions, from `get`.
    names = catalogue.list_architectures(pattern) or [pattern]
    for name in names:
        catalogue.get(name)

    from kerascnn import checks

    checks.require_known(expected)  # before a process is started
    outcomes: list[Outcome] = []
    if len(names) == 1:
        running = checks.run_checks(names[0], expected_failures=expected, quick=quick, full=full)
        outcomes += running if json else _watched(names[0], running, len(checks.names()))
    else:
        flags = [flag for flag, given in (("--quick", quick), ("--full", full)) if given]
        flags += [part for item in expect for part in ("--expect", item)]
        for found in _in_processes(names, flags, jobs):
            outcomes += found
            if not json:
                _show(found)
    if json:
        typer.echo(json_.dumps([vars(outcome) for outcome in outcomes], indent=2))
    else:
        _print_totals(outcomes)
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _in_processes(names: Sequence[str], flags: list[str], jobs: int) -> Iterator[list[Outcome]]:
    """The outcomes for each architecture, in the order of the names.

    Each has a process of its own: TensorFlow keeps what it has compiled for as long as a process
    lives, which adds up to tens of gigabytes, and a crash costs one network.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(lambda name: _in_process(name, flags), names)
        finally:  # after Ctrl-C no other process is started
            pool.shutdown(cancel_futures=True)


def _in_process(name: str, flags: list[str]) -> list[Outcome]:
    """The outcomes for one architecture; a process that broke down is a failed check."""
    from kerascnn.checks import Outcome

    command = [sys.executable, "-m", "kerascnn", "check", name, "--json", *flags]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    try:
        return [Outcome(**outcome) for outcome in json_.loads(ended.stdout)]
    except json_.JSONDecodeError:
        said = ended.stderr.strip().splitlines()[-1:] or ["nothing"]
        reason = f"ended with status {ended.returncode} and said: {said[0]}"
        return [Outcome(name, "process", "failed", reason)]


def _watched(name: str, running: Iterable[Outcome], number: int) -> list[Outcome]:
    """The outcomes for one architecture, counted as they come and shown once they are all known."""
    from rich.status import Status

    from kerascnn.console import Console

    console = Console()
    status = Status(f"{name}: building", console=console)
    outcomes: list[Outcome] = []
    with status if console.is_interactive else nullcontext():
        for outcome in running:
            outcomes.append(outcome)
            status.update(f"{name}: {len(outcomes)} of {number} checks done")
    _show(outcomes)
    return outcomes


def _show(outcomes: Sequence[Outcome]) -> None:
    """A table of the outcomes for one architecture."""
    from rich.markup import escape
    from rich.table import Table

    from kerascnn.console import Console
    from kerascnn.tables import show

    table = Table(title=outcomes[0].architecture, title_justify="left", box=None)
    table.add_column("check", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("outcome")
    for outcome in outcomes:
        text = f"[{COLOURS[outcome.status]}]{outcome.status}[/]"
        text += f": {escape(outcome.reason)}" if outcome.reason else ""
        table.add_row(outcome.check, f"{outcome.seconds:.1f}", text)
    show(Console(), table)


def _print_totals(outcomes: list[Outcome]) -> None:
    from kerascnn.console import Console

    counts = {status: sum(o.status == status for o in outcomes) for status in COLOURS}
    parts = [f"[{COLOURS[s]}]{count} {s}[/]" for s, count in counts.items() if count]
    seconds = sum(outcome.seconds for outcome in outcomes)
    Console().print(f"{len(outcomes)} checks in {seconds:.0f} s: {', '.join(parts)}")
