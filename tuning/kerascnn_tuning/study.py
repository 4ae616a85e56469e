"""A study: the directory that a search leaves behind.

study.json       the plan, the space and its fingerprint, the data, versions
oracle/          KerasTuner's state: every trial with its hyperparameters, metrics and failure
trials/ID/       run directories; models of trials that were beaten are removed
leaderboard.csv  all trials, the best first
pareto.png, parallel.png, importance.png
tensorboard/     HParams
best/            the run directory of the best trial
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.errors import KerascnnError
from kerascnn.runs.run import Run
from kerascnn.writing import LockedError, locked, write_json
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.identity import described, differences, identity
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem, tidy

if TYPE_CHECKING:
    import keras

    from kerascnn.data import Dataset

RESTORE = "Restore it from a copy, or begin another study with another --dir."
LARGEST = 2**26  # bytes of a file of JSON
PRUNED_AT = "pruned_at"
"""The metric by which an oracle's trial is known to be pruned: after how many epochs it ended."""
PRUNED_FILE = "pruned.json"
# What may change between two sessions of one search.
FREE = ("max_trials", "max_minutes", "strategy", "retries", "failure_limit", "keep")


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        id: its id, the name of its run directory.
        status: RUNNING, INVALID (to be tried again), COMPLETED, PRUNED or FAILED.
        values: the searched hyperparameters that were active.
        arguments, training: complete arguments of the architecture and values of the recipe.
        metrics: what it reported; empty unless it was completed or pruned.
        reason: why it failed or was pruned.
        path: its run directory; of its repeats, in `repeats/1` and so on.
        epochs: for which it was trained.
        spread: standard deviation of each metric over the repeats; empty without any.
    """

    id: str
    status: str
    values: dict[str, Any]
    arguments: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, float]
    reason: str | None
    path: Path
    epochs: int = 0
    spread: dict[str, float] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether it came to a good end."""
        return self.status == "COMPLETED"

    @property
    def ended(self) -> bool:
        """Whether it came to an end."""
        return self.status in ("COMPLETED", "PRUNED", "FAILED")


