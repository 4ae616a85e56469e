"""Ending trials early that are worse than half of those before them: the median rule.

After each epoch, a trial's objective is compared with what the trials that have ended had after as
many epochs (Golovin et al., 2017, section 3.2, without their averages over epochs). Where that was
worse than their median, the trial ends: it is pruned, which is no failure. A trial that was pruned
before that epoch counts as worse than any, so that about half of all trials are trained to their
end, and not ever fewer.

The decision is a function of the study's files alone: any worker comes to the same one.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from kerascnn import Run
from kerascnn.errors import ArgumentError
from kerascnn.tasks import TEST
from kerascnn.writing import write_json
from kerascnn_tuning.internals import TrialStatus
from kerascnn_tuning.objectives import COSTS
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import PRUNED_AT, PRUNED_FILE, read_json, trial_files, usable

FEWEST = 4
"""With fewer earlier trials a median says nothing."""


@dataclass(frozen=True)
class Verdict:
    """Why a trial was pruned.

    Attributes:
        metric: what was compared.
        epoch: after which.
        value: the trial's.
        median: of the others.
        trials: ids of the others.
    """

    metric: str
    epoch: int
    value: float
    median: float
    trials: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"pruned after epoch {self.epoch}: {self.metric} {self.value:.4g}, "
            f"the median of {len(self.trials)} trials was {self.median:.4g}"
        )


def check(problem: Problem) -> None:
    """Refuse a pruning that could have no effect.

    Raises:
        ArgumentError: says why.
    """
    plan, epochs = problem.plan, problem.recipe.epochs
    if plan.prune == "none":
        return
    if plan.objectives[0] in COSTS:
        followed = [x for x in problem.measures if x not in COSTS and not x.startswith(TEST)]
        raise ArgumentError(
            f"Pruning compares the first objective after each epoch: expected one of "
            f"{', '.join(followed)}. Received: {plan.objectives[0]}."
        )
    if warm_up(problem) >= epochs:
        raise ArgumentError(
            f"A trial of {epochs} epochs can't be pruned after a warm-up of {warm_up(problem)}: "
            "expected fewer. Use more --epochs, or a smaller --prune-after."
        )


def warm_up(problem: Problem) -> int:
    """Epochs that every trial has: what the plan says, or a quarter of all."""
    if problem.plan.prune_after is not None:
        return problem.plan.prune_after
    return math.ceil(problem.recipe.epochs / 4)


class Record:
    """What a study's ended trials had after each epoch.

    Args:
        study: its directory.
        metric: the objective.
        sign: 1 if less of it is better, -1 if more is.
    """

    def __init__(self, study: Path, metric: str, sign: int = 1) -> None:
        self._study, self._metric, self._sign = study, metric, sign
        self._ended: dict[str, tuple[list[float], bool]] = {}  # trial → values, whether pruned

    def verdict(self, epoch: int, value: float) -> Verdict | None:
        """Whether a trial with this value after that epoch, counted from 1, ends."""
        self._read()
        others = {name: self._after(epoch, *found) for name, found in self._ended.items()}
        if len(others) < FEWEST:
            return None
        median = statistics.median(others.values())
        if not self._sign * value > median:
            return None
        return Verdict(self._metric, epoch, value, self._sign * median, tuple(sorted(others)))

    def _after(self, epoch: int, values: list[float], pruned: bool) -> float:
        """Of which less is better."""
        if epoch > len(values) and pruned:
            return math.inf
        # One that stopped by itself keeps its last.
        return self._sign * values[min(epoch, len(values)) - 1]

    def _read(self) -> None:
        for file in trial_files(self._study / "oracle"):
            with usable(file):
                trial = file.parent.name.removeprefix("trial_")
                if trial in self._ended:
                    continue
                state = read_json(file)
                if state["status"] != TrialStatus.COMPLETED:
                    continue
                run = Run(self._study / "trials" / f"{int(trial):04d}")
                with usable(run.path / "history.csv"):
                    values = [float(row[self._metric]) for row in run.history]
                if values:
                    self._ended[trial] = (values, PRUNED_AT in state["metrics"]["metrics"])


class Pruner(keras.callbacks.Callback):
    """Ends a trial as the record says.

    Args:
        record: of the study.
        metric: the objective.
        after: epochs that every trial has.
        epochs: of a trial; after the last one there is nothing to end.

    Attributes:
        verdict: why the trial was ended; None if it wasn't.
    """

    def __init__(self, record: Record, metric: str, *, after: int, epochs: int) -> None:
        super().__init__()
        self.verdict: Verdict | None = None
        self._record, self._metric = record, metric
        self._after, self._epochs = after, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare, after the warm-up."""
        done = epoch + 1
        if self._after <= done < self._epochs:
            self.verdict = self._record.verdict(done, float((logs or {})[self._metric]))
            if self.verdict:
                self.model.stop_training = True


def write(verdict: Verdict, path: Path) -> None:
    """Beside the run's other files: why it was ended, and on which trials' account."""
    write_json(path / PRUNED_FILE, {"reason": str(verdict), **asdict(verdict)})
