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
from pathlib import Path

import numpy as np

from kerascnn import Recipe, Run, resolve_strategy
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, joined
from kerascnn.errors import ArgumentError
from kerascnn.tasks import HELD, TEST
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.finals.contestants import Contestant, contestants
from kerascnn_tuning.finals.verdict import TOGETHER, TRAIN, Final, Finals, write
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.searching import load_data
from kerascnn_tuning.study.study import Study
from kerascnn_tuning.trials import train_configuration


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
    found, notes = contestants(study, finalists)
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
            for one in found
            for on, data in parts.items()
            for seed in _seeds(problem, seeds)
        )
        outcome = Finals(
            contestants=tuple(found),
            runs=runs,
            objective=problem.plan.objectives[0],
            task=problem.plan.task,
            epochs=recipe.epochs,
            test_images=dataset.test.size,
            directory=directory,
            notes=tuple(notes),
        )
        write(outcome)
    return outcome


def _seeds(problem: Problem, count: int) -> range:
    """Seeds that no trial had: a trial was chosen for what it made of its own."""
    first = problem.plan.seed + problem.plan.repeats
    return range(first, first + count)


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
    run = Run(path)
    label = f"{contestant.name:8} {'training' if on == TRAIN else 'together':8} seed {seed}"
    kept = _is_done(run, problem, contestant.configuration, recipe, seed, dataset.fingerprint)
    if not kept:
        train_configuration(
            problem, contestant.configuration, dataset, recipe=recipe, seed=seed, path=path
        )
    metrics = run.metrics
    main = problem.plan.task.main
    numbers = "  ".join(
        f"{part}{main.name} {main.written(metrics[part + main.name])}"
        for part in (HELD, TEST)
        if part + main.name in metrics
    )
    how = "done before" if kept else f"{metrics['train_seconds']:.1f} s"
    sayer(console)(f"{label}  {numbers}  {how}")
    return Final(contestant.name, on, seed, metrics, path)


def _is_done(
    run: Run,
    problem: Problem,
    configuration: Configuration,
    recipe: Recipe,
    seed: int,
    fingerprint: str,
) -> bool:
    """Whether this very training has come to its end in that directory."""
    if not (run.path / "metrics.json").is_file() or not run.finished:
        return False
    config, asked = run.config, recipe.changed(configuration.training)
    assert config.architecture is not None
    # Training names what epochs are compared by, where the recipe leaves it to the task, and adds
    # the colours' components, which follow from the images; a loss of its own, which follows from
    # the architecture, is a name in the file.
    asked = dataclasses.replace(asked, monitor=problem.plan.task.monitor(asked.monitor))
    kept = dataclasses.replace(config.recipe, augmentation=asked.augmentation, loss=asked.loss)
    return (
        config.architecture.arguments == configuration.arguments
        and kept == asked
        and config.seed == seed
        and config.data.fingerprint == fingerprint
    )
