"""Running trials: one at a time, with the code of `kerascnn train`."""

from __future__ import annotations

import contextlib
import gc
import math
import shutil
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

import kerascnn
from kerascnn import Run
from kerascnn.console import Console
from kerascnn.data import Dataset
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn_tuning import pruning
from kerascnn_tuning.internals import Trial, TrialStatus
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.study.files import PRUNED_AT
from kerascnn_tuning.study.rows import averaged, numbers

IDLE_SECONDS = 0.5
"""Between two requests for a trial; KerasTuner itself asks thousands of times."""


class Oracle(Protocol):
    """What a worker needs of an oracle, in this process or at the other end of a wire."""

    def create_trial(self, tuner_id: str) -> Trial:
        """See `keras_tuner.Oracle`."""

    def update_trial(self, trial_id: str, metrics: dict[str, float]) -> Any:
        """See `keras_tuner.Oracle`."""

    def end_trial(self, trial: Trial) -> None:
        """See `keras_tuner.Oracle`."""


Alive = Callable[[str], contextlib.AbstractContextManager[None]]
"""`alive(trial_id)`: tells the chief, as long as its block runs, that the trial is in work."""


@contextlib.contextmanager
def _unwatched(trial_id: str) -> Iterator[None]:
    yield


def work(
    oracle: Oracle,
    run_trial: Callable[[str, dict[str, Any]], dict[str, float]],
    *,
    worker: str,
    alive: Alive = _unwatched,
    most: int | None = None,
) -> bool:
    """Run trials until the oracle has no more.

    Args:
        oracle: gives the trials out and takes the results.
        run_trial: `run_trial(trial_id, values) -> metrics`.
        worker: this worker's id.
        alive: see `Alive`.
        most: trials after which to return in any case.

    Returns:
        Whether the oracle has no more trials.
    """
    done = 0
    while most is None or done < most:
        trial = oracle.create_trial(worker)
        if trial.status == TrialStatus.STOPPED:
            return True
        if trial.status == TrialStatus.IDLE:
            time.sleep(IDLE_SECONDS)
            continue
        with alive(trial.trial_id):
            _run(oracle, trial, run_trial)
        done += 1
    return False


def _run(
    oracle: Oracle, trial: Trial, run_trial: Callable[[str, dict[str, Any]], dict[str, float]]
) -> None:
    """One trial; an exception becomes its status and its message."""
    try:
        metrics = run_trial(trial.trial_id, trial.hyperparameters.values)
    except KerascnnError as error:
        # It says what is wrong, and with the same seed it would be wrong again.
        trial.status, trial.message = TrialStatus.FAILED, str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        trial.status = TrialStatus.INVALID  # another try may succeed
        trial.message = f"{type(error).__name__} in {last.filename}:{last.lineno}: {error}"[:2000]
    else:
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """Spare the garbage collector what was there before.

    TensorFlow and Keras are a million objects. To look through them again and again, while graphs
    are traced and after each trial, takes a sixth of a short trial's time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
        self._record = pruning.Record(directory.parent, problem.plan.objectives[0])

    def __call__(self, trial_id: str, values: dict[str, Any]) -> dict[str, float]:
        """Train one trial, from as many seeds as the plan says, and leave a run directory.

        Returns:
            The means of `kerascnn_tuning.plan.METRICS`, `latency` if it is an objective.

        Raises:
            KerascnnError: the trial failed, and would fail again.
        """
        plan = self.problem.plan
        found = self.problem.configuration(values)
        started = time.perf_counter()
        path = self.directory / trial_id
        shutil.rmtree(path, ignore_errors=True)  # of an earlier try, which may be half written
        tf.get_logger().setLevel("ERROR")  # every trial is a new graph, on purpose
        measured = []
        for repeat in range(plan.repeats):
            place = path / "repeats" / str(repeat) if repeat else path
            epochs = values.get("tuner/epochs")
            # What a trial is worth is judged while its first repeat trains.
            pruner = None if repeat else self._pruner()
            measured.append(
                self._train(found, place, epochs=epochs, seed=plan.seed + repeat, pruner=pruner)
            )
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

    def _train(
        self,
        found: Configuration,
        path: Path,
        *,
        epochs: int | None,
        seed: int,
        pruner: pruning.Pruner | None,
    ) -> dict[str, float]:
        """One training; what it measured."""
        plan = self.problem.plan
        try:
            run = kerascnn.train(
                self.problem.architecture,
                self.dataset,
                arguments=found.arguments,
                input_shape=self.problem.input_shape,
                recipe=self.problem.recipe.changed(found.training),
                epochs=epochs,
                strategy=plan.strategy,
                precision=plan.precision,
                seed=seed,
                run=path,
                record=False,
                callbacks=[pruner] if pruner else [],
                console=Console(quiet=True),
            )
            metrics = numbers(run.metrics)
            if "latency" in plan.objectives:
                metrics["latency"] = latency(run)
            return metrics
        finally:
            # Graphs and variables of this trial; without it a search of hundreds fills the memory.
            keras.backend.clear_session()


def check_objectives(problem: Problem, dataset: Dataset) -> None:
    """Refuse an objective that no trial would report.

    Raises:
        ArgumentError: the data has no validation images.
    """
    wanted = [name for name in problem.plan.objectives if name.startswith("val_")]
    if wanted and not dataset.validation.size:
        raise ArgumentError(
            f"{wanted[0]} needs validation images, and {dataset.name} has none. "
            "Choose another objective, such as --objective error."
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
    return statistics.median(times[5:])
