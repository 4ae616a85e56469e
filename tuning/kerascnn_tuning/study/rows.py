"""A study's trials as rows, read from what the oracle and the runs have written."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerascnn import Run
from kerascnn.tasks import Measure
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.space import tidy
from kerascnn_tuning.study.files import PRUNED_AT, PRUNED_FILE, read_json, usable


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        id: its id, the name of its run directory.
        status: RUNNING, INVALID (to be tried again), COMPLETED, PRUNED or FAILED.
        values: the searched hyperparameters that were active.
        arguments, training: complete arguments of the architecture and values of the recipe.
        metrics: what it reported; empty unless it was completed or pruned.
        reason: why it failed or was pruned.
        path: its run directory; of its repeats, in `repeats/1` and so on.
        epochs: for which it was trained.
        spread: standard deviation of each metric over the repeats; empty without any.
    """

    id: str
    status: str
    values: dict[str, Any]
    arguments: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, float]
    reason: str | None
    path: Path
    epochs: int = 0
    spread: dict[str, float] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether it came to a good end."""
        return self.status == "COMPLETED"

    @property
    def ended(self) -> bool:
        """Whether it came to an end."""
        return self.status in ("COMPLETED", "PRUNED", "FAILED")


def read_row(file: Path, problem: Problem, trials: Path) -> Row:
    """A trial as its file of the oracle and its runs in `trials` have it.

    Raises:
        StudyError: a file is damaged.
    """
    with usable(file):
        state = read_json(file)
        values = state["hyperparameters"]["values"]
        found = problem.configuration(values)
        path = trials / f"{int(state['trial_id']):04d}"
        metrics: dict[str, float] = {
            name: float(history["observations"][0]["value"][0])
            for name, history in state["metrics"]["metrics"].items()
        }
        spread: dict[str, float] = {}
        done = state["status"] == "COMPLETED"
        pruned_at = metrics.pop(PRUNED_AT, None)
        if done and (path / "metrics.json").is_file():
            # What came over the wire was rounded to single precision.
            exact, spread = averaged([numbers(run.metrics) for run in runs_of(path)])
            cost = problem.network(found.arguments).cost()
            metrics |= {**exact, "params": cost.params, "macs": cost.macs}
        if done and (missing := [n for n in problem.plan.objectives if n not in metrics]):
            raise KeyError(missing[0])
        return Row(
            id=path.name,
            status=state["status"] if pruned_at is None else "PRUNED",
            values={
                p.name: tidy(p, values[p.name]) for p in problem.space.scalars() if p.name in values
            },
            arguments=found.arguments,
            training=found.training,
            metrics=metrics if done else {},
            reason=_why_pruned(path) if pruned_at else None if done else state["message"],
            path=path,
            epochs=int(pruned_at or values.get("tuner/epochs", problem.recipe.epochs)),
            spread=spread,
        )


def front(rows: list[Row], names: tuple[str, ...], measures: Mapping[str, Measure]) -> list[Row]:
    """The rows that are not dominated, by the first metric, the best first."""
    points = {row.id: [measures[name].sign * row.metrics[name] for name in names] for row in rows}

    def dominated(row: Row) -> bool:
        mine = points[row.id]
        return any(
            other != mine and all(a <= b for a, b in zip(other, mine)) for other in points.values()
        )

    kept = [row for row in rows if not dominated(row)]
    return sorted(kept, key=lambda row: points[row.id])


def _why_pruned(path: Path) -> str:
    file = path / PRUNED_FILE
    return str(read_json(file)["reason"]) if file.is_file() else "worse than the median"


def runs_of(path: Path) -> list[Run]:
    """A trial's run, and those of its repeats."""
    repeats = sorted((path / "repeats").glob("*/metrics.json"), key=lambda file: len(str(file)))
    return [Run(path), *(Run(file.parent) for file in repeats)]


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers with a fraction."""
    return {name: value for name, value in metrics.items() if isinstance(value, float)}


def averaged(runs: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The means of what several runs measured, and the standard deviations; none for one run."""
    columns = {name: [run[name] for run in runs] for name in runs[0]}
    means = {name: statistics.fmean(values) for name, values in columns.items()}
    if len(runs) < 2:
        return means, {}
    return means, {name: statistics.stdev(values) for name, values in columns.items()}
