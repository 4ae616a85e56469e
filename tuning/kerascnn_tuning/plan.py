"""A plan: everything that decides a search, as data; from the command line or a TOML file."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerascnn.errors import ArgumentError

TUNERS = ("random", "bayesian", "hyperband", "grid", "optuna")
# What a trial reports; a larger value is better for none of them.
METRICS = (
    "val_error",
    "val_loss",
    "error",
    "loss",
    "params",
    "macs",
    "latency",
    "seconds",
)
_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, how, and within which budget.

    Attributes:
        architecture: a registered name.
        data: a source as `kerascnn.data.load` takes it.
        input_shape: `(height, width, channels)`; None: the architecture's.
        tuner: one of `TUNERS`.
        objectives: metrics of `METRICS` to minimize. The first one guides the search (Optuna
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
        seed: of the proposals, and of every trial.
        retries: how often a trial is repeated after an error that may pass.
        failure_limit: so many failed trials in a row stop the search.
        keep: of how many best trials the trained models stay; the Pareto front's stay too.
    """

    architecture: str
    data: str = "mnist5k"
    input_shape: tuple[int, int, int] | None = None
    tuner: str = "random"
    objectives: tuple[str, ...] = ("val_error",)
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
    retries: int = 1
    failure_limit: int = 5
    keep: int = 3

    def __post_init__(self) -> None:
        if self.tuner not in TUNERS:
            raise ArgumentError(
                f"tuner must be one of {', '.join(TUNERS)}. Received: {self.tuner!r}."
            )
        unknown = [name for name in self.objectives if name not in METRICS]
        if unknown or not self.objectives:
            raise ArgumentError(
                f"An objective must be one of {', '.join(METRICS)}; all are minimized. "
                f"Received: {', '.join(unknown) or 'none'}."
            )
        for name in ("max_trials", "epochs", "failure_limit", "keep"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"{name} must be at least 1. Received: {value}.")
        if self.max_trials is None and self.tuner not in ("hyperband", "grid"):
            object.__setattr__(self, "max_trials", 20)

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
                f"{owner}: unknown {', '.join(unknown)}. Legal keys: {', '.join(sorted(legal))}."
            )
        if "architecture" not in values:
            raise ArgumentError(f"{owner}: architecture is missing.")
        found = dict(values)
        for name in ("input_shape", "objectives", "only"):
            if isinstance(found.get(name), str):
                found[name] = (found[name],)
            if found.get(name) is not None:
                found[name] = tuple(found[name])
        for name in ("max_params", "max_macs", "max_memory"):
            if isinstance(found.get(name), str):
                found[name] = parse_count(found[name], name)
        for name in ("start", "fix", "choose"):
            found[name] = {k: _tupled(v) for k, v in found.get(name, {}).items()}
        return cls(**found)

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """A plan from a TOML file.

        Raises:
            ArgumentError: the file can't be read, or holds something illegal.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ArgumentError(f"The study {path} can't be read: {error}.") from None
        return cls.from_dict(values, owner=str(path))


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def parse_count(text: str, option: str) -> int:
    """`500k` → 500,000; `1.5M`, `2G` and plain numbers too.

    Raises:
        ArgumentError: it is no positive number.
    """
    lowered = text.strip().lower().removesuffix("b") if text.strip()[-2:].isalpha() else text
    lowered = lowered.strip().lower()
    unit = _UNITS.get(lowered[-1:], 1)
    number = lowered[:-1] if unit != 1 else lowered
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not value > 0 or math.isinf(value):
        raise ArgumentError(
            f"{option} must be a positive number such as 500k, 1.5M or 2G. Received: {text!r}."
        )
    return round(value)
