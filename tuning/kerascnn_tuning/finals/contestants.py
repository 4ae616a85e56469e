"""Who is trained again: the best trials, and what one would have without a search."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kerascnn import Param, Range
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.space import joint_space, narrowed
from kerascnn_tuning.study.study import Study

DEFAULT = "default"
STEPS = 200
"""The default is made narrower in steps of this part of its widths."""


@dataclass(frozen=True)
class Contestant:
    """What is trained from several seeds.

    Attributes:
        name: a trial's id, or "default".
        configuration: its arguments, and its recipe's values.
        params, macs: what it costs.
        note: how it came about.
        searched: what the trial was chosen for: its first objective; None of the default.
    """

    name: str
    configuration: Configuration
    params: int
    macs: int
    note: str = ""
    searched: float | None = None


def contestants(study: Study, finalists: int) -> tuple[list[Contestant], list[str]]:
    """The default and the best other trials, and what to say about them.

    Raises:
        StudyError: no trial is complete, or only the default.
    """
    problem, objective = study.problem, study.plan.objectives[0]
    default, note = default_within(problem)
    notes, rows = [note], []
    for row in study.leaderboard:
        if Configuration(row.arguments, row.training) == default:
            notes.append(f"Trial {row.id} is the default, and is trained as that alone.")
        else:
            rows.append(row)
    if not rows:
        raise StudyError(
            f"{study.path} has no completed trial yet but the default, so there are no finalists."
        )
    if len(rows) < finalists:
        notes.append(f"There are {len(rows)} completed trials for {finalists} finalists.")
    found = [] if default is None else [_contestant(problem, DEFAULT, default, note)]
    for row in rows[:finalists]:
        configuration = Configuration(row.arguments, row.training)
        score = row.metrics[objective]
        found.append(_contestant(problem, row.id, configuration, "", searched=score))
    return found, notes


def _contestant(
    problem: Problem,
    name: str,
    found: Configuration,
    note: str,
    *,
    searched: float | None = None,
) -> Contestant:
    cost = problem.network(found.arguments).cost()
    return Contestant(name, found, cost.params, cost.macs, note, searched)


def default_within(problem: Problem) -> tuple[Configuration | None, str]:
    """What one would train without a search, made narrower until it is within the budget.

    That is the architecture's own arguments and recipe, with what the plan's `start` and `fix`
    say. All widths shrink by one factor; depths, kernels and kinds stay.

    Returns:
        The configuration, or None if even the narrowest is over the budget; and what was done.
    """
    plain_plan = dataclasses.replace(problem.plan, only=(), choose={}, range={})
    usual = Problem(
        plan=plain_plan,
        architecture=problem.architecture,
        recipe=problem.recipe,
        space=narrowed(joint_space(problem.architecture, problem.recipe), plain_plan),
        input_shape=problem.input_shape,
        classes=problem.classes,
    )
    scalars = {param.name: param.default for param in usual.space.scalars()}
    widths = [param for param in usual.space.scalars() if _is_width(param, usual)]
    refusal = usual.refusal(scalars)
    if refusal is None:
        return usual.configuration(scalars), "The default: the network and the recipe as they are."
    for step in range(STEPS - 1, 0, -1):
        factor = step / STEPS
        values = scalars | {p.name: _narrower(p, factor) for p in widths}
        if usual.refusal(values) is None:
            return (
                usual.configuration(values),
                f"The default is not within the budget ({refusal}): its widths are multiplied by "
                f"{factor:g}.",
            )
    return None, f"There is no default to compare with: {refusal}, also with the narrowest layers."


def _is_width(param: Param, problem: Problem) -> bool:
    """Whether a scalar is a number of filters, units or maps: whole numbers with a range."""
    architecture = problem.architecture.space
    name = next((p.name for p in architecture for e in p.elements() if e.name == param.name), "")
    whole = type(param.default) is int and not param.kernel
    return name not in ("", "depths") and whole and isinstance(param.search, Range)


def _narrower(param: Param, factor: float) -> int:
    assert isinstance(param.legal, Range)
    return max(int(param.legal.low), round(param.default * factor))
