"""The space of a search: what an architecture and a recipe declare, narrowed by a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kerascnn import Architecture, Param, Range, Recipe, Space, tasks
from kerascnn.errors import ArgumentError
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.rates import own_names

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

DIGITS = 6
"""Floating-point hyperparameters are rounded to so many digits: they can be read and retyped."""


def joint_space(architecture: Architecture, recipe: Recipe) -> Space:
    """The architecture's parameters, then the recipe's.

    Of these what the losses of the architecture's task don't know isn't searched.

    Raises:
        ArgumentError: both have a parameter of one name.
    """
    unknown = tasks.find(architecture.task).unsearched
    training = [
        replace(param, search=None) if param.name in unknown else param for param in recipe.space()
    ]
    if both := [param.name for param in training if param.name in architecture.space]:
        raise ArgumentError(
            f"{architecture.name} and its recipe both have a parameter {both[0]!r}, so the name "
            "can't say which one to search."
        )
    return Space((*architecture.space, *training), architecture.space.rules)


def narrowed(space: Space, plan: Plan) -> Space:
    """The space with the plan's `start`, then `only`, `fix`, `choose` and `range`."""
    space = space.with_defaults(plan.start, owner="search")
    names = own_names(plan, plan.only)
    only, choose, ranges = map(space.renamed, (dict.fromkeys(names), plan.choose, plan.range))
    if only:
        # Also a check: `narrow` refuses names that the space doesn't have.
        space.narrow(fix={name: _default(space, name) for name in only})
        others = [p for p in space if p.name not in {*only, *choose, *ranges}]
        space = Space(
            tuple(replace(p, search=None, legal=p.accepted) if p in others else p for p in space),
            space.rules,
        )
        for name in only:
            if space[name].search is None and name not in {*choose, *ranges}:
                raise ArgumentError(
                    f"The search has no values for {name!r}. Give some, as in --choose {name}=A,B."
                )
    return space.narrow(fix=plan.fix, choose=plan.choose, ranges=plan.range)


def _default(space: Space, name: str) -> Any:
    return space[name].default if name in space else None


def register(space: Space, hp: HyperParameters) -> None:
    """Declare everything that is searched in a KerasTuner container, the inactive too.

    KerasTuner would take a second declaration of a name without a word and ignore it, accept
    defaults outside of their range, and turn booleans among choices into integers.
    """
    searched = {p.name for p in space.scalars() if is_searched(p)}
    for param in space.scalars():
        if param.name not in searched:
            continue
        parent, values = param.when or (None, ())
        if parent in searched:
            with hp.conditional_scope(parent, list(values)):
                _declare(param, hp)
        elif parent is None or _default(space, parent) in values or space[parent].per_stage:
            _declare(param, hp)


def is_searched(param: Param) -> bool:
    """Whether a search has a choice for this scalar."""
    values = param.searched_values()
    return values is None or len(values) > 1


def _declare(param: Param, hp: HyperParameters) -> None:
    values, default = param.searched_values(), param.default
    if values is None:
        assert isinstance(param.search, Range)
        low, high, log = param.search.low, param.search.high, param.search.log
        sampling = "log" if log else "linear"
        hp.Float(param.name, float(low), float(high), sampling=sampling, default=float(default))
    elif isinstance(default, bool):
        hp.Boolean(param.name, default=default)
    else:
        kind = type(default)
        choices = [tidy(param, kind(value)) for value in values]
        hp.Choice(param.name, choices, default=default if default in choices else choices[0])


def tidy(param: Param, value: Any) -> Any:
    """A value in the parameter's type, floats with `DIGITS` digits."""
    if isinstance(param.default, float):
        return float(f"{value:.{DIGITS}g}")
    return int(value) if type(param.default) is int else value