@dataclass(frozen=True)
class Study:
    """A study directory.

    Attributes:
        path: the directory.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Study:
        """The study in a directory.

        Raises:
            StudyError: there is none.
        """
        study = cls(Path(path))
        if not (study.path / "study.json").is_file():
            raise StudyError(f"{path} is no study: it has no study.json.")
        return study

    @classmethod
    def begin(cls, plan: Plan, path: str | Path, dataset: Dataset) -> Study:
        """A new study; or the one in this directory, if it is of the same search.

        Args:
            plan: the plan.
            path: the directory.
            dataset: the data, loaded as the plan says.

        Raises:
            StudyError: the directory holds something else, or a search that differs; the message
                says in what.
        """
        study, problem = cls(Path(path)), Problem.of(plan, dataset.classes)
        content = {
            "kerascnn_study": 1,
            "plan": plan.to_dict(),
            **identity(problem, dataset),
            "id": secrets.token_hex(8),
            "created": datetime.now().isoformat(timespec="seconds"),
        }
        if (study.path / "study.json").is_file():
            study.require_same_plan(plan)
            if found := differences(study.content, content):
                raise StudyError(_another_search(study.path, found))
            content |= {key: study.content[key] for key in ("id", "created")}
        else:
            require_free(study.path)
        write_json(study.path / "study.json", content)
        return cls(study.path)

    def require_same_plan(self, plan: Plan) -> None:
        """Refuse to go on with another plan; fields in `FREE` may differ.

        Raises:
            StudyError: says in what it differs.
        """
        old, new = _plain(self.plan), _plain(plan)
        found = [
            f"{field.name}: {old[field.name]} then, {new[field.name]} now"
            for field in fields(Plan)
            if field.name not in FREE and old[field.name] != new[field.name]
        ]
        if any(old[name] != new[name] for name in ("start", "only", "fix", "choose", "range")):
            # What it comes to for each parameter is easier to understand.
            space = described(Problem.of(plan, self.content["data"]["classes"]))
            found = [*differences({"space": self.content["space"]}, {"space": space}), *found]
        if found:
            raise StudyError(_another_search(self.path, found))

    def require_same_world(self, problem: Problem, dataset: Dataset) -> None:
        """Refuse to run trials with other data, code or versions than the study began with.

        Args:
            problem: looked up in this process.
            dataset: loaded in this process.

        Raises:
            StudyError: says in what this process differs.
        """
        words = ("in the study", "here")
        if found := differences(self.content, identity(problem, dataset), words=words):
            raise StudyError(
                f"Trials of this process could not be compared with those of {self.path}, as these "
                f"differ: {'; '.join(found)}. Give this machine the same data and the same "
                "installation."
            )

    @property
    def content(self) -> dict[str, Any]:
        """What study.json says.

        Raises:
            StudyError: it is damaged.
        """
        path = self.path / "study.json"
        found = read_json(path)
        data = found.get("data")
        classes = data.get("classes") if isinstance(data, dict) else None
        tables = all(isinstance(found.get(key), dict) for key in ("plan", "space"))
        if not (tables and isinstance(found.get("id"), str) and isinstance(classes, int)):
            raise StudyError(f"{path} is damaged: it isn't what a search writes. {RESTORE}")
        return found

    @property
    def id(self) -> str:
        """Random; whoever reads it sees the same directory."""
        return self.content["id"]

    @cached_property
    def plan(self) -> Plan:
        """What is searched."""
        return Plan.from_dict(self.content["plan"], owner=str(self.path / "study.json"))

    @cached_property
    def problem(self) -> Problem:
        """The plan with everything looked up."""
        return Problem.of(self.plan, self.content["data"]["classes"])

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock in the directory; the death of the process releases it.

        Raises:
            StudyError: another process holds it.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path / "locks" / f"{name}.lock"))
            except LockedError as holder:
                raise StudyError(
                    f"{self.path}: another process is {name} of this study ({holder})."
                ) from None
            yield

    @property
    def trials(self) -> list[Row]:
        """All trials, in the order in which they began."""
        rows = []
        for file in trial_files(self.path / "oracle"):
            if file not in self._ended:
                row = self._row(file)
                rows.append(row)
                if row.ended:
                    self._ended[file] = row
            else:
                rows.append(self._ended[file])
        return rows

    @cached_property
    def _ended(self) -> dict[Path, Row]:
        """Trials that have ended, which never change: a search reads them after each trial."""
        return {}

    def _row(self, file: Path) -> Row:
        with usable(file):
            state = read_json(file)
            values = state["hyperparameters"]["values"]
            found = self.problem.configuration(values)
            path = self.path / "trials" / f"{int(state['trial_id']):04d}"
            metrics: dict[str, float] = {
                name: float(history["observations"][0]["value"][0])
                for name, history in state["metrics"]["metrics"].items()
            }
            spread: dict[str, float] = {}
            done = state["status"] == "COMPLETED"
            pruned_at = metrics.pop(PRUNED_AT, None)
            if done and (path / "metrics.json").is_file():
                # What came over the wire was rounded to single precision.
                exact, spread = averaged([numbers(run.metrics) for run in runs_of(path)])
                cost = self.problem.cost(found.arguments)
                metrics |= {**exact, "params": cost.params, "macs": cost.macs}
            if done and (missing := [n for n in self.plan.objectives if n not in metrics]):
                raise KeyError(missing[0])
            return Row(
                id=path.name,
                status=state["status"] if pruned_at is None else "PRUNED",
                values={
                    p.name: tidy(p, values[p.name])
                    for p in self.problem.space.scalars()
                    if p.name in values
                },
                arguments=found.arguments,
                training=found.training,
                metrics=metrics if done else {},
                reason=_why_pruned(path) if pruned_at else None if done else state["message"],
                path=path,
                epochs=int(pruned_at or values.get("tuner/epochs", self.problem.recipe.epochs)),
                spread=spread,
            )

    @property
    def leaderboard(self) -> list[Row]:
        """Completed trials by the first objective, the best first; then by the others."""
        names = self.plan.objectives
        done = [row for row in self.trials if row.completed]
        return sorted(done, key=lambda row: [row.metrics[name] for name in names])

    @property
    def pareto(self) -> list[Row]:
        """Completed trials that no other is at least as good as in everything, and better in one.

        With a single objective the number of parameters is the second.
        """
        return front(self.leaderboard, self.axes)

    @property
    def axes(self) -> tuple[str, ...]:
        """The metrics that span the Pareto front."""
        names = self.plan.objectives
        if len(names) > 1:
            return names
        return (*names, "params" if names[0] != "params" else "val_error")

    def best_model(self) -> keras.Model:
        """The trained model of the best trial.

        Raises:
            StudyError: no trial is complete.
        """
        return self.best.model()

    @property
    def best(self) -> Run:
        """The run of the best trial.

        Raises:
            StudyError: no trial is complete.
        """
        if not (self.path / "best").is_dir():
            raise StudyError(f"{self.path} has no completed trial yet.")
        return Run.open(self.path / "best")

    def discard_models(self) -> None:
        """Remove the models of trials that are neither among the best nor on the Pareto front."""
        rows = self.leaderboard
        kept = {row.id for row in [*rows[: self.plan.keep], *front(rows, self.axes)]}
        for row in self.trials:
            model = row.path / "model.keras"
            if row.ended and row.id not in kept and model.is_file():
                model.unlink()

    def copy_best(self) -> None:
        """Make `best/` the run directory of the best trial."""
        rows = self.leaderboard
        if not rows or not (rows[0].path / "model.keras").is_file():
            return
        new, old = self.path / ".best-new", self.path / "best"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(rows[0].path, new)
        shutil.rmtree(old, ignore_errors=True)
        new.rename(old)


def front(rows: list[Row], names: tuple[str, ...]) -> list[Row]:
    """The rows that are not dominated, by the first metric; all metrics are minimized."""
    points = {row.id: [row.metrics[name] for name in names] for row in rows}

    def dominated(row: Row) -> bool:
        mine = points[row.id]
        return any(
            other != mine and all(a <= b for a, b in zip(other, mine)) for other in points.values()
        )

    kept = [row for row in rows if not dominated(row)]
    return sorted(kept, key=lambda row: points[row.id])


def _why_pruned(path: Path) -> str:
    file = path / PRUNED_FILE
    return str(read_json(file)["reason"]) if file.is_file() else "worse than the median"


def trial_files(directory: Path) -> list[Path]:
    """The files of an oracle's trials, in the order in which they began."""
    return sorted(directory.glob("trial_*/trial.json"), key=lambda p: (len(p.parent.name), p))


