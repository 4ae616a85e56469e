"""What `kerascnn bench tune` measures: our search, and what a user of KerasTuner writes instead.

Each runs in a process of its own: `python -m kerascnn_tuning.bench_processes TASK`, with a JSON
object of this module's function and its arguments, prints the function's result as its last line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from kerascnn import Recipe
from kerascnn.console import Console
from kerascnn.data import Dataset, load
from kerascnn.errors import KerascnnError
from kerascnn_tuning.display import Display
from kerascnn_tuning.internals import TrialStatus
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.searching import Keeper, search
from kerascnn_tuning.space import register
from kerascnn_tuning.study.study import Study
from kerascnn_tuning.working import work

OBJECTIVE = "val_accuracy"


class Stock(keras_tuner.HyperModel):
    """The same networks over the same space, as KerasTuner's guide has it: build, compile, fit."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def build(self, hp: Any) -> keras.Model:
        """A compiled network; an infeasible one raises whatever Keras or kerascnn raises."""
        register(self.problem.space, hp)
        found = self.problem.configuration(hp.values)
        recipe = self.problem.recipe.changed(found.training)
        model = self.problem.network(found.arguments).model(classifier_activation=None)
        model.compile(
            optimizer=keras.optimizers.Adam(recipe.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model


class Untrained(Stock):
    """Only builds: to count what fails before training, training isn't needed."""

    def fit(self, hp: Any, model: keras.Model, *args: Any, **options: Any) -> dict[str, float]:
        """A constant."""
        return {OBJECTIVE: 0.5}


def wasted_by_stock(plan: dict[str, Any], directory: str) -> dict[str, Any]:
    """Trials of a random search that fail, or exceed the budget given as `max_model_size`."""
    problem = _problem(plan)
    tuner = keras_tuner.RandomSearch(
        Untrained(problem),
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        max_trials=problem.plan.max_trials,
        max_model_size=problem.plan.max_params,
        # By default it stops at the third failure in a row.
        max_consecutive_failed_trials=10_000,
        directory=directory,
        seed=problem.plan.seed + 1,
    )
    with _quiet():
        tuner.search(verbose=0)
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    return {"trials": len(statuses), "wasted": sum(s != TrialStatus.COMPLETED for s in statuses)}


def wasted_by_ours(plan: dict[str, Any], directory: str) -> dict[str, Any]:
    """The same for our oracle; every network that it proposes is built and counted."""
    problem = _problem(plan)
    oracle = make_oracle(problem, Path(directory) / "oracle")

    def built(trial_id: str, values: dict[str, Any]) -> dict[str, float]:
        keras.backend.clear_session()
        model = problem.network(problem.configuration(values).arguments).model()
        if model.count_params() > (problem.plan.max_params or np.inf):
            raise KerascnnError("over the budget")
        return {problem.plan.objectives[0]: 0.5}

    work(oracle, built, worker="bench")
    statuses = [trial.status for trial in oracle.trials.values()]
    return {"trials": len(statuses), "wasted": sum(s != TrialStatus.COMPLETED for s in statuses)}


def kept(plan: dict[str, Any], directory: str, data: str) -> dict[str, Any]:
    """Milliseconds of processor time for a trial of a search that trains nothing.

    That is proposing it, keeping its result, and the leaderboard after it.
    """
    made = Plan.from_dict(plan, owner="bench")
    dataset = load(data, input_shape=(32, 32, 1), echo=None)
    study = Study.begin(made, directory, dataset)

    def reckoned(trial_id: str, values: dict[str, Any]) -> dict[str, float]:
        cost = study.problem.network(study.problem.configuration(values).arguments).cost()
        error = abs(np.log(cost.params / 30_000)) % 1
        return {made.objectives[0]: float(error), "params": cost.params}

    with Display(study.problem, Console(quiet=True)) as display:
        oracle = make_oracle(study.problem, study.path / "oracle", Keeper(study, display))
        began = time.process_time()
        work(oracle, reckoned, worker="bench")
    statuses = [trial.status for trial in oracle.trials.values()]
    seconds = time.process_time() - began
    return {
        "trials": len(statuses),
        "failed": sum(status != TrialStatus.COMPLETED for status in statuses),
        "milliseconds": 1000 * seconds / len(statuses),
    }


def timed_stock(plan: dict[str, Any], directory: str) -> dict[str, Any]:
    """Seconds for a completed trial of a stock grid search over the plan's space."""
    problem = _problem(plan)
    options = {"directory": directory, "objective": keras_tuner.Objective(OBJECTIVE, "max")}
    tuner = keras_tuner.GridSearch(Stock(problem), max_trials=None, **options)
    seconds = _search(tuner, problem)
    scores = [1 - t.score for t in tuner.oracle.trials.values() if t.score is not None]
    return _timed(seconds, scores)


def _search(tuner: keras_tuner.Tuner, problem: Problem) -> float:
    """Run a stock search on the plan's data; its seconds, without those of loading the data."""
    dataset = load(problem.plan.data, input_shape=problem.input_shape, echo=None)
    training, validation = _arrays(dataset)
    recipe = _recipe(problem)
    started = time.perf_counter()
    with _quiet():
        tuner.search(
            *training,
            validation_data=validation,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            verbose=0,
        )
    return time.perf_counter() - started


def timed_ours(plan: dict[str, Any], directory: str) -> dict[str, Any]:
    """The same for our grid search, with report, pictures and the test split in addition."""
    problem = _problem(plan)
    dataset = load(problem.plan.data, input_shape=problem.input_shape, echo=None)
    started = time.perf_counter()
    study = search(
        problem.plan,
        directory=Path(directory) / "study",
        dataset=dataset,
        console=Console(quiet=True),
    )
    seconds = time.perf_counter() - started
    return _timed(seconds, [row.metrics["val_error"] for row in study.leaderboard])


def many_of_stock(plan: dict[str, Any], directory: str) -> dict[str, Any]:
    """A random search whose memory and directory are watched from outside."""
    problem = _problem(plan)
    tuner = keras_tuner.RandomSearch(
        Stock(problem),
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        max_trials=problem.plan.max_trials,
        directory=directory,
        seed=problem.plan.seed + 1,
    )
    _search(tuner, problem)
    return {"trials": len(tuner.oracle.trials)}


def _problem(plan: dict[str, Any]) -> Problem:
    return Problem.of(Plan.from_dict(plan, owner="benchmark"), classes=10)


def _recipe(problem: Problem) -> Recipe:
    return problem.recipe.changed(problem.configuration({}).training)


def _arrays(dataset: Dataset) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Training and validation images in [0, 1] with their labels."""
    parts = (dataset.train, dataset.validation)
    found = [next(split.batches(split.size).as_numpy_iterator()) for split in parts]
    (x, y), (x_held, y_held) = found
    return (x.astype("float32") / 255, y), (x_held.astype("float32") / 255, y_held)


def _timed(seconds: float, errors: list[float]) -> dict[str, Any]:
    return {
        "trials": len(errors),
        "seconds": seconds / len(errors),
        "error": float(np.median(errors)),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """KerasTuner prints a traceback for each failed trial."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    print(json.dumps(globals()[task.pop("function")](**task)))
