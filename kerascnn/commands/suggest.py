"""`kerascnn suggest`: which network to train on one's photos, and how long that takes."""

from __future__ import annotations

import json as json_
import re
from typing import TYPE_CHECKING

import typer

from kerascnn.commands.options import complete_source
from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    from rich.table import Table

    from kerascnn.bench.suggesting import Candidate, Suggestion

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def suggest(
    data: str = typer.Option(
        help="A source of labelled images, such as folder:PATH.", autocompletion=complete_source
    ),
    max_params: str | None = typer.Option(
        None, metavar="N", help="Trainable parameters, at most, such as 500k or 2M."
    ),
    minutes: float = typer.Option(30.0, help="Of training on this machine, at most."),
    seed: int = typer.Option(0, help="Of the split, where the source has none."),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """Suggest a network for photos: candidates with their cost and minutes, one of them marked.

    Costs are counted; two networks are trained on noise for a minute or so, to learn how fast this
    machine is. The most multiply-adds within the limits are marked.
    """
    most = _count(max_params) if max_params else None
    from kerascnn.bench import suggesting
    from kerascnn.console import Console, sayer

    found = suggesting.suggest(
        data, max_params=most, minutes=minutes, seed=seed, say=sayer(Console(stderr=True))
    )
    if json:
        typer.echo(json_.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        _print(found, minutes)


def _print(found: Suggestion, minutes: float) -> None:
    from kerascnn import tables
    from kerascnn.console import Console, sayer

    console = Console()
    say = sayer(console)
    say(found.photos.sentence)
    for speed in found.measured:
        rows, columns, _ = speed.input_shape
        say(
            f"Measured here, now: {speed.name} at {rows}×{columns} trains on "
            f"{1 / speed.seconds:,.0f} images/s."
        )
    tables.show(console, _table(found))
    chosen = found.chosen
    if chosen is None:
        least = min(found.candidates, key=lambda one: one.minutes)
        say(
            f"None fits. The shortest training, {_size(least)}, is estimated at "
            f"{least.minutes:,.1f} minutes: allow more (--minutes, --max-params), or train for "
            f"fewer epochs (--epochs)."
        )
    else:
        say(
            f"← the most multiply-adds that fit into {minutes:g} minutes: more of them give fewer "
            "errors in the papers' tables. Which is best on these photos, training tells."
        )
        say(chosen.command)
    for line in found.advice:
        say(line)


def _size(one: Candidate) -> str:
    return f"{one.name} at {one.input_shape[0]}×{one.input_shape[1]}"


def _table(found: Suggestion) -> Table:
    from rich.table import Table

    titles = ("network", "input", "parameters", "MACs", "epochs", "minutes", "", "too many")
    table = Table(*titles, box=None)
    table.columns[0].no_wrap = True
    for number in (1, 2, 3, 4, 5):
        table.columns[number].justify = "right"
    for one in found.candidates:
        width = one.arguments.get("widths")
        table.add_row(
            f"{one.name}, {width[0]} wide" if width else one.name,
            f"{one.input_shape[0]}",
            f"{one.params / 1e6:,.2f} M",
            f"{one.macs / 1e6:,.1f} M",
            f"{one.epochs}",
            f"{one.minutes:,.1f}",
            "←" if one is found.chosen else "",
            one.too.replace("parameters", "params"),
            style="bold" if one is found.chosen else "dim" if one.too else None,
        )
    return table


def _count(text: str) -> int:
    """`"2M"` as 2,000,000.

    Raises:
        ArgumentError: it is no positive number.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)\s*", text, re.IGNORECASE | re.ASCII)
    value = round(float(found[1]) * UNITS[found[2].lower()]) if found else 0
    if not value:
        raise ArgumentError(
            f"--max-params must be a positive number, such as 500k or 2M. Received: {text!r}."
        )
    return value
