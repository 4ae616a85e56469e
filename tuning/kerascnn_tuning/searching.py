"""A search on one machine, in one process."""

from __future__ import annotations

import importlib.util
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from kerascnn import resolve_strategy
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, load
from kerascnn.errors import ArgumentError
from kerascnn_tuning import warm_start
from kerascnn_tuning.display import Display
from kerascnn_tuning.errors import NO_OPTUNA, SearchError
from kerascnn_tuning.internals import forget
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study import report
from kerascnn_tuning.study.study import Study, require_free
from kerascnn_tuning.trials import Runner
from kerascnn_tuning.working import settled_heap, work

WORKER = "local"


def search(
    plan: Plan | str,
    *,
    directory: str | Path | None = None,
    dataset: Dataset | None = None,
    console: Console | None = None,
) -> Study:
    """Search, and leave a study directory.

    A directory that holds this search already is gone on with: nothing completed is repeated.
    TensorFlow doesn't give all of a network's memory back: with hundreds of trials, the command
    `kerascnn tune`, which renews its process, is the better choice.

    Args:
        plan: what to search, or the name of an architecture.
        directory: the study directory; default: `studies/NAME-DATA-TIME`.
        dataset: instead of the one that the plan names; trials can then be repeated with
            `kerascnn train --config` only if its name is a source.
        console: where messages and progress go; default: standard output.

    Returns:
        The study: `leaderboard`, `pareto`, `best_model()`.

    Raises:
        ArgumentError, DataError, StudyError: see their messages; nothing has been trained.
        SearchError: too many trials failed, or none is within the budget.
        KeyboardInterrupt: the study can be gone on with.
    """
    if isinstance(plan, str):
        plan = Plan(architecture=plan)
    return search_on(plan, directory=directory, dataset=dataset, console=console)[0]


def search_on(
    plan: Plan,
    *,
    directory: str | Path | None = None,
    dataset: Dataset | None = None,
    console: Console | None = None,
    most: int | None = None,
) -> tuple[Study, bool]:
    """`search`, which returns after `most` trials in any case.

    Returns:
        The study, and whether the search is over.
    """
    console = console or Console()
    resolve_strategy(plan.strategy)  # before the data pipeline starts TensorFlow's devices
    path = Path(directory or default_path(plan))
    refuse_at_once(plan, path)
    dataset = dataset or load_data(plan, console)
    known = warm_start.gather(plan, path, dataset, sayer(console))
    study = Study.begin(plan, path, dataset)
    warm_start.write(path, known)
    with study.locked("searching"), Display(study.problem, console) as display:
        runner = Runner(study.problem, dataset, study.path / "trials")
        oracle = make_oracle(study.problem, study.path / "oracle", Keeper(study, display))
        oracle.take_over(WORKER)
        try:
            with settled_heap():
                over = work(oracle, runner, worker=WORKER, most=most) or oracle.finished
        except KeyboardInterrupt:
            oracle.save()
            again = f"Interrupted. Go on with `kerascnn tune search --resume {study.path}`."
            console.print(Text(again), soft_wrap=True)  # in one piece, to be copied
            raise
        finally:
            forget(oracle)
    if over:
        finish(study, oracle.reason)
    return study, over


def refuse_at_once(plan: Plan, path: Path) -> None:
    """Refuse, before the data is read, what can be seen without it.

    Raises:
        ArgumentError, StudyError: see their messages.
    """
    Problem.of(plan)
    if plan.tuner == "optuna" and importlib.util.find_spec("optuna") is None:
        raise ArgumentError(NO_OPTUNA)
    if (path / "study.json").is_file():
        Study.open(path).require_same_plan(plan)
    else:
        require_free(path)


def finish(study: Study, reason: str | None) -> None:
    """Write the report.

    Raises:
        SearchError: the search was stopped for this reason.
    """
    try:
        report.write(study)
    except OSError:
        if not reason:  # otherwise the reason is what matters
            raise
    if reason:
        raise SearchError(
            f"The search was stopped: {reason} What was found so far is in {study.path}."
        )


def load_data(plan: Plan, console: Console) -> Dataset:
    """The plan's data, for the plan's input shape."""
    problem = Problem.of(plan)
    found = load(
        plan.data,
        input_shape=problem.input_shape,
        seed=plan.seed,
        target=plan.task.targets.kind,
        echo=lambda s: console.print(s),
    )
    if tuple(found.image_shape) != tuple(problem.input_shape):
        raise ArgumentError(
            f"{plan.data} delivers {found.image_shape}, the search needs {problem.input_shape}."
        )
    return found


def default_path(plan: Plan) -> Path:
    """`studies/NAME-DATA-TIME`."""
    label = re.split("[:?]", plan.data)[0]
    return Path("studies") / f"{plan.architecture}-{label}-{datetime.now():%Y%m%d-%H%M%S}"


class Keeper:
    """An oracle's listener that keeps the study directory in order, and shows what happens."""

    def __init__(self, study: Study, display: Display) -> None:
        self._study, self._view = study, display
        display.remember(study.leaderboard)

    def on_trial_begin(self, trial: Any) -> None:
        """A trial begins."""
        self._view.on_trial_begin(trial)

    def on_trial_end(self, trial: Any) -> None:
        """A trial has ended: its state is on the disk."""
        self._view.on_trial_end(trial)
        if trial.status in ("COMPLETED", "FAILED"):
            self._study.discard_models()
            report.write_leaderboard(self._study)
