"""A plan: everything that decides a search, as data; from the command line or a TOML file."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kerascnn
from kerascnn import PRECISIONS, Recipe, check_strategy
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn.files import read_toml
from kerascnn.words import did_you_mean
from kerascnn_tuning.objectives import MAIN, chosen, task_of
from kerascnn_tuning.values import (
    is_number,
    parse_count,
    refuse_doubles,
    require_one_of,
    require_text,
    require_whole,
)

if TYPE_CHECKING:
    from kerascnn.tasks import Task

PRUNINGS = ("none", "median")
TUNERS = ("random", "bayesian", "hyperband", "grid", "optuna")
_COUNTS = {  # field → its least value
    **dict.fromkeys(("max_trials", "max_params", "max_macs", "max_memory", "epochs"), 1),
    **dict.fromkeys(("failure_limit", "keep", "repeats", "prune_after"), 1),
    **dict.fromkeys(("retries", "seed"), 0),
}
_OPTIONAL = (
    *("max_trials", "max_minutes", "max_params", "max_macs", "max_memory", "epochs"),
    "prune_after",
)
_LARGEST_SEED = 2**31
RATE = "learning_rate"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, how, and within which budget.

    Attributes:
        architecture: a registered name.
        data: a source as `kerascnn.data.load` takes it.
        input_shape: `(height, width, channels)`; None: the architecture's.
        tuner: one of `TUNERS`.
        objectives: what is looked for: measures of the network's task such as "val_error",
            "val_loss", "params", "latency" (`kerascnn_tuning.objectives.reported`). "main" is the
            task's main measure on the validation images. The first one guides the search (Optuna
            follows all of them); all of them span the Pareto front.
        max_trials: None: 20; with hyperband and grid, as many as they have.
        max_minutes: after it no new trial begins.
        max_params, max_macs: largest legal cost of a configuration.
        max_memory: largest legal bytes of a training step, as `Problem.memory` estimates them.
        start: parameter → value from which the search departs, in place of the architecture's own;
            so a search can be about another number of stages.
        only: parameters to search, all others keep their default; empty: all.
        fix, choose, range: parameter → its value, its values, or [low, high].
        epochs: of each trial, or of Hyperband's longest; None: the recipe's.
        strategy, precision: as in `kerascnn.train`.
        seed: of the proposals, and of every trial; less than 2^31.
        repeats: how often each trial is trained, from seeds `seed`, `seed + 1` and so on; its
            metrics are the means.
        prune: "median": a trial whose first objective is worse, after some epoch, than the median
            of the earlier trials was, ends there; see `kerascnn_tuning.pruning`. Or "none".
        prune_after: epochs that every trial has; None: a quarter of all.
        warm_start: another study's directory, whose best trials are tried first; where its scores
            are comparable, the others count as if they had been tried here.
        retries: how often a trial is repeated after an error that may pass.
        failure_limit: so many failed trials in a row stop the search.
        keep: of how many best trials the trained models stay; the Pareto front's stay too.
    """

    architecture: str
    data: str = "mnist5k"
    input_shape: tuple[int, int, int] | None = None
    tuner: str = "random"
    objectives: tuple[str, ...] = (MAIN,)
    max_trials: int | None = None
    max_minutes: float | None = None
    max_params: int | None = None
    max_macs: int | None = None
    max_memory: int | None = None
    start: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    fix: Mapping[str, Any] = field(default_factory=dict)
    choose: Mapping[str, Any] = field(default_factory=dict)
    range: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    strategy: str = "auto"
    precision: str = "float32"
    seed: int = 0
    repeats: int = 1
    prune: str = "none"
    prune_after: int | None = None
    warm_start: str | None = None
    retries: int = 1
    failure_limit: int = 5
    keep: int = 3

    def __post_init__(self) -> None:
        require_text(self.architecture, "architecture")
        require_text(self.data, "data")
        require_one_of(self.tuner, "tuner", TUNERS)
        require_one_of(self.precision, "precision", PRECISIONS)
        require_one_of(self.prune, "prune", PRUNINGS)
        require_text(self.strategy, "strategy")
        check_strategy(self.strategy)
        _require_numbers(self)
        object.__setattr__(self, "objectives", chosen(self.objectives, self.task))
        _require_shape(self.input_shape)
        _require_consistent(self)
        if self.max_trials is None and self.tuner not in ("hyperband", "grid"):
            object.__setattr__(self, "max_trials", 20)

    @property
    def task(self) -> Task:
        """What the network is trained for."""
        return task_of(self.architecture)

    def changed(self, changes: Mapping[str, Any]) -> Plan:
        """This plan with other values; what is said of a parameter replaces what was said of it.

        Args:
            changes: field → value. `start`, `fix`, `choose` and `range` are merged name by name.

        Raises:
            ArgumentError: a value is illegal.
        """
        found = dict(changes)
        narrowing = ("fix", "choose", "range")
        said = {name for key in narrowing for name in changes.get(key, ())}
        for key in narrowing:
            old = {k: v for k, v in getattr(self, key).items() if k not in said}
            found[key] = {**old, **changes.get(key, {})}
        found["start"] = {**self.start, **changes.get("start", {})}
        return dataclasses.replace(self, **found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, owner: str) -> Plan:
        """A plan from plain values.

        Raises:
            ArgumentError: a key is unknown, the architecture is missing, or a value is illegal.
        """
        legal = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - legal):
            raise ArgumentError(
                f"{owner}: unknown {', '.join(unknown)}.{did_you_mean(unknown[0], legal)} "
                f"Legal keys: {', '.join(sorted(legal))}."
            )
        if "architecture" not in values:
            raise ArgumentError(f"{owner}: architecture is missing.")
        found = dict(values)
        for name in ("input_shape", "objectives", "only"):
            if isinstance(found.get(name), str) and name != "input_shape":
                found[name] = (found[name],)
            if not isinstance(found.get(name), (list, tuple, type(None))):
                raise ArgumentError(f"{owner}: {name} must be a list. Received: {found[name]!r}.")
            if found.get(name) is not None:
                found[name] = tuple(found[name])
        for name in ("max_params", "max_macs", "max_memory"):
            if isinstance(found.get(name), str):
                found[name] = parse_count(found[name], f"{owner}: {name}")
        for name in ("start", "fix", "choose", "range"):
            table = found.get(name, {})
            if not isinstance(table, Mapping):
                raise ArgumentError(
                    f"{owner}: {name} must be a table, parameter = value. Received: {table!r}."
                )
            found[name] = {k: _tupled(v) for k, v in table.items()}
        try:
            return cls(**found)
        except KerascnnError as error:  # of a value, the architecture's name, or its task
            raise type(error)(f"{owner}: {error}") from None
        except TypeError:  # objectives = [["val_error"]] and the like
            raise ArgumentError(f"{owner}: a list where a single value is expected.") from None

    @classmethod
    def read(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Plan:
        """A plan from a TOML file; imports the registered architecture alone.

        Args:
            path: the file.
            changes: fields that replace the file's, see `changed`.

        Raises:
            ArgumentError: the file can't be read, or holds something illegal.
            UnknownNameError: there is no such architecture.
        """
        owner = f"The study {path}"
        values = read_toml(path, error=ArgumentError, what="The study")
        plan = cls.from_dict(values, owner=owner)
        try:
            plan.check_names()
        except KerascnnError as error:
            raise type(error)(f"{owner}: {error}") from None
        if not changes:
            return plan
        # Without a number of its own the file leaves it to the tuner, which may be another now.
        default = {} if "max_trials" in values else {"max_trials": None}
        return plan.changed({**default, **changes})

    def check_names(self) -> None:
        """Refuse parameters that neither the architecture nor its recipe has.

        Raises:
            ArgumentError, UnknownNameError: there is no such parameter, or architecture.
        """
        architecture = kerascnn.get(self.architecture)
        recipes = [param.name for param in (architecture.recipe or Recipe()).space()]
        for named in (self.start, dict.fromkeys(self.only), self.fix, self.choose, self.range):
            # An optimizer's own rate is a parameter where the search chooses between optimizers.
            names = [n for n in architecture.space.renamed(named) if not n.startswith(f"{RATE}_")]
            architecture.space.require_known(names, owner="The search", common=recipes)


def _require_numbers(plan: Plan) -> None:
    for name, least in _COUNTS.items():
        value = getattr(plan, name)
        if value is not None or name not in _OPTIONAL:
            require_whole(value, name, least)
    if plan.seed >= _LARGEST_SEED:
        raise ArgumentError(f"seed must be less than 2^31. Received: {plan.seed}.")
    if plan.max_minutes is not None and not (is_number(plan.max_minutes) and plan.max_minutes > 0):
        raise ArgumentError(
            "max_minutes must be a positive number; leave it out for no limit. "
            f"Received: {plan.max_minutes!r}."
        )


def _require_shape(shape: object) -> None:
    if shape is None:
        return
    sides = shape if isinstance(shape, tuple) else ()
    if len(sides) != 3 or not all(type(side) is int and side > 0 for side in sides):
        raise ArgumentError(
            "input_shape must be height, width and channels, positive whole numbers such as "
            f"(64, 64, 3). Received: {shape!r}."
        )


def _require_consistent(plan: Plan) -> None:
    """Refuse what could only be meant otherwise, as one of two settings would be passed over."""
    refuse_doubles(plan.only, "only")
    if plan.prune != "none" and plan.tuner == "hyperband":
        raise ArgumentError(
            "Hyperband ends the worse trials itself. Leave out --prune, or use another tuner."
        )
    if plan.prune_after is not None and plan.prune == "none":
        raise ArgumentError(
            "prune_after belongs to a pruning. Add --prune median, or leave it out."
        )
    if plan.warm_start is not None:
        require_text(plan.warm_start, "warm_start")
        if plan.tuner in ("hyperband", "grid"):
            raise ArgumentError(
                "A warm start is for the tuners random, bayesian and optuna. "
                f"Received: {plan.tuner}."
            )
    said = {"fix": set(plan.fix), "choose": set(plan.choose), "range": set(plan.range)}
    for first, second in itertools.combinations(said, 2):
        if both := sorted(said[first] & said[second]):
            raise ArgumentError(
                f"{first} and {second} both say something about {', '.join(both)}. Keep one."
            )
    for name, values in plan.choose.items():
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise ArgumentError(f"choose.{name} must be a list of values. Received: {values!r}.")
        refuse_doubles(values, f"choose.{name}")
    for name, bounds in plan.range.items():
        pair = isinstance(bounds, Sequence) and len(bounds) == 2
        if not pair or not all(map(is_number, bounds)) or not bounds[0] < bounds[1]:
            raise ArgumentError(
                f"range.{name} must be two numbers, the lower one first. Received: {bounds!r}."
            )


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
