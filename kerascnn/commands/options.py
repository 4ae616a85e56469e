"""Options that several commands share, from text to values."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn import registry
from kerascnn.errors import ArgumentError, RunError

if TYPE_CHECKING:
    from kerascnn.network import Network


RUNS = "runs"  # where training leaves them


def complete_architecture(incomplete: str) -> list[str]:
    """For `typer.Argument(autocompletion=...)`: the names that begin with what was typed."""
    return [n for n in registry.names(registry.ARCHITECTURES) if n.startswith(incomplete)]


def complete_task(incomplete: str) -> list[str]:
    """The same for what networks are made for."""
    return [n for n in registry.names(registry.TASKS) if n.startswith(incomplete)]


def complete_source(incomplete: str) -> list[str]:
    """The same for sources of data; what follows a colon is the user's."""
    return [n for n in registry.names(registry.DATASETS) if n.startswith(incomplete)]


def complete_protocol(incomplete: str) -> list[str]:
    """The same for what an evaluation does as: the run's recipe, or another."""
    known = ("run", *registry.names(registry.RECIPES))
    return [name for name in known if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """The same for `--recipe`: also the network's own and its paper's."""
    from kerascnn.recipes import book as recipe_book

    known = (recipe_book.SMALL, recipe_book.PAPER, *recipe_book.names())
    return [name for name in known if name.startswith(incomplete)]


def complete_precision(incomplete: str) -> list[str]:
    """The same for what a trained network computes in."""
    from kerascnn.recipes.recipe import PRECISIONS

    return [name for name in (*PRECISIONS, "auto") if name.startswith(incomplete)]


def complete_logger(incomplete: str) -> list[str]:
    """The same for `--log`."""
    return [n for n in registry.names(registry.LOGGERS) if n.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """The same for run directories."""
    return complete_directory(incomplete, home=RUNS, marker="config.json")


def complete_directory(incomplete: str, *, home: str, marker: str) -> list[str]:
    """Directories of a kind: those in its usual place, and those where the typed path leads.

    Other folders on the way end with a separator, so that their content comes next.

    Args:
        incomplete: what was typed.
        home: the usual place.
        marker: a file that each of them has.
    """
    typed = Path(incomplete)
    folder = typed if incomplete.endswith(os.sep) or not incomplete else typed.parent
    found = set()
    for place in {Path(home), folder}:
        with contextlib.suppress(OSError):  # no such folder, or a closed one
            found |= {path for path in place.iterdir() if path.is_dir()}
    shown = [f"{path}" if (path / marker).is_file() else f"{path}{os.sep}" for path in found]
    hidden = typed.name.startswith(".") or folder.name.startswith(".")
    return sorted(
        name
        for name in shown
        if name.startswith(incomplete) and (hidden or not Path(name).name.startswith("."))
    )


def complete_subject(incomplete: str) -> list[str]:
    """Architectures, and run directories."""
    return [*complete_architecture(incomplete), *complete_run(incomplete)]


def run_directory(subject: str) -> Path | None:
    """The run directory that a command's subject means, or None if it is an architecture's name.

    A name that is registered is the architecture, whatever lies in the working directory; a run
    of that name is `./NAME`.

    Raises:
        RunError: it is written as a path, and there is no such directory.
    """
    path = Path(subject)
    if subject in registry.entries(registry.ARCHITECTURES):
        if (path / "config.json").is_file():
            typer.echo(
                f"{subject} is the architecture; the run in this folder is ./{subject}.", err=True
            )
        return None
    if path.is_dir():
        return path
    if os.sep in subject or subject.startswith((".", "~")):
        raise RunError(f"There is no run directory {subject}.")
    return None


def refuse_for_run(run: str, options: Mapping[str, Any]) -> None:
    """Refuse options that describe a network where a run is given, which has one.

    Args:
        run: as it was given.
        options: of a network, with what was given for each; none where that is false.

    Raises:
        ArgumentError: one was given.
    """
    if given := [name for name, value in options.items() if value]:
        raise ArgumentError(
            f"{run} is a run, whose model is complete: {', '.join(options)} are for the name of an "
            f"architecture. Received: {', '.join(given)}."
        )


def parse_shape(text: str | None) -> tuple[int, int, int] | None:
    """`64x64x3` → `(64, 64, 3)`.

    Raises:
        ArgumentError: it isn't three positive integers.
    """
    if text is None:
        return None
    parts = text.lower().replace("×", "x").replace(",", "x").split("x")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ArgumentError(
            f"--input-shape must be HEIGHTxWIDTHxCHANNELS, such as 64x64x3. Received: {text!r}."
        )
    height, width, channels = map(int, parts)
    return height, width, channels


def parse_network(
    name: str,
    assignments: list[str],
    *,
    input_shape: str | None = None,
    classes: int | None = None,
) -> Network:
    """The network that the options of a command describe, checked; `["widths=12,32", "pool=max"]`.

    Args:
        name: the architecture's.
        assignments: `argument=value` each; commas make a sequence.
        input_shape: such as 64x64x3; default: native.
        classes: default: native.

    Raises:
        ArgumentError: an assignment has no `=`, or the architecture refuses something.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    from kerascnn import catalogue

    architecture = catalogue.get(name)
    arguments = architecture.space.read(assignments, what="--set")
    return architecture.network(arguments, input_shape=parse_shape(input_shape), classes=classes)


def parse_numbers(option: str, text: str, what: str) -> tuple[int, ...]:
    """`"1,2,5"` as (1, 2, 5).

    Args:
        option: such as --keep-epochs.
        text: what was given for it.
        what: it must be, in words.

    Raises:
        ArgumentError: it isn't whole numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and len(part) < 10 for part in parts):
        raise ArgumentError(f"{option} must be {what}. Received: {text!r}.")
    return tuple(map(int, parts))


def parse_steps(text: str) -> tuple[int, int]:
    """`"20:30"` as (20, 30).

    Raises:
        ArgumentError: it isn't two rising numbers.
    """
    found = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 0 <= first < last:
        raise ArgumentError(
            "--profile must be the first step and the one after the last, counted from 0 at the "
            f"start of the run, such as 20:30. Received: {text!r}."
        )
    return first, last
