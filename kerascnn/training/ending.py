"""The end of a training: whose weights stay, what they are worth, and what is saved of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerascnn.distribution import replicas
from kerascnn.distribution.workers import Workers
from kerascnn.tasks.measure import Measure
from kerascnn.training.callbacks import Given
from kerascnn.training.engine import Engine
from kerascnn.training.evaluator import Evaluator
from kerascnn.training.keeping import measures_of
from kerascnn.training.state import State
from kerascnn.watching.curves import curves
from kerascnn.words import counted
from kerascnn.writing import replacing, write_json


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is done with a training when no more updates follow.

    Attributes:
        path: the run directory.
        model: with its classifier activation, as it is saved.
        engine: has trained it.
        state: how far it has come.
        given: the user's callbacks.
        evaluator: of its weights.
        workers: of the strategy; the chief writes.
        main: the task's main measure.
        record: whether to draw the curves.
        advice: how to go on with it.
        say: is called with how it has ended.
    """

    path: Path
    model: keras.Model
    engine: Engine
    state: State
    given: Given
    evaluator: Evaluator
    workers: Workers
    main: Measure
    record: bool
    advice: str
    say: Callable[[str], None]

    def complete(self) -> tuple[dict[str, Any], Exception | None]:
        """Evaluate and save the weights that the recipe keeps, or that callbacks leave.

        Returns:
            What metrics.json holds, and what a callback raised.
        """
        state = self.state
        state.hold()
        last = state.rows[-1] if state.rows else {}
        state.kept, failed = self.given.end(last, state.kept)
        kept = state.kept
        metrics: dict[str, Any] = {
            "epochs": len(state.rows),
            "epoch": kept,
            "train_seconds": sum(row["seconds"] for row in state.rows),
            "trainable_params": trainable(self.model),
            **measures_of(state.rows[kept - 1] if kept else last),
        }
        if not kept:
            metrics |= self.evaluator("validation")
        metrics |= self.evaluator("test")
        if self.workers.chief:
            self._save(metrics)
            if state.rows and self.record:
                with replacing(self.path / "curves.png") as temporary:
                    curves(state.rows, temporary, measure=self.main, held=kept)
        return metrics, failed

    def cut_short(self, how: str) -> None:
        """Save what there is of a training that ends early, and say how to go on.

        Args:
            how: such as "Interrupted".
        """
        if not self.workers.chief:
            return
        state = self.state
        state.hold()
        self._save({"interrupted": True, "epochs": len(state.rows), "epoch": state.kept})
        epochs = counted(len(state.rows), "complete epoch", "complete epochs")
        best = (
            f"of epoch {state.kept}, the best so far," if state.best and state.kept else "as it is"
        )
        self.say(f"{how} after {epochs}. The model {best} was saved in {self.path}. {self.advice}")

    def _save(self, metrics: dict[str, Any]) -> None:
        replicas.as_single_device(self.engine.model)
        with self.engine.averaged(), replacing(self.path / "model.keras") as temporary:
            self.model.save(temporary)
        write_json(self.path / "metrics.json", metrics)


def trainable(model: keras.Model) -> int:
    """Number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
