"""Finals: the best trials trained again, from several seeds, beside the default.

The best of many trials is in part the luckiest: its score was chosen for being low, on few
validation images and from one seed. So the finalists are trained again from seeds that no trial
had, next to what one would have without a search: the architecture's own arguments and recipe,
made narrower where the budget asks for it, for the same number of epochs. What holds is judged on
the test images, which no search has seen.

STUDY/finals/EPOCHS-epochs/
    default/train-1/    run directories: contestant, images, seed
    0003/together-2/    on the training and validation images together
    finals.csv          one line for each run
    finals.json         means, spreads and the verdict
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kerascnn
from kerascnn import Recipe, Run, resolve_strategy
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, joined
from kerascnn.errors import ArgumentError
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.finals.default import default_within
from kerascnn_tuning.finals.verdict import (
    DEFAULT,
    TOGETHER,
    TRAIN,
    Contestant,
    Final,
    Finals,
    write,
)
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.searching import load_data
from kerascnn_tuning.study.study import Study


def run_finals(
    study: Study,
    *,
    finalists: int = 3,
    seeds: int = 3,
    epochs: int | None = None,
    together: bool = True,
    dataset: Dataset | None = None,
    console: Console | None = None,
) -> Finals:
    """Train the best trials and the default from several seeds, and write what holds.

    Runs that are finished already are kept; one that was interrupted begins anew.

    Args:
        study: a study with completed trials.
        finalists: how many of the best trials.
        seeds: how many runs of each; from seeds that no trial had.
        epochs: of each run; default: the study's.
        together: whether each is trained on training and validation images together as well.
        dataset: instead of the one that the study names.
        console: where messages go.

    Raises:
        ArgumentError: a number is illegal, or the data has no test images.
        StudyError: no trial is complete, or the data has changed since the search.
        TrainingError: a run can't be trained to its end.
    """
    console = console or Console()
    for name, value in (("finalists", finalists), ("seeds", seeds), ("epochs", epochs)):
        if value is not None and value < 1:
            raise ArgumentError(f"{name} must be at least 1. Received: {value}.")
    problem = study.problem
    entrants, notes = contestants(study, finalists)
    resolve_strategy(problem.plan.strategy)
    dataset = dataset or load_data(problem.plan, console)
    if dataset.fingerprint != study.content["data"]["fingerprint"]:
        raise StudyError(
            f"The data {problem.plan.data} has changed since the search in {study.path}, so its "
            "trials can't be compared with new runs. Search again with another --dir."
        )
    if not dataset.test.size:
        raise ArgumentError(
            f"Finals are judged on test images, and {dataset.name} has none. Give it a test set."
        )
    parts = {TRAIN: dataset}
    if together and dataset.validation.size:
        parts[TOGETHER] = with_validation(dataset)
    recipe = dataclasses.replace(problem.recipe, epochs=epochs or problem.recipe.epochs)
    directory = study.path / "finals" / f"{recipe.epochs}-epochs"
    say = sayer(console)
    for note in notes:
        say(note)
    with study.locked("running the finals"):
        runs = tuple(
            _run(problem, one, recipe, data, on, seed, directory, console)
            for one in entrants
            for on, data in parts.items()
            for seed in _seeds(problem, seeds)
        )
        found = Finals(
            contestants=tuple(entrants),
            runs=runs,
            objective=problem.plan.objectives[0],
            epochs=recipe.epochs,
            test_images=dataset.test.size,
            directory=directory,
            notes=tuple(notes),
        )
        write(found)
    return found


def _seeds(problem: Problem, count: int) -> range:
    """Seeds that no trial had: a trial was chosen for what it made of its own."""
    first = problem.plan.seed + problem.plan.repeats
    return range(first, first + count)


def contestants(study: Study, finalists: int) -> tuple[list[Contestant], list[str]]:
    """The default and the best trials, and what to say about them.

    Raises:
        StudyError: no trial is complete.
    """
    rows = study.leaderboard[:finalists]
    if not rows:
        raise StudyError(f"{study.path} has no completed trial yet, so there are no finalists.")
    notes = []
    if len(rows) < finalists:
        notes.append(f"There are {len(rows)} completed trials for {finalists} finalists.")
    problem, objective = study.problem, study.plan.objectives[0]
    found = []
    default, note = default_within(problem)
    notes.append(note)
    if default is not None:
        found.append(_contestant(problem, DEFAULT, default, note))
    for row in rows:
        configuration = Configuration(row.arguments, row.training)
        score = row.metrics[objective]
        found.append(_contestant(problem, row.id, configuration, "", searched=score))
    return found, notes


def _contestant(
    problem: Problem,
    name: str,
    found: Configuration,
    note: str,
    *,
    searched: float | None = None,
) -> Contestant:
    cost = problem.network(found.arguments).cost()
    return Contestant(name, found, cost.params, cost.macs, note, searched)


def with_validation(dataset: Dataset) -> Dataset:
    """The data with its validation images among those for training, and none for validation."""
    parts = (dataset.train, dataset.validation)
    nobody = dataset.validation.take(np.arange(0))
    mark = hashlib.sha256(f"{dataset.fingerprint} together".encode()).hexdigest()
    return dataclasses.replace(dataset, train=joined(parts), validation=nobody, fingerprint=mark)


def _run(
    problem: Problem,
    contestant: Contestant,
    recipe: Recipe,
    dataset: Dataset,
    on: str,
    seed: int,
    directory: Path,
    console: Console,
) -> Final:
    """One run, or the one that is there already."""
    path = directory / contestant.name / f"{on}-{seed}"
    found = contestant.configuration
    recipe = recipe.changed(found.training)
    run = Run(path)
    label = f"{contestant.name:8} {'training' if on == TRAIN else 'together':8} seed {seed}"
    kept = _is_done(run, found.arguments, recipe, seed, dataset.fingerprint)
    if not kept:
        tf.get_logger().setLevel("ERROR")  # every run is a new graph, on purpose
        try:
            kerascnn.train(
                problem.architecture,
                dataset,
                arguments=found.arguments,
                input_shape=problem.input_shape,
                recipe=recipe,
                strategy=problem.plan.strategy,
                precision=problem.plan.precision,
                seed=seed,
                run=path,
                overwrite=True,
                record=False,
                console=Console(quiet=True),
            )
        finally:
            keras.backend.clear_session()
    metrics = run.metrics
    numbers = "  ".join(
        f"{name} {metrics[name]:.2%}" for name in ("val_error", "test_error") if name in metrics
    )
    how = "done before" if kept else f"{metrics['train_seconds']:.1f} s"
    sayer(console)(f"{label}  {numbers}  {how}")
    return Final(contestant.name, on, seed, metrics, path)


def _is_done(
    run: Run, arguments: Mapping[str, Any], recipe: Recipe, seed: int, fingerprint: str
) -> bool:
    """Whether this very training has come to its end in that directory."""
    if not (run.path / "metrics.json").is_file() or not run.finished:
        return False
    config = run.config
    assert config.architecture is not None
    # Training adds the colours' components, which follow from the images; a loss of its own, which
    # follows from the architecture, is a name in the file.
    kept = dataclasses.replace(config.recipe, augmentation=recipe.augmentation, loss=recipe.loss)
    return (
        config.architecture.arguments == arguments
        and kept == recipe
        and config.seed == seed
        and config.data.fingerprint == fingerprint
    )
