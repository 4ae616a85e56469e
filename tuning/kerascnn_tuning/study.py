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
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.training.config import versions
from kerascnn.training.files import LockedError, locked, write_json
from kerascnn.training.run import Run
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem, tidy

if TYPE_CHECKING:
    import keras

    from kerascnn.data import Dataset

# What may change between two sessions of one search.
FREE = ("max_trials", "max_minutes", "strategy", "retries", "failure_limit", "keep")


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        id: its id, the name of its run directory.
        status: RUNNING, INVALID (to be tried again), COMPLETED or FAILED.
        values: the searched hyperparameters that were active.
        arguments, training: complete arguments of the architecture and values of the recipe.
        metrics: what it reported; empty unless it was completed.
        reason: why it failed.
        path: its run directory.
    """

    id: str
    status: str
    values: dict[str, Any]
    arguments: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, float]
    reason: str | None
    path: Path

    @property
    def completed(self) -> bool:
        """Whether it came to a good end."""
        return self.status == "COMPLETED"

    @property
    def ended(self) -> bool:
        """Whether it came to an end."""
        return self.status in ("COMPLETED", "FAILED")


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
            "space": {
                p.name: repr(p.searched_values() or p.search) for p in problem.space.scalars()
            },
            "fingerprint": problem.space.fingerprint(),
            "data": {"fingerprint": dataset.fingerprint, "classes": dataset.classes},
            "versions": {
                **versions(),
                "keras-tuner": version("keras-tuner"),
                "kerascnn-tuning": version("kerascnn-tuning"),
            },
            "id": secrets.token_hex(8),
            "created": datetime.now().isoformat(timespec="seconds"),
        }
        if (study.path / "study.json").is_file():
            _compare(study, content)
            content |= {key: study.content[key] for key in ("id", "created")}
        elif study.path.is_dir() and any(study.path.iterdir()):
            raise StudyError(f"{path} is not empty and no study. Choose another with --dir.")
        write_json(study.path / "study.json", content)
        return cls(study.path)

    @property
    def content(self) -> dict[str, Any]:
        """What study.json says.

        Raises:
            StudyError: it is damaged.
        """
        try:
            return json.loads((self.path / "study.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StudyError(f"{self.path / 'study.json'} can't be read: {error}.") from None

    @property
    def id(self) -> str:
        """Random; whoever reads it sees the same directory."""
        return self.content["id"]

    @cached_property
    def plan(self) -> Plan:
        """What is searched."""
        return Plan.from_dict(self.content["plan"], owner=str(self.path))

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
        for file in sorted((self.path / "oracle").glob("trial_*/trial.json")):
            if file not in self._ended:
                row = self._row(json.loads(file.read_text(encoding="utf-8")))
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

    def _row(self, state: dict[str, Any]) -> Row:
        values = state["hyperparameters"]["values"]
        found = self.problem.configuration(values)
        metrics = {
            name: history["observations"][0]["value"][0]
            for name, history in state["metrics"]["metrics"].items()
        }
        path = self.path / "trials" / state["trial_id"]
        if state["status"] == "COMPLETED" and (path / "metrics.json").is_file():
            # What came over the wire was rounded to single precision.
            exact = Run(path).metrics
            cost = self.problem.cost(found.arguments)
            metrics |= {k: v for k, v in exact.items() if isinstance(v, float)}
            metrics |= {"params": cost.params, "macs": cost.macs}
        return Row(
            id=state["trial_id"],
            status=state["status"],
            values={
                p.name: tidy(p, values[p.name])
                for p in self.problem.space.scalars()
                if p.name in values
            },
            arguments=found.arguments,
            training=found.training,
            metrics=metrics if state["status"] == "COMPLETED" else {},
            reason=state["message"] if state["status"] != "COMPLETED" else None,
            path=path,
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

    def prune(self) -> None:
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


def _compare(study: Study, content: dict[str, Any]) -> None:
    """Refuse to go on with a search that differs, and say in what."""
    stored = study.content
    differences = []
    for name in sorted({*stored["space"], *content["space"]}):
        old, new = stored["space"].get(name, "absent"), content["space"].get(name, "absent")
        if old != new:
            differences.append(f"{name}: {old} then, {new} now")
    plan = json.loads(json.dumps(content["plan"]))
    for field in fields(Plan):
        old, new = stored["plan"].get(field.name), plan[field.name]
        if field.name not in FREE and old != new:
            differences.append(f"{field.name}: {old} then, {new} now")
    if stored["data"] != content["data"]:
        differences.append("the data has changed")
    if not differences and stored["fingerprint"] != content["fingerprint"]:
        differences.append("the declaration of the space has changed")
    if differences:
        raise StudyError(
            f"{study.path} holds another search, so it can't go on: {'; '.join(differences)}. "
            "Choose another directory with --dir."
        )
