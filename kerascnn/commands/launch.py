"""`kerascnn launch`: a training as a job of several workers on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from kerascnn.errors import ArgumentError, RunError

launch = typer.Typer(add_completion=False, rich_markup_mode=None)


@launch.command("launch", context_settings={"allow_interspersed_args": False})
def launch_(
    command: list[str] = typer.Argument(
        ..., metavar="train ...", help="`train` and its arguments, as for one process."
    ),
    workers: int = typer.Option(2, "-n", "--workers", min=1, help="How many processes."),
    restarts: int = typer.Option(
        0, min=0, help="How often to start the job again, from its last epoch, if a worker is lost."
    ),
    start_timeout: float = typer.Option(
        300.0, min=1.0, help="Seconds in which all workers must have started."
    ),
) -> None:
    """Train with several processes on this machine, as with several machines.

    Each trains on its share of every batch and of the GPUs; the result is that
    of one process. If a worker or this command dies or hangs, the others are ended.
    """
    import os

    from kerascnn.console import Console, sayer
    from kerascnn.distribution.launching import run_job

    command, run = _with_run(command)
    say = sayer(Console(stderr=True))
    environment = {**os.environ, "KERASCNN_START_TIMEOUT": str(start_timeout)}
    outcome = run_job(command, workers, environment=environment, say=say)
    for number in range(restarts):
        if not outcome.lost:
            break
        command = restart_command(command, run)
        say(f"Restart {number + 1} of {restarts}: kerascnn {' '.join(command)}")
        outcome = run_job(command, workers, environment=environment, say=say)
    if outcome.failed:
        more = f" It was started again {restarts} times." if restarts and outcome.lost else ""
        how = f"`kerascnn launch -n {workers} train --resume {run}`"
        say(f"Error: {outcome.description}; the job has failed.{more} Go on with {how}.")
    raise typer.Exit(outcome.status)


def _with_run(command: list[str]) -> tuple[list[str], Path]:
    """The command with a run directory, which all workers and all restarts have to share.

    Raises:
        ArgumentError: it isn't `train`, or with a strategy for one process.
        RunError: there is no run to go on with.
    """
    if command[0] != "train":
        raise ArgumentError(f"launch starts `train` only. Received: {command[0]!r}.")
    told = _parsed(command[1:])
    strategy = told["strategy"] or "auto"
    if earlier := told["resume"] or told["config"]:
        from kerascnn.runs.run import Run

        run = Run.open(earlier.parent if earlier.is_file() else earlier)
        strategy = run.config.strategy
    if strategy not in ("auto", "multiworker"):
        which = f"{run.path} was trained with" if earlier else "Received:"
        raise ArgumentError(
            f"launch needs strategy multiworker, or none given. {which} {strategy!r}."
        )
    if told["resume"] is not None:
        return command, Path(told["resume"])
    if told["run"] is not None:
        return command, Path(told["run"])
    from kerascnn.runs.config import default_path

    new = default_path(told["name"] or "again", told["data"])
    return [*command, "--run", str(new)], new


def restart_command(command: Sequence[str], run: Path) -> list[str]:
    """How to go on with a job: from the run's last checkpoint, if it has come so far.

    A loss of the recipe's own is said again, as the run doesn't import what its files name: this
    job has written them a moment ago.
    """
    if not (run / "config.json").is_file():
        return list(command)
    again = ["train", "--resume", str(run)]
    from kerascnn.recipes.losses import path_of
    from kerascnn.runs.run import Run

    try:
        loss = Run(run).config.recipe.loss
    except RunError:  # going on will say it
        loss = None
    return [*again, "--loss", path_of(loss)] if loss else again


def _parsed(arguments: list[str]) -> dict[str, Any]:
    """The options of `kerascnn train`, by name; what it refuses is refused here."""
    from kerascnn.commands.train import train

    app = typer.Typer(add_completion=False)
    app.command(name="train")(train)
    return typer.main.get_command(app).make_context("kerascnn train", arguments).params
