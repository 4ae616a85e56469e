"""Optimizers searched together with their learning rates: each has a range of its own.

A rate that is good for Adam is a hundredth of one that is good for SGD with momentum, so one range
for both would be wrong for one of them. Where a plan lets the search choose between optimizers,
`learning_rate` therefore becomes `learning_rate_sgd`, `learning_rate_adamw` and so on, each of them
active with its optimizer only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import Param, Range, Recipe, Space
from kerascnn.errors import ArgumentError
from kerascnn_tuning.plan import RATE, Plan

# Where the recipe says nothing about an optimizer: Adam's is that of Kingma and Ba (2015), section
# 2; SGD's, with momentum 0.9, lies between AlexNet's 0.01 and ResNet's 0.1.
USUAL = {"sgd": 0.03, "adam": 1e-3, "adamw": 1e-3}
OPTIMIZERS = tuple(USUAL)
ALIKE = ("adam", "adamw")


def optimizers(plan: Plan) -> tuple[str, ...]:
    """The optimizers between which the plan lets the search choose; none if there is no choice."""
    chosen = plan.choose.get("optimizer", ())
    legal = [name for name in OPTIMIZERS if name in chosen]
    return tuple(legal) if len(legal) > 1 else ()


def with_own_rates(space: Space, recipe: Recipe, plan: Plan) -> Space:
    """The space with a learning rate for each optimizer, if the search chooses between several.

    Raises:
        ArgumentError: the plan says something about `learning_rate`, and so not whose.
    """
    chosen = optimizers(plan)
    if not chosen:
        return space
    for how in ("start", "fix", "choose", "range"):
        if RATE in getattr(plan, how):
            raise ArgumentError(
                f"The search chooses between {', '.join(chosen)}, and each has a learning rate of "
                f"its own. Expected {' or '.join(_name(one) for one in chosen)}. "
                f"Received: {how} {RATE}."
            )
    rates = tuple(_own(space[RATE], recipe, optimizer) for optimizer in chosen)
    others = tuple(param for param in space if param.name != RATE)
    return Space((*others, *rates), space.rules)


def own_names(plan: Plan, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, `learning_rate` replaced by that of each optimizer to choose from."""
    chosen = optimizers(plan)
    if not chosen or RATE not in names:
        return names
    return (*(name for name in names if name != RATE), *map(_name, chosen))


def settled(training: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's values with the one learning rate that counts, as `Recipe.changed` takes them."""
    found = {k: v for k, v in training.items() if not k.startswith(f"{RATE}_")}
    if RATE not in found:
        found[RATE] = training[_name(found["optimizer"])]
    return found


def _name(optimizer: str) -> str:
    return f"{RATE}_{optimizer}"


def _own(rate: Param, recipe: Recipe, optimizer: str) -> Param:
    """The recipe's own rate for its optimizer and for one alike, else the usual one."""
    alike = {recipe.optimizer, optimizer} <= set(ALIKE)
    known = alike or recipe.optimizer == optimizer
    default = recipe.learning_rate if known else USUAL[optimizer]
    return replace(
        rate,
        name=_name(optimizer),
        default=default,
        search=Range(default / 10, default * 10, log=True),
        when=("optimizer", (optimizer,)),
        help=f"With {optimizer}: at the start, or at the end of the warm-up.",
    )
