"""`kerascnn tune`: search on one machine or many, and report."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

from kerascnn.commands import (
    Group,
    complete_architecture,
    complete_directory,
    complete_source,
)
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn_tuning.objectives import COSTS, MAIN
from kerascnn_tuning.options import given, said
from kerascnn_tuning.plan import PRUNINGS, TUNERS, Plan


class _SearchByDefault(Group):
    """`kerascnn tune lenet5` is `kerascnn tune search lenet5`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["search", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands, and what `search` takes in their place."""
        (name,) = (one for one in self.commands["search"].params if one.name == "name")
        return [*super().shell_complete(ctx, incomplete), *name.shell_complete(ctx, incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """For `typer.Argument(autocompletion=...)`: study directories."""
    return complete_directory(incomplete, home="studies", marker="study.json")


app = typer.Typer(
    cls=_SearchByDefault,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Search an architecture's declared space with KerasTuner, under a budget.\n\n"
    "See what can be searched: `kerascnn tune lenet5 --space`.\n\n"
    "Search: `kerascnn tune lenet5 --data mnist5k --max-params 50k --max-trials 20`, short for "
    "`kerascnn tune search lenet5 ...`; all options are in `kerascnn tune search --help`.\n\n"
    "Take the best: `kerascnn evaluate STUDY/best`. Train one trial again: `kerascnn train "
    "--from-trial STUDY/0003`.\n\n"
    "On many machines: a chief, and any number of workers that share a directory with it.",
)


def _positive(value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise typer.BadParameter(f"must be a positive number of seconds. Received: {value}.")
    return value


SPACE = "Space"
BUDGET = "Budget"
TRIALS = "Trials"
FINALS = "Finals"


@app.command()
def search(
    context: typer.Context,
    name: str | None = typer.Argument(
        None, help="An architecture; see `kerascnn list`.", autocompletion=complete_architecture
    ),
    data: str = typer.Option(
        "mnist5k", help="As for `kerascnn train`.", autocompletion=complete_source
    ),
    study: Path | None = typer.Option(None, help="A study file (TOML) instead of NAME."),
    resume: Path | None = typer.Option(
        None, help="Go on with this study directory.", autocompletion=complete_study
    ),
    dir_: Path | None = typer.Option(
        None, "--dir", help="The study directory; default: studies/NAME-DATA-TIME."
    ),
    tuner: str = typer.Option("random", help=f"One of {', '.join(TUNERS)}."),
    objective: str = typer.Option(
        MAIN,
        help="One or several with commas: a measure of the network's task such as val_error, "
        f"val_loss, error, loss, {', '.join(COSTS)}; or {MAIN}, the task's main measure on the "
        "validation images. The first guides the search (with optuna all do); all span the Pareto "
        "front.",
    ),
    max_trials: int | None = typer.Option(
        None, help="Default: 20; hyperband and grid: all.", rich_help_panel=BUDGET
    ),
    max_minutes: float | None = typer.Option(
        None, help="After it no new trial begins.", rich_help_panel=BUDGET
    ),
    max_params: str | None = typer.Option(None, help="Such as 500k.", rich_help_panel=BUDGET),
    max_macs: str | None = typer.Option(None, help="Such as 2M.", rich_help_panel=BUDGET),
    max_memory: str | None = typer.Option(
        None, help="Of a training step, estimated; such as 2G.", rich_help_panel=BUDGET
    ),
    start: list[str] = typer.Option(
        [],
        help="Depart from other defaults, such as widths=8,16,32. Repeatable.",
        rich_help_panel=SPACE,
    ),
    only: str | None = typer.Option(
        None, help="Search these alone, with commas: kernels,widths.", rich_help_panel=SPACE
    ),
    fix: list[str] = typer.Option(
        [], help="Give one its value: kernels=5, widths=6,16. Repeatable.", rich_help_panel=SPACE
    ),
    choose: list[str] = typer.Option(
        [], help="Search one among values: kernels=3,5,7. Repeatable.", rich_help_panel=SPACE
    ),
    range_: list[str] = typer.Option(
        [],
        "--range",
        help="Search one between bounds: dropout=0:0.5. Repeatable.",
        rich_help_panel=SPACE,
    ),
    space: bool = typer.Option(
        False,
        "--space",
        help="Print the space, its size and its share within the budget; stop.",
        rich_help_panel=SPACE,
    ),
    input_shape: str | None = typer.Option(None, help="Such as 64x64x3.", rich_help_panel=TRIALS),
    epochs: int | None = typer.Option(
        None, help="Of a trial, or of Hyperband's longest.", rich_help_panel=TRIALS
    ),
    strategy: str = typer.Option(
        "auto", help="Of each trial: auto, none, mirrored, mirrored:N.", rich_help_panel=TRIALS
    ),
    precision: str = typer.Option("float32", rich_help_panel=TRIALS),
    seed: int = typer.Option(0, help="Of proposals and trials.", rich_help_panel=TRIALS),
    repeats: int = typer.Option(
        1,
        help="Trainings of each trial, from other seeds; their mean counts.",
        rich_help_panel=TRIALS,
    ),
    prune: str = typer.Option(
        "none",
        help=f"One of {', '.join(PRUNINGS)}: end trials that are worse than half of the earlier.",
        rich_help_panel=TRIALS,
    ),
    prune_after: int | None = typer.Option(
        None, help="Epochs that every trial has; default: a quarter.", rich_help_panel=TRIALS
    ),
    warm_start: str | None = typer.Option(
        None, help="Another study's directory, to begin with what it knows.", rich_help_panel=TRIALS
    ),
    retries: int = typer.Option(1, help="After errors that may pass.", rich_help_panel=TRIALS),
    failure_limit: int = typer.Option(
        5, help="So many failures in a row end the search.", rich_help_panel=TRIALS
    ),
    keep: int = typer.Option(3, help="Models of so many best trials stay.", rich_help_panel=TRIALS),
    recycle: int = typer.Option(
        50,
        min=1,
        help="A fresh process after so many trials, as memory grows.",
        rich_help_panel=TRIALS,
    ),
    finalists: int | None = typer.Option(
        None,
        min=1,
        help="Then train so many of the best again, as `tune finals` does.",
        rich_help_panel=FINALS,
    ),
    seeds: int = typer.Option(
        3, min=1, help="Runs of each finalist, from seeds of their own.", rich_help_panel=FINALS
    ),
    json: bool = typer.Option(
        False, "--json", help="Print the leaderboard, or the space, as JSON only."
    ),
) -> None:
    """Search on this machine. What can't be built or is over budget is never a trial."""
    if sum(given is not None for given in (name, study, resume)) != 1:
        raise ArgumentError(
            "Pass either the name of an architecture, as in `kerascnn tune lenet5`, or "
            "--study FILE, or --resume DIR."
        )
    _refuse_ignored(context, resume=resume, space=space)
    if finalists is None and given(context, "seeds"):
        raise ArgumentError("--seeds are those of finals. Pass --finalists K, too.")
    fields = said(context)
    if study is not None:
        plan = _plan(study, fields)
    elif resume is not None:
        plan = _stored(resume).changed(fields)  # what can't change any more is refused by the study
    else:
        assert name is not None
        plan = Plan(architecture=name, **fields)

    from kerascnn.console import Console
    from kerascnn_tuning import printing

    console = Console(stderr=json)
    if space:
        from kerascnn_tuning.problem import Problem

        problem = Problem.of(plan)
        if json:
            printing.print_json(printing.space_as_json(problem))
        else:
            printing.print_space(problem, console)
        return
    from kerascnn_tuning.searching import search_on

    found, over = search_on(plan, directory=resume or dir_, console=console, most=recycle)
    if not over:
        options = ["--recycle", str(recycle), *(["--json"] if json else [])]
        if finalists:
            options += ["--finalists", str(finalists), "--seeds", str(seeds)]
        _in_a_fresh_process("tune", "search", "--resume", str(found.path), *options)
    content = printing.study_as_json(found)
    if not json:
        printing.print_study(found, console)
    if finalists:
        from kerascnn_tuning.finals.running import run_finals

        outcome = run_finals(found, finalists=finalists, seeds=seeds, console=console)
        content["finals"] = outcome.as_json()
        if not json:
            printing.print_finals(outcome, console)
    if json:
        printing.print_json(content)


@app.command()
def report(
    study: Path = typer.Argument(help="A study directory.", autocompletion=complete_study),
    optuna: Path | None = typer.Option(
        None, help="Also write the trials into this SQLite file for optuna-dashboard."
    ),
    json: bool = typer.Option(False, "--json", help="Print the leaderboard as JSON only."),
) -> None:
    """Rebuild leaderboard, pictures, HParams and best/ from the trials."""
    from kerascnn.console import Console
    from kerascnn_tuning import printing
    from kerascnn_tuning.study import report as report_
    from kerascnn_tuning.study.study import Study

    found = Study.open(study)
    report_.write(found)
    if optuna is not None:
        from kerascnn_tuning.oracles.tpe import export

        export(found, optuna)
    if json:
        printing.print_json(printing.study_as_json(found))
    else:
        printing.print_study(found, Console())


@app.command()
def finals(
    study: Path = typer.Argument(
        help="A study directory with completed trials.", autocompletion=complete_study
    ),
    finalists: int = typer.Option(3, min=1, help="How many of the best trials."),
    seeds: int = typer.Option(3, min=1, help="Runs of each; from seeds that no trial had."),
    epochs: int | None = typer.Option(None, min=1, help="Of each run; default: the study's."),
    together: bool = typer.Option(
        True, help="Also train each on training and validation images together."
    ),
    json: bool = typer.Option(False, "--json", help="Print the outcome as JSON only."),
) -> None:
    """Train the best trials again from several seeds, beside the default within the budget."""
    from kerascnn.console import Console
    from kerascnn_tuning import printing
    from kerascnn_tuning.finals.running import run_finals
    from kerascnn_tuning.study.study import Study

    console = Console(stderr=json)
    found = run_finals(
        Study.open(study),
        finalists=finalists,
        seeds=seeds,
        epochs=epochs,
        together=together,
        console=console,
    )
    if json:
        printing.print_json(found.as_json())
    else:
        printing.print_finals(found, console)


@app.command()
def chief(
    study: Path = typer.Argument(help="A study file (TOML)."),
    bind: str = typer.Option("127.0.0.1:8431", help="HOST:PORT; loopback by default."),
    dir_: Path = typer.Option(..., "--dir", help="The study directory, shared with all workers."),
    token_file: Path | None = typer.Option(
        None, help="A shared secret; needed where other machines can reach HOST."
    ),
    stale: float = typer.Option(
        60.0, help="Seconds of silence after which a worker is dead.", callback=_positive
    ),
    wait: float = typer.Option(
        600.0, help="Seconds without any worker after which to give up.", callback=_positive
    ),
) -> None:
    """Give out a study's trials to workers; start it again to go on after a crash."""
    plan = _plan(study)

    from kerascnn.console import Console
    from kerascnn_tuning.printing import print_study
    from kerascnn_tuning.remote.addresses import read_token
    from kerascnn_tuning.remote.machines import run_chief

    console = Console()
    found = run_chief(
        plan,
        dir_,
        bind,
        token=read_token(token_file),
        stale_seconds=stale,
        wait_seconds=wait,
        console=console,
    )
    print_study(found, console)


@app.command()
def worker(
    chief: str = typer.Option(..., help="HOST:PORT of the chief."),
    dir_: Path = typer.Option(..., "--dir", help="The study directory, shared with the chief."),
    id_: str | None = typer.Option(None, "--id", help="Unique; default: machine and process."),
    token_file: Path | None = typer.Option(None, help="The chief's shared secret."),
    stale: float = typer.Option(
        60.0, help="The chief's; heartbeats come six times as often.", callback=_positive
    ),
    patience: float = typer.Option(
        600.0, help="Seconds to wait for a chief that is away.", callback=_positive
    ),
    recycle: int = typer.Option(50, min=1, help="A fresh process after so many trials."),
) -> None:
    """Run trials of a chief until it has no more."""
    from kerascnn.console import Console
    from kerascnn_tuning.remote.addresses import read_token
    from kerascnn_tuning.remote.machines import run_worker

    over = run_worker(
        dir_,
        chief,
        worker=id_,
        token=read_token(token_file),
        stale_seconds=stale,
        patience=patience,
        recycle=recycle,
        console=Console(),
    )
    if not over:
        _in_a_fresh_process(*sys.argv[1:])


@app.command()
def local(
    study: Path = typer.Argument(help="A study file (TOML)."),
    dir_: Path = typer.Option(..., "--dir", help="The study directory."),
    workers: int = typer.Option(2, min=1, help="Processes; one GPU each, or a share of the CPU."),
    threads: int | None = typer.Option(
        None, min=1, help="Of each worker without a GPU; default: its share of the processors."
    ),
) -> None:
    """Search with several processes of this machine."""
    _plan(study)

    from kerascnn.console import Console
    from kerascnn_tuning.remote.machines import run_local

    raise typer.Exit(run_local(study, dir_, workers, Console(), threads=threads))


def _in_a_fresh_process(*arguments: str) -> NoReturn:
    """Go on as `kerascnn ARGUMENTS`: TensorFlow's memory, which grows with each trial, is free."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kerascnn", *arguments])


def _plan(study: Path, changes: dict[str, Any] | None = None) -> Plan:
    """What a study file says, or the command line in its place, everything looked up.

    Raises:
        ArgumentError, UnknownNameError: something is illegal; the message names the file.
    """
    from kerascnn_tuning.problem import Problem

    plan = Plan.read(study)
    try:
        Problem.of(plan)
    except KerascnnError as error:
        raise type(error)(f"The study {study}: {error}") from None
    return Plan.read(study, changes)


def _stored(path: Path) -> Plan:
    from kerascnn_tuning.study.study import Study

    return Study.open(path).plan


def _refuse_ignored(context: typer.Context, *, resume: Path | None, space: bool) -> None:
    """Refuse options that would have no effect beside the others."""
    if resume is not None and given(context, "dir_"):
        raise ArgumentError("--resume names the study directory itself. Leave --dir out.")
    if not space:
        return
    without = {"dir_": "--dir", "recycle": "--recycle", "finalists": "--finalists"}
    if useless := [option for name, option in without.items() if given(context, name)]:
        raise ArgumentError(
            f"--space prints and stops: {', '.join(useless)} would have no effect. Leave it out."
        )
