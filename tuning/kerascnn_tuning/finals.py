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

import csv
import dataclasses
import hashlib
import io
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerascnn.console import Console, sayer
from kerascnn.data import Dataset
from kerascnn.data.dataset import ArraySplit, joined
from kerascnn.distribution import strategies
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import plain
from kerascnn.runs.run import Run
from kerascnn.space import Param, Range
from kerascnn.training import trainer
from kerascnn.words import counted
from kerascnn.writing import write_json, write_text
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.problem import Configuration, Problem, joint_space, narrowed
from kerascnn_tuning.searching import load_data
from kerascnn_tuning.study import Study

TRAIN, TOGETHER = "train", "together"
DEFAULT = "default"
STEPS = 200
"""The default is made narrower in steps of this part of its widths."""


@dataclass(frozen=True)
class Contestant:
    """What is trained from several seeds.

    Attributes:
        name: a trial's id, or "default".
        configuration: its arguments, and its recipe's values.
        params, macs: what it costs.
        note: how it came about.
        searched: what the trial was chosen for: its first objective; None of the default.
    """

    name: str
    configuration: Configuration
    params: int
    macs: int
    note: str = ""
    searched: float | None = None


@dataclass(frozen=True)
class Final:
    """One run of a contestant.

    Attributes:
        contestant: its name.
        on: `TRAIN`, or `TOGETHER` with the validation images.
        seed: of weights, order and random changes.
        metrics: the run's.
        path: its directory.
    """

    contestant: str
    on: str
    seed: int
    metrics: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class Finals:
    """The outcome.

    Attributes:
        contestants: the default first, then the finalists in the leaderboard's order.
        runs: all runs.
        objective: the metric by which the search, and then the winner, was chosen.
        epochs: of each run.
        test_images: on how many images the test errors were counted.
        directory: where it is written.
        notes: what the reader should know.
    """

    contestants: tuple[Contestant, ...]
    runs: tuple[Final, ...]
    objective: str
    epochs: int
    test_images: int
    directory: Path
    notes: tuple[str, ...] = ()

    def values(self, contestant: str, on: str, metric: str) -> list[float]:
        """A metric of a contestant's runs, seed by seed."""
        return [
            run.metrics[metric]
            for run in self.runs
            if (run.contestant, run.on) == (contestant, on) and metric in run.metrics
        ]

    @property
    def winner(self) -> Contestant:
        """The finalist with the best mean of the objective, which the test images don't decide."""
        finalists = [one for one in self.contestants if one.name != DEFAULT]

        def mean(one: Contestant) -> float:
            values = self.values(one.name, TRAIN, self.objective)
            return statistics.fmean(values) if values else 0.0  # else as the leaderboard has them

        return min(finalists, key=mean)

    @property
    def verdict(self) -> str:
        """What holds on the test images, in words."""
        sides = [f"test error: {self._judged(self.winner.name)}"]
        if not any(one.name == DEFAULT for one in self.contestants):
            return f"{sides[0]}. There is no default to compare with."
        sides.append(self._judged(DEFAULT))
        mine, others = (
            self.values(name, TRAIN, "test_error") for name in (self.winner.name, DEFAULT)
        )
        said = f"{sides[0]}, {sides[1]}"
        if len(mine) < 2:
            return f"{said}. From one seed each nothing can be said: use more --seeds."
        gap = statistics.fmean(others) - statistics.fmean(mine)
        chance = by_chance(mine, others, self.test_images)
        better = gap > 0
        comparison = f"the trial is {points(gap)} {'better' if better else 'worse'}"
        if abs(gap) > chance:
            found = "something better" if better else "nothing better"
            return (
                f"{said}; {comparison}, more than the {points(chance)} that chance explains. "
                f"The search has found {found}."
            )
        return (
            f"{said}; {comparison}, and up to {points(chance)} can be chance. "
            "That the search has found something better is not shown."
        )

    def _judged(self, name: str) -> str:
        what = "the default" if name == DEFAULT else f"trial {name}"
        return f"{what} has {shown(self.values(name, TRAIN, 'test_error'))}"


def by_chance(first: Sequence[float], second: Sequence[float], images: int) -> float:
    """How far apart two mean errors can be by chance alone, in 19 of 20 cases.

    Two kinds of chance: of the seeds, from the spread between runs (Student's t), and of the test
    images, as if both had other ones. Both errors are counted on the same images, which makes the
    second an upper bound.

    Args:
        first, second: test errors of runs from several seeds, at least two each.
        images: on which each of them was counted.
    """
    from scipy import stats

    seeds = sum(statistics.variance(errors) / len(errors) for errors in (first, second))
    means = [statistics.fmean(errors) for errors in (first, second)]
    sample = sum(mean * (1 - mean) / images for mean in means)
    student = stats.t.ppf(0.975, len(first) + len(second) - 2)
    return math.sqrt(student**2 * seeds + 1.96**2 * sample)


