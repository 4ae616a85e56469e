"""`kerascnn tune`: search on one machine or many, and report."""

from __future__ import annotations

import ast
import json as json_
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from kerascnn.commands.groups import Group
from kerascnn.commands.options import parse_shape
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn_tuning.plan import METRICS, PRUNINGS, TUNERS, Plan, parse_count

if TYPE_CHECKING:
    from kerascnn_tuning.finals import Finals
    from kerascnn_tuning.study import Study


class _SearchByDefault(Group):
    """`kerascnn tune lenet5` is `kerascnn tune search lenet5`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["search", *args]
        return super().parse_args(ctx, args)


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
    name: str | None = typer.Argument(None, help="An architecture; see `kerascnn list`."),
    data: str = typer.Option("mnist5k", help="As for `kerascnn train`."),
    study: Path | None = typer.Option(None, help="A study file (TOML) instead of NAME."),
    resume: Path | None = typer.Option(None, help="Go on with this study directory."),
    dir_: Path | None = typer.Option(
        None, "--dir", help="The study directory; default: studies/NAME-DATA-TIME."
    ),
    tuner: str = typer.Option("random", help=f"One of {', '.join(TUNERS)}."),
    objective: str = typer.Option(
        "val_error",
        help=f"To minimize, one or several with commas: {', '.join(METRICS)}. The first guides "
        "the search (with optuna all do); all span the Pareto front.",
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
    if finalists is None and _given(context, "seeds"):
        raise ArgumentError("--seeds are those of finals. Pass --finalists K, too.")
    said = _said(context)
    if study is not None:
        plan = _plan(study, said)
    elif resume is not None:
        plan = _stored(resume).changed(said)  # what can't change any more is refused by the study
    else:
        assert name is not None
        plan = Plan(architecture=name, **said)

    from kerascnn.console import Console

    console = Console(stderr=json)
    if space:
        _print_space(plan, console, json=json)
        return
    from kerascnn_tuning.searching import search_on

    found, over = search_on(plan, directory=resume or dir_, console=console, most=recycle)
    if not over:
        options = ["--recycle", str(recycle), *(["--json"] if json else [])]
        if finalists:
            options += ["--finalists", str(finalists), "--seeds", str(seeds)]
        _in_a_fresh_process("tune", "search", "--resume", str(found.path), *options)
    if not finalists:
        _print_result(found, console, json=json)
        return
    from kerascnn_tuning.finals import as_json, run_finals

    if not json:
        _print_result(found, console, json=False)
    outcome = run_finals(found, finalists=finalists, seeds=seeds, console=console)
    if json:
        _print_result(found, console, json=True, finals=as_json(outcome))
    else:
        _print_finals(outcome, console)


@app.command()
def report(
    study: Path = typer.Argument(help="A study directory."),
    optuna: Path | None = typer.Option(
        None, help="Also write the trials into this SQLite file for optuna-dashboard."
    ),
    json: bool = typer.Option(False, "--json", help="Print the leaderboard as JSON only."),
) -> None:
    """Rebuild leaderboard, pictures, HParams and best/ from the trials."""
    from kerascnn.console import Console
    from kerascnn_tuning import report as report_
    from kerascnn_tuning.study import Study

    found = Study.open(study)
    report_.write(found)
    if optuna is not None:
        from kerascnn_tuning.tpe import export

        export(found, optuna)
    _print_result(found, Console(stderr=json), json=json)


@app.command()
def finals(
    study: Path = typer.Argument(help="A study directory with completed trials."),
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
    from kerascnn_tuning.finals import as_json, run_finals
    from kerascnn_tuning.study import Study

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
        typer.echo(json_.dumps(as_json(found), indent=2))
    else:
        _print_finals(found, console)


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
    from kerascnn_tuning.machines import run_chief
    from kerascnn_tuning.remote import read_token

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
    _print_result(found, console, json=False)


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
    from kerascnn_tuning.machines import run_worker
    from kerascnn_tuning.remote import read_token

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
    from kerascnn_tuning.machines import run_local

    raise typer.Exit(run_local(study, dir_, workers, Console(), threads=threads))


def _in_a_fresh_process(*arguments: str) -> NoReturn:
    """Go on as `kerascnn ARGUMENTS`: TensorFlow's memory, which grows with each trial, is free."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kerascnn", *arguments])


