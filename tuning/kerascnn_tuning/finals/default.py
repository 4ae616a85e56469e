"""What finals compare with: what one would have without a search, within the budget."""

from __future__ import annotations

import dataclasses

from kerascnn import Param, Range
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.space import joint_space, narrowed

STEPS = 200
"""The default is made narrower in steps of this part of its widths."""


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