def shown(values: Sequence[float], digits: int = 2) -> str:
    """`4.60% ± 0.21%`: the mean, and the standard deviation over the seeds."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}%}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}%}"


def points(difference: float) -> str:
    """`0.52 points`: a difference of two errors, which are per cents themselves."""
    return f"{100 * abs(difference):.2f} points"


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
    strategies.resolve(problem.plan.strategy)
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
    cost = problem.cost(found.arguments)
    return Contestant(name, found, cost.params, cost.macs, note, searched)


def default_within(problem: Problem) -> tuple[Configuration | None, str]:
    """What one would train without a search, made narrower until it is within the budget.

    That is the architecture's own arguments and recipe, with what the plan's `start` and `fix`
    say. All widths shrink by one factor; depths, kernels and kinds stay.

    Returns:
        The configuration, or None if even the narrowest is over the budget; and what was done.
    """
    plain_plan = dataclasses.replace(problem.plan, only=(), choose={}, range={})
    usual = Problem(
        plan=plain_plan,
        architecture=problem.architecture,
        recipe=problem.recipe,
        space=narrowed(joint_space(problem.architecture, problem.recipe), plain_plan),
        input_shape=problem.input_shape,
        classes=problem.classes,
    )
    scalars = {param.name: param.default for param in usual.space.scalars()}
    widths = [param for param in usual.space.scalars() if _is_width(param, usual)]
    refusal = usual.refusal(scalars)
    if refusal is None:
        return usual.configuration(scalars), "The default: the network and the recipe as they are."
    for step in range(STEPS - 1, 0, -1):
        factor = step / STEPS
        values = scalars | {p.name: _narrower(p, factor) for p in widths}
        if usual.refusal(values) is None:
            return (
                usual.configuration(values),
                f"The default is not within the budget ({refusal}): its widths are multiplied by "
                f"{factor:g}.",
            )
    return None, f"There is no default to compare with: {refusal}, also with the narrowest layers."


def _is_width(param: Param, problem: Problem) -> bool:
    """Whether a scalar is a number of filters, units or maps: whole numbers with a range."""
    architecture = problem.architecture.space
    name = next((p.name for p in architecture for e in p.elements() if e.name == param.name), "")
    whole = type(param.default) is int and not param.kernel
    return name not in ("", "depths") and whole and isinstance(param.search, Range)


def _narrower(param: Param, factor: float) -> int:
    assert isinstance(param.legal, Range)
    return max(int(param.legal.low), round(param.default * factor))


def with_validation(dataset: Dataset) -> Dataset:
    """The data with its validation images among those for training, and none for validation."""
    parts = (dataset.train, dataset.validation)
    empty = ArraySplit(dataset.validation.example(0)[0][None][:0], dataset.train.labels[:0])
    mark = hashlib.sha256(f"{dataset.fingerprint} together".encode()).hexdigest()
    return dataclasses.replace(dataset, train=joined(parts), validation=empty, fingerprint=mark)


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
            trainer.train(
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
    asked = json.loads(json.dumps({"arguments": arguments, "recipe": plain(recipe), "seed": seed}))
    kept = {
        "arguments": config["architecture"]["arguments"],
        "recipe": dict(config["recipe"]),
        "seed": config["seed"],
    }
    # Training adds the colours' components, which follow from the images.
    kept["recipe"]["augmentation"] = asked["recipe"]["augmentation"]
    return kept == asked and config["data"]["fingerprint"] == fingerprint


def write(finals: Finals) -> None:
    """finals.csv and finals.json."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        [
            *("contestant", "trained_on", "seed", "epochs", "params", "macs"),
            *("train_error", "val_error", "test_error", "test_loss", "seconds", "run"),
        ]
    )
    costs = {one.name: (one.params, one.macs) for one in finals.contestants}
    for run in finals.runs:
        names = ("error", "val_error", "test_error", "test_loss", "train_seconds")
        writer.writerow(
            [run.contestant, run.on, run.seed, run.metrics["epochs"], *costs[run.contestant]]
            + [run.metrics.get(name, "") for name in names]
            + [str(run.path.relative_to(finals.directory))]
        )
    write_text(finals.directory / "finals.csv", buffer.getvalue())
    write_json(finals.directory / "finals.json", as_json(finals))


def as_json(finals: Finals) -> dict[str, Any]:
    """Means, spreads and the verdict as plain values."""

    def summary(name: str, on: str) -> dict[str, Any]:
        found = {}
        for metric in ("val_error", "test_error"):
            values = finals.values(name, on, metric)
            if values:
                found[metric] = {
                    "mean": statistics.fmean(values),
                    "deviation": statistics.stdev(values) if len(values) > 1 else None,
                    "values": values,
                }
        return found

    return {
        "epochs": finals.epochs,
        "seeds": sorted({run.seed for run in finals.runs}),
        "test_images": finals.test_images,
        "objective": finals.objective,
        "contestants": [
            {
                "name": one.name,
                "params": one.params,
                "macs": one.macs,
                "searched": one.searched,
                "arguments": one.configuration.arguments,
                "training": one.configuration.training,
                **{on: summary(one.name, on) for on in (TRAIN, TOGETHER)},
            }
            for one in finals.contestants
        ],
        "winner": finals.winner.name,
        "verdict": finals.verdict,
        "notes": list(finals.notes),
    }


def print_finals(finals: Finals, say: Callable[..., None]) -> None:
    """A table of at most 80 columns, and the verdict."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("", "params", "search", "validation", "test", "test, together"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for one in finals.contestants:
        searched = "" if one.searched is None else _number(finals.objective, one.searched)
        table.add_row(
            one.name if one.name == DEFAULT else f"trial {one.name}",
            f"{one.params:,}",
            searched,
            shown(finals.values(one.name, TRAIN, "val_error"), 1),
            shown(finals.values(one.name, TRAIN, "test_error"), 1),
            shown(finals.values(one.name, TOGETHER, "test_error"), 1),
        )
    say(table)
    verdict = finals.verdict[0].upper() + finals.verdict[1:]
    epochs = counted(finals.epochs, "epoch", "epochs")
    say(f"{verdict} {epochs}, {finals.test_images:,} test images.")


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name.endswith("error") else f"{value:.4g}"
