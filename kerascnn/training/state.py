"""What a training goes on from: its place, its history and every variable; how it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn.distribution.workers import Workers
from kerascnn.errors import RunError
from kerascnn.recipes.recipe import KEEP_BEST, Recipe
from kerascnn.runs import checkpoints
from kerascnn.runs.position import Position
from kerascnn.runs.results import read_history, write_history
from kerascnn.tasks.measure import Measure
from kerascnn.training.engine import Engine
from kerascnn.training.keeping import best_epoch, need_best


class Held:
    """A copy of a variable in host memory, which checkpoints save and restore as they do variables.

    Args:
        variable: what to copy.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self.name, self.dtype = variable.name, variable.dtype
        self.value = np.array(variable.numpy())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the variable."""
        return self.value.shape

    def assign(self, value: Any) -> None:
        """Hold another value."""
        self.value = np.array(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.value if dtype is None else self.value.astype(dtype)


class State:
    """How far a training has come. On several machines each worker has one; the chief's writes.

    Args:
        path: the run directory.
        recipe: what is kept of it.
        updates: in an epoch.
        engine: has the variables.
        workers: of the strategy.
        measures: the task's.
        record: whether to write checkpoints.
        say: is called with what the user should know.

    Attributes:
        position: the place; between two calls of the engine it is to be set.
        rows: the history, one row for each complete epoch.
        best: the weights of the best epoch so far, if the recipe keeps them.
        kept: the epoch whose weights are in place since `hold`; None: of no single one.
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        updates: int,
        engine: Engine,
        *,
        workers: Workers,
        measures: Sequence[Measure],
        record: bool,
        say: Callable[[str], None],
    ) -> None:
        self._path, self._recipe, self._updates, self._engine = path, recipe, updates, engine
        self._workers, self._measures, self._record, self._say = workers, measures, record, say
        self._start = Position.start(engine.counts)
        self.position = self._start
        self.rows: list[dict[str, Any]] = []
        self.best: list[Held] = []
        if recipe.keep == KEEP_BEST:
            self.best = [Held(variable) for variable in engine.evaluated]
        self.kept: int | None = None
        self._held = False

    @property
    def begun(self) -> bool:
        """Whether anything has been learned."""
        return self.position != self._start

    def restore(self) -> None:
        """Go on from the last checkpoint, or make the first; the same on all workers.

        Raises:
            StrategyError: the workers have found different checkpoints.
            RunError: none of the checkpoints can be used, or the history ends before it.
        """
        variables, epochs = self._variables(), self._recipe.epochs
        self.position = checkpoints.restore(
            self._path / "checkpoints",
            variables,
            start=self._start,
            epochs=epochs,
            updates=self._updates,
            say=self._say,
        )
        self._workers.require_same(
            "The checkpoint to go on from",
            checkpoints.digest(self.position, variables) if self._workers.count > 1 else b"",
        )
        done = self.position
        self.rows = read_history(self._path / "history.csv", self._measures)[: done.epoch]
        if len(self.rows) < done.epoch:
            raise RunError(
                f"{self._path / 'history.csv'} ends after {len(self.rows)} epochs, the last "
                f"checkpoint was made after {done.epoch}. Without its history the run can't go on."
            )
        if not self.begun:
            self.save()
            return
        part = f" and {done.update} of {self._updates} updates" if done.update else ""
        self._say(f"Going on after epoch {done.epoch} of {epochs}{part}.")
        if self._workers.chief:  # those of an interrupted run
            (self._path / "metrics.json").unlink(missing_ok=True)

    def complete(self, row: dict[str, Any]) -> None:
        """Add an epoch to the history, and save the state after it."""
        self.rows.append(row)
        self.position = Position.start(self._engine.counts, self.position.epoch + 1)
        if need_best(self._recipe):
            best = best_epoch(self.rows, self._recipe)
            if self.best and best == len(self.rows):
                for held, value in zip(self.best, self._engine.result(), strict=True):
                    held.assign(value)
        if self._workers.chief:
            # The history first: a crash in between leaves a line too many, which resuming drops.
            write_history(self._path / "history.csv", self.rows)
        self.save()

    def save(self) -> None:
        """Write a checkpoint, unless `hold` has put other weights in place."""
        if self._record and self._workers.chief and not self._held:
            checkpoints.save(self._path / "checkpoints", self.position, self._variables())

    def hold(self) -> None:
        """Put the weights in place that the recipe keeps; it is the end of training, once."""
        if self._held:
            return
        self._held = True  # from here on these are not the weights to go on with
        if self.best and (best := best_epoch(self.rows, self._recipe)):
            self._engine.put(self.best)
            self.kept = best
            return
        if self.best and self.rows:
            self._say(f"{self._recipe.monitor} was a number in no epoch, so the last one is kept.")
        self.kept = None if self.position.update else len(self.rows)

    def _variables(self) -> dict[str, Any]:
        engine = self._engine
        assert engine.optimizer is not None
        return checkpoints.variables_of(engine.model, engine.optimizer, engine.averages, self.best)