def runs_of(path: Path) -> list[Run]:
    """A trial's run, and those of its repeats."""
    repeats = sorted((path / "repeats").glob("*/metrics.json"), key=lambda file: len(str(file)))
    return [Run(path), *(Run(file.parent) for file in repeats)]


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers with a fraction."""
    return {name: value for name, value in metrics.items() if isinstance(value, float)}


def averaged(runs: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The means of what several runs measured, and the standard deviations; none for one run."""
    columns = {name: [run[name] for run in runs] for name in runs[0]}
    means = {name: statistics.fmean(values) for name, values in columns.items()}
    if len(runs) < 2:
        return means, {}
    return means, {name: statistics.stdev(values) for name, values in columns.items()}


@contextlib.contextmanager
def usable(file: Path) -> Iterator[None]:
    """Turn what goes wrong with a file's content into one message with its name.

    Raises:
        StudyError: something did.
    """
    try:
        yield
    except StudyError:
        raise
    except KerascnnError as error:
        raise StudyError(f"{file} can't be used: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StudyError(f"{file} is damaged: {error!r}. {RESTORE}") from None


def require_free(path: Path) -> None:
    """Refuse a directory that can't become a study.

    Raises:
        StudyError: it is a file, or holds something else.
    """
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path} is a file, not a directory. Choose another with --dir.")
    if path.is_dir() and any(path.iterdir()):
        raise StudyError(f"{path} is not empty and no study. Choose another with --dir.")


def read_json(path: Path) -> dict[str, Any]:
    """A table from one of a study's files.

    Raises:
        StudyError: names the file, which can't be read or holds something else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise StudyError(f"{path} is damaged: it is larger than {LARGEST:,} bytes. {RESTORE}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise StudyError(f"{path} can't be read: {reason}. {RESTORE}") from None
    if not isinstance(found, dict):
        raise StudyError(f"{path} is damaged: it holds a {type(found).__name__}. {RESTORE}")
    return found


def _plain(plan: Plan) -> dict[str, Any]:
    return json.loads(json.dumps(plan.to_dict()))


def _another_search(path: Path, found: list[str]) -> str:
    return (
        f"{path} holds another search, so it can't go on: {'; '.join(found)}. "
        "Choose another directory with --dir."
    )
