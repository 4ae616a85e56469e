"""What the commands print: a space, a leaderboard, a verdict; as tables or as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import typer
from rich.table import Table

from kerascnn import Param
from kerascnn.console import Console
from kerascnn.tasks import HELD, TEST
from kerascnn.words import counted
from kerascnn_tuning.figures import figure
from kerascnn_tuning.finals.contestants import DEFAULT
from kerascnn_tuning.finals.verdict import TOGETHER, TRAIN, Finals, shown
from kerascnn_tuning.problem import COUNTABLE, Problem
from kerascnn_tuning.space import is_searched
from kerascnn_tuning.study.importance import FEWEST, importance_note
from kerascnn_tuning.study.study import Study

ROWS = 10
"""Of the leaderboard, as a table."""


def print_json(content: Any) -> None:
    """To standard output, where a console prints nothing else."""
    typer.echo(json.dumps(content, indent=2))


def space_as_json(problem: Problem) -> dict[str, Any]:
    """The space, its size and its share within the budget as plain values."""
    size = problem.size()
    return {
        "parameters": [
            {
                "name": param.name,
                "default": param.default,
                "searched": [e.name for e in param.elements() if is_searched(e)],
                "values": _values(param),
                "only_if": param.when,
                "help": param.help,
            }
            for param in problem.space
        ],
        "configurations": None if math.isinf(size) else size,
        "share_within_budget": problem.share_allowed(),
    }


def print_space(problem: Problem, console: Console) -> None:
    """The same as a table."""
    size, share = problem.size(), problem.share_allowed()
    table = Table(box=None)
    for column in ("parameter", "default", "searched", "only if", "help"):
        table.add_column(column)
    for param in problem.space:
        searched = any(is_searched(element) for element in param.elements())
        only_if = f"{param.when[0]}: {', '.join(map(str, param.when[1]))}" if param.when else ""
        values = _values(param) if searched else "fixed"
        table.add_row(param.name, str(param.default), values, only_if, param.help)
    console.print(table)
    count = f"{'at most ' if size > COUNTABLE else ''}{size:,}"
    console.print(f"Configurations: {'a continuum' if math.isinf(size) else count}")
    console.print(f"Can be built within the budget: {share:.0%} (of 200 samples)")


def _values(param: Param) -> str:
    if isinstance(param.search, tuple):
        return ", ".join(map(str, param.search))
    return str(param.search or "")


def study_as_json(study: Study) -> dict[str, Any]:
    """The leaderboard as plain values."""
    front = {row.id for row in study.pareto}
    trials = [
        {
            "trial": row.id,
            "epochs": row.epochs,
            "pareto": row.id in front,
            "metrics": row.metrics,
            "spread": row.spread,
            "arguments": row.arguments,
            "training": row.training,
        }
        for row in study.leaderboard
    ]
    return {"study": str(study.path), "trials": trials}


def print_study(study: Study, console: Console) -> None:
    """The first rows of the leaderboard as a table, and where the rest is."""
    rows, plan = study.leaderboard, study.plan
    front = {row.id for row in study.pareto}
    main, measures = plan.task.main.name, study.problem.measures
    metrics = list(dict.fromkeys([*plan.objectives, HELD + main, TEST + main, "params"]))
    table = Table(box=None)
    for column in ("trial", "epochs", *metrics, "pareto", "hyperparameters"):
        table.add_column(column)
    for row in rows[:ROWS]:
        figures = [
            figure(measures[name], row.metrics[name], row.spread.get(name))
            if name in row.metrics
            else ""
            for name in metrics
        ]
        values = " ".join(f"{k}={v}" for k, v in row.values.items() if not k.startswith("tuner/"))
        table.add_row(row.id, str(row.epochs), *figures, "yes" if row.id in front else "", values)
    console.print(table)
    if plan.prune != "none":
        ended = [row.status for row in study.trials]
        console.print(f"{ended.count('PRUNED')} of {len(ended)} trials were pruned.")
    if plan.repeats > 1:
        console.print(f"Means and standard deviations of {plan.repeats} seeds.")
    if rows and len(rows) < FEWEST:
        console.print(importance_note(study, rows))
    if rows:
        console.print(f"The best model is in {study.path / 'best'}; the rest in {study.path}.")


def print_finals(finals: Finals, console: Console) -> None:
    """A table of at most 80 columns, the verdict, and where the runs are."""
    held, test = HELD + finals.main.name, TEST + finals.main.name
    objective = finals.measures[finals.objective]
    table = Table(box=None, pad_edge=False)
    for column in ("", "params", "search", "validation", "test", "test, together"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for one in finals.contestants:
        table.add_row(
            one.name if one.name == DEFAULT else f"trial {one.name}",
            f"{one.params:,}",
            "" if one.searched is None else figure(objective, one.searched),
            shown(finals.main, finals.values(one.name, TRAIN, held), 1),
            shown(finals.main, finals.values(one.name, TRAIN, test), 1),
            shown(finals.main, finals.values(one.name, TOGETHER, test), 1),
        )
    console.print(table)
    verdict = finals.verdict[0].upper() + finals.verdict[1:]
    epochs = counted(finals.epochs, "epoch", "epochs")
    console.print(f"{verdict} {epochs}, {finals.test_images:,} test images.")
    console.print(f"The runs, finals.csv and finals.json are in {finals.directory}.")