def _plan(study: Path, said: dict[str, Any] | None = None) -> Plan:
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
    return Plan.read(study, said)


def _stored(path: Path) -> Plan:
    from kerascnn_tuning.study import Study

    return Study.open(path).plan


def _refuse_ignored(context: typer.Context, *, resume: Path | None, space: bool) -> None:
    """Refuse options that would have no effect beside the others."""
    if resume is not None and _given(context, "dir_"):
        raise ArgumentError("--resume names the study directory itself. Leave --dir out.")
    if not space:
        return
    without = {"dir_": "--dir", "recycle": "--recycle", "finalists": "--finalists"}
    if useless := [option for name, option in without.items() if _given(context, name)]:
        raise ArgumentError(
            f"--space prints and stops: {', '.join(useless)} would have no effect. Leave it out."
        )


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _said(context: typer.Context) -> dict[str, Any]:
    """The fields of a plan that this command line sets, without defaults."""
    return {
        field: convert(context.params[option])
        for option, (field, convert) in _FIELDS.items()
        if _given(context, option)
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _value(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


def _assignments(items: list[str], option: str) -> dict[str, Any]:
    """`["pool=max", "widths=6,16"]` → `{"pool": "max", "widths": (6, 16)}`."""
    found: dict[str, Any] = {}
    for item in items:
        key, equals, text = (part.strip() for part in item.partition("="))
        parts = tuple(_value(part.strip()) for part in text.strip("()[]").split(",") if part)
        if not (key and equals and parts):
            raise ArgumentError(f"{option} must be parameter=value. Received: {item!r}.")
        _refuse_second(key, found, option)
        found[key] = parts if "," in text else parts[0]
    return found


def _refuse_second(key: str, found: dict[str, Any], option: str) -> None:
    if key in found:
        raise ArgumentError(f"{option} says something about {key} more than once.")


def _choices(items: list[str]) -> dict[str, Any]:
    found = _assignments(items, "--choose")
    return {k: v if isinstance(v, tuple) else (v,) for k, v in found.items()}


def _ranges(items: list[str]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for item in items:
        key, _, bounds = item.partition("=")
        low, colon, high = bounds.partition(":")
        values = (_value(low), _value(high))
        if not key or not colon or not all(isinstance(v, (int, float)) for v in values):
            raise ArgumentError(f"--range must be parameter=LOW:HIGH. Received: {item!r}.")
        _refuse_second(key, found, "--range")
        found[key] = values
    return found


def _same(value: Any) -> Any:
    return value


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "objective": ("objectives", _names),
    "only": ("only", _names),
    "input_shape": ("input_shape", parse_shape),
    "start": ("start", lambda items: _assignments(items, "--start")),
    "fix": ("fix", lambda items: _assignments(items, "--fix")),
    "choose": ("choose", _choices),
    "range_": ("range", _ranges),
    "max_params": ("max_params", lambda text: parse_count(text, "--max-params")),
    "max_macs": ("max_macs", lambda text: parse_count(text, "--max-macs")),
    "max_memory": ("max_memory", lambda text: parse_count(text, "--max-memory")),
    **{
        name: (name, _same)
        for name in (
            *("data", "tuner", "max_trials", "max_minutes", "epochs", "strategy", "precision"),
            *(
                "seed",
                "repeats",
                "prune",
                "prune_after",
                "warm_start",
                "retries",
                "failure_limit",
                "keep",
            ),
        )
    },
}
"""Option of `search` → the plan's field, and how the text becomes its value."""


def _print_space(plan: Plan, console: Any, *, json: bool) -> None:
    from rich.table import Table

    from kerascnn_tuning.problem import COUNTED, Problem, is_searched

    problem = Problem.of(plan)
    size, share = problem.size(), problem.share_allowed()
    if json:
        found = {
            "parameters": [
                {
                    "name": param.name,
                    "default": param.default,
                    "searched": [e.name for e in param.elements() if is_searched(e)],
                    "values": _searched_text(param),
                    "only_if": param.when,
                    "help": param.help,
                }
                for param in problem.space
            ],
            "configurations": None if size == float("inf") else size,
            "share_within_budget": share,
        }
        typer.echo(json_.dumps(found, indent=2))
        return
    table = Table(box=None)
    for column in ("parameter", "default", "searched", "only if", "help"):
        table.add_column(column)
    for param in problem.space:
        searched = any(is_searched(element) for element in param.elements())
        only_if = f"{param.when[0]}: {', '.join(map(str, param.when[1]))}" if param.when else ""
        values = _searched_text(param) if searched else "fixed"
        table.add_row(param.name, str(param.default), values, only_if, param.help)
    console.print(table)
    count = f"{'at most ' if size > COUNTED else ''}{size:,}"
    console.print(f"Configurations: {'a continuum' if size == float('inf') else count}")
    console.print(f"Can be built within the budget: {share:.0%} (of 200 samples)")


def _searched_text(param: Any) -> str:
    if isinstance(param.search, tuple):
        return ", ".join(map(str, param.search))
    return str(param.search or "")


def _print_finals(finals: Finals, console: Any) -> None:
    from kerascnn_tuning.finals import print_finals

    print_finals(finals, console.print)
    console.print(f"The runs, finals.csv and finals.json are in {finals.directory}.")


def _print_result(
    study: Study, console: Any, *, json: bool, finals: dict[str, Any] | None = None
) -> None:
    rows = study.leaderboard
    front = {row.id for row in study.pareto}
    if json:
        found = [
            {
                "trial": row.id,
                "epochs": row.epochs,
                "pareto": row.id in front,
                "metrics": row.metrics,
                "spread": row.spread,
                "arguments": row.arguments,
                "training": row.training,
            }
            for row in rows
        ]
        content = {"study": str(study.path), "trials": found}
        typer.echo(json_.dumps(content | ({"finals": finals} if finals else {}), indent=2))
        return
    from rich.table import Table

    from kerascnn_tuning.report import FEWEST, importance_note

    shown = list(dict.fromkeys([*study.plan.objectives, "val_error", "test_error", "params"]))
    table = Table(box=None)
    for column in ("trial", "epochs", *shown, "pareto", "hyperparameters"):
        table.add_column(column)
    for row in rows[:10]:
        numbers = [_shown(name, row.metrics.get(name), row.spread.get(name)) for name in shown]
        values = " ".join(f"{k}={v}" for k, v in row.values.items() if not k.startswith("tuner/"))
        table.add_row(row.id, str(row.epochs), *numbers, "yes" if row.id in front else "", values)
    console.print(table)
    if study.plan.prune != "none":
        ended = [row.status for row in study.trials]
        console.print(f"{ended.count('PRUNED')} of {len(ended)} trials were pruned.")
    if study.plan.repeats > 1:
        console.print(f"Means and standard deviations of {study.plan.repeats} seeds.")
    if rows and len(rows) < FEWEST:
        console.print(importance_note(study, rows))
    if rows:
        console.print(f"The best model is in {study.path / 'best'}; the rest in {study.path}.")


def _shown(name: str, value: float | None, spread: float | None = None) -> str:
    if value is None:
        return ""
    percent = name.endswith("error")
    if percent:
        text = f"{value:.2%}"
    else:
        text = f"{value:,.0f}" if name in ("params", "macs") else f"{value:.4g}"
    if spread is None:
        return text
    return f"{text.removesuffix('%')} ± {spread:.2%}" if percent else f"{text} ± {spread:.2g}"
