"""A trial: a training with the code of `kerascnn train`, and what it measured."""

from __future__ import annotations

import math
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kerascnn
from kerascnn import Recipe, Run
from kerascnn.console import Console
from kerascnn.data import Dataset
from kerascnn.errors import ArgumentError
from kerascnn.tasks import HELD
from kerascnn_tuning import pruning
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.study.files import PRUNED_AT
from kerascnn_tuning.study.rows import averaged, numbers


class Runner:
    """Trains trials of a problem on one data set, which is prepared once.

    Args:
        problem: what is searched.
        dataset: loaded for the problem's input shape.
        directory: the trials' run directories are made in it.
    """

    def __init__(self, problem: Problem, dataset: Dataset, directory: Path) -> None:
        check_objectives(problem, dataset)
        self.problem, self.dataset, self.directory = problem, dataset, directory
        first = problem.plan.objectives[0]
        sign = problem.measures[first].sign
        self._record = pruning.Record(directory.parent, first, sign)

    def __call__(self, trial_id: str, values: dict[str, Any]) -> dict[str, float]:
        """Train one trial, from as many seeds as the plan says, and leave a run directory.

        Returns:
            The means of what `Problem.measures` names, `latency` if it is an objective.

        Raises:
            KerascnnError: the trial failed, and would fail again.
        """
        plan = self.problem.plan
        found = self.problem.configuration(values)
        started = time.perf_counter()
        path = self.directory / trial_id
        shutil.rmtree(path, ignore_errors=True)  # of an earlier try, which may be half written
        measured = []
        for repeat in range(plan.repeats):
            place = path / "repeats" / str(repeat) if repeat else path
            # What a trial is worth is judged while its first repeat trains.
            pruner = None if repeat else self._pruner()
            run = train_configuration(
                self.problem,
                found,
                self.dataset,
                recipe=self.problem.recipe,
                seed=plan.seed + repeat,
                path=place,
                epochs=values.get("tuner/epochs"),
                callbacks=[pruner] if pruner else [],
            )
            measured.append(numbers(run.metrics))
            if "latency" in plan.objectives:
                measured[-1]["latency"] = latency(run)
            if pruner and pruner.verdict:
                pruning.write(pruner.verdict, path)
                measured[0][PRUNED_AT] = float(pruner.verdict.epoch)
                break
            if repeat:  # the first one's model is the trial's
                (place / "model.keras").unlink(missing_ok=True)
        metrics, _ = averaged(measured)
        cost = self.problem.network(found.arguments).cost()
        metrics |= {"params": float(cost.params), "macs": float(cost.macs)}
        metrics["seconds"] = time.perf_counter() - started
        for name in plan.objectives:
            if not math.isfinite(metrics[name]):
                raise ArgumentError(f"{name} is {metrics[name]} at the end of the training.")
        return metrics

    def _pruner(self) -> pruning.Pruner | None:
        if self.problem.plan.prune == "none":
            return None
        return pruning.Pruner(
            self._record,
            self.problem.plan.objectives[0],
            after=pruning.warm_up(self.problem),
            epochs=self.problem.recipe.epochs,
        )


def train_configuration(
    problem: Problem,
    configuration: Configuration,
    dataset: Dataset,
    *,
    recipe: Recipe,
    seed: int,
    path: Path,
    epochs: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train one point of the space; the run directory is left without records for each epoch.

    Args:
        problem: what is searched.
        configuration: the point.
        dataset: loaded for the problem's input shape.
        recipe: to which the configuration's values belong.
        seed: of weights, order and random changes.
        path: the run directory; what is there is removed.
        epochs: default: the recipe's.
        callbacks: see `kerascnn.train`.
    """
    tf.get_logger().setLevel("ERROR")  # every training is a new graph, on purpose
    try:
        return kerascnn.train(
            problem.architecture,
            dataset,
            arguments=configuration.arguments,
            input_shape=problem.input_shape,
            recipe=recipe.changed(configuration.training),
            epochs=epochs,
            strategy=problem.plan.strategy,
            precision=problem.plan.precision,
            seed=seed,
            run=path,
            overwrite=True,
            record=False,
            callbacks=callbacks,
            console=Console(quiet=True),
        )
    finally:
        # Graphs and variables of this training; without it hundreds fill the memory.
        keras.backend.clear_session()


def check_objectives(problem: Problem, dataset: Dataset) -> None:
    """Refuse an objective that no trial would report.

    Raises:
        ArgumentError: the data has no validation images.
    """
    wanted = [name for name in problem.plan.objectives if name.startswith(HELD)]
    if wanted and not dataset.validation.size:
        raise ArgumentError(
            f"{wanted[0]} needs validation images, and {dataset.name} has none. "
            f"Choose another objective, such as --objective {wanted[0].removeprefix(HELD)}."
        )


def latency(run: Run, repeats: int = 30) -> float:
    """Milliseconds for one image on one device, the median."""
    model = run.model()
    image = np.zeros((1, *run.config.input_shape), "float32")
    forward = tf.function(lambda x: model(x, training=False))
    times = []
    for _ in range(repeats + 5):
        started = time.perf_counter()
        outputs = forward(image)
        (outputs[0] if isinstance(outputs, (list, tuple)) else outputs).numpy()
        times.append(1000 * (time.perf_counter() - started))
    keras.backend.clear_session()
    return statistics.median(times[5:])
