"""Beginning with what another study knows.

The other study's completed trials that lie in this search's space are kept in STUDY/warm_start.json
when the search begins, so that it goes on in the same way whatever becomes of the other study. Its
best ones are the first trials here. Where its scores can be compared (same data, recipe and
epochs), the others count for the proposals of Bayesian search and Optuna as if they had been tried
here; they are not on the leaderboard, as this study has no runs of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_tuner.engine import hyperparameters as kinds

from kerascnn.data import Dataset
from kerascnn.writing import write_json
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.plan import RATE, Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.space import is_searched, tidy
from kerascnn_tuning.study.files import read_json, usable
from kerascnn_tuning.study.identity import differences, identity
from kerascnn_tuning.study.rows import Row
from kerascnn_tuning.study.study import Study

FILE = "warm_start.json"
FIRST = 3
"""So many of the best are tried first."""
COMPARED = ("data", "recipe")
"""Groups of an identity without whose agreement scores can't be compared."""


@dataclass(frozen=True)
class Known:
    """A trial of the other study.

    Attributes:
        trial: its id there.
        values: its hyperparameters in this search's space.
        scores: its objectives; empty where they can't be compared.
    """

    trial: str
    values: dict[str, Any]
    scores: dict[str, float]


def gather(
    plan: Plan, directory: Path, dataset: Dataset, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """What to take over from the study that the plan names; None if it needn't, or was already.

    Args:
        plan: of the search that begins.
        directory: of its study.
        dataset: loaded as the plan says.
        say: is told what was taken over, and what not.

    Raises:
        StudyError: there is no such study, it is this one, or no trial lies in this space.
    """
    source = plan.warm_start
    if source is None or (directory / FILE).is_file():
        return None
    other = Study.open(source)
    if directory.exists() and directory.samefile(other.path):
        raise StudyError(f"A study can't begin with itself. Received: warm_start {source}.")
    rows = other.leaderboard
    if not rows:
        raise StudyError(f"{source} has no completed trial to begin with.")
    problem = Problem.of(plan, dataset.classes)
    reasons = incomparable(problem, other, dataset)
    found, outside = [], Counter[str]()
    for row in rows:
        values, reason = within(problem, row)
        if values is None:
            outside[reason] += 1
        else:
            scores = {} if reasons else {name: row.metrics[name] for name in plan.objectives}
            found.append({"trial": row.id, "values": values, "scores": scores})
    left_out = "; ".join(f"{reason} ({count})" for reason, count in outside.most_common(5))
    if not found:
        raise StudyError(
            f"No trial of {source} lies in the space of this search: {left_out}. Begin with "
            "another study, or without one."
        )
    said = f"Warm start: {len(found)} of {len(rows)} trials of {source} lie in this space"
    said += f", the best {min(FIRST, len(found))} are tried first. "
    if reasons:
        said += f"Their scores don't count, as these differ: {'; '.join(reasons)}. "
    if left_out:
        said += f"Outside: {left_out}."
    say(said.rstrip())
    return {"source": str(source), "trials": found}


def write(directory: Path, content: dict[str, Any] | None) -> None:
    """Keep what was gathered."""
    if content is not None:
        write_json(directory / FILE, content)


def incomparable(problem: Problem, other: Study, dataset: Dataset) -> list[str]:
    """Why the scores of the other study can't be compared with this one's."""
    mine, theirs = problem.plan, other.plan
    found = [
        f"{name}: {getattr(theirs, name)} there, {getattr(mine, name)} here"
        for name in ("architecture", "precision")
        if getattr(theirs, name) != getattr(mine, name)
    ]
    row = other.leaderboard[0]
    if missing := [name for name in mine.objectives if name not in row.metrics]:
        found.append(f"it has no {', '.join(missing)}")
    then = {key: other.content[key] for key in COMPARED if key in other.content}
    now = {key: value for key, value in identity(problem, dataset).items() if key in then}
    return [*found, *differences(then, now, words=("there", "here"))]


def within(problem: Problem, row: Row) -> tuple[dict[str, Any] | None, str]:
    """A trial's hyperparameters in this space; or None, and what lies outside of it."""
    scalars, reason = _scalars(problem, row)
    if reason:
        return None, reason
    for param in problem.space.scalars():
        parent, values = param.when or (None, ())
        active = parent is None or scalars.get(parent, problem.space[parent].default) in values
        value = scalars[param.name]
        if active and not is_searched(param) and tidy(param, value) != param.default:
            return None, f"{param.name}={value}, which is {param.default} here"
    point = problem.hyperparameters()
    point.values = {}
    for hp in point.space:
        if not point.is_active(hp):
            continue
        value = scalars[hp.name]
        if isinstance(hp, kinds.Float):
            inside = isinstance(value, (int, float)) and hp.min_value <= value <= hp.max_value
        else:
            inside = value in hp.values
        if not inside:
            return None, f"{hp.name}={value}"
        point.values[hp.name] = value
    return dict(point.values), ""


def _scalars(problem: Problem, row: Row) -> tuple[dict[str, Any], str]:
    """A trial's complete configuration as scalars of this space."""
    known = {**row.arguments, **row.training}
    found: dict[str, Any] = {}
    for param in problem.space:
        if param.name.startswith(f"{RATE}_"):
            own = known.get("optimizer") in (param.when or ("", ()))[1]
            value = known[RATE] if own else param.default
        elif param.name in known:
            value = known[param.name]
        else:
            return {}, f"no {param.name}"
        elements = param.elements()
        if not param.per_stage:
            found[param.name] = value
        elif isinstance(value, tuple) and len(value) == len(elements):
            found |= {element.name: one for element, one in zip(elements, value)}
        else:
            return {}, f"{param.name}={value}, where {len(elements)} values are needed"
    return found, ""


def read(directory: Path, problem: Problem) -> list[Known]:
    """What was taken over into a study's directory, the best first; nothing without a warm start.

    Raises:
        StudyError: the file is damaged.
    """
    file = directory / FILE
    if problem.plan.warm_start is None or not file.is_file():
        return []
    with usable(file):
        found = []
        for entry in read_json(file)["trials"]:
            problem.configuration(entry["values"])
            scores = {str(name): float(score) for name, score in entry["scores"].items()}
            found.append(Known(str(entry["trial"]), dict(entry["values"]), scores))
        return found
