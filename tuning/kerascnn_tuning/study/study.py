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
import html
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import Run, tables
from kerascnn.errors import KerascnnError
from kerascnn.tasks import HELD
from kerascnn.writing import LockedError, locked, write_json
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.figures import figure
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import RESTORE, read_json, trial_files
from kerascnn_tuning.study.identity import described, differences, identity
from kerascnn_tuning.study.rows import Row, front, read_row

if TYPE_CHECKING:
    import keras

    from kerascnn.data import Dataset

SHOWN = 10  # trials that a notebook shows
LARGEST_PICTURE = 2**21  # bytes of pareto.png that a notebook shows
# What may change between two sessions of one search.
FREE = ("max_trials", "max_minutes", "strategy", "retries", "failure_limit", "keep")


@dataclass(frozen=True)
class Study:
    """A study directory.

    Attributes:
        path: the directory.
    """

    path: Path

    def _repr_html_(self) -> str:
        """The first trials and the Pareto front as notebooks show them."""
        title = f"<b>{html.escape(str(self.path))}</b>"
        try:
            rows, measures = self.leaderboard[:SHOWN], self.problem.measures
            names = tuple(dict.fromkeys([*self.plan.objectives, "params"]))
        except KerascnnError as error:
            return f"{title}: {html.escape(str(error))}"
        if not rows:
            return f"{title}: no trial is complete"
        cells = [
            [
                row.id,
                *(figure(measures[n], row.metrics[n]) if n in row.metrics else "" for n in names),
                " ".join(f"{k}={v}" for k, v in row.values.items() if not k.startswith("tuner/")),
            ]
            for row in rows
        ]
        return (
            title
            + tables.html(("trial", *names, "hyperparameters"), cells, numbers=names)
            + self._front_picture()
        )

    def _front_picture(self) -> str:
        path = self.path / "pareto.png"
        if not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
            return ""
        return tables.picture(path.read_bytes(), "Pareto front")

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
                row = read_row(file, self.problem, self.path / "trials")
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

    @cached_property
    def _beaten(self) -> set[str]:
        """Trials whose models have been removed: who is beaten stays so."""
        return set()

    @property
    def leaderboard(self) -> list[Row]:
        """Completed trials by the first objective, the best first; then by the others."""
        return self.ranked(self.trials)

    def ranked(self, trials: Sequence[Row]) -> list[Row]:
        """Those of the trials that are completed, as the leaderboard has them."""
        done = [row for row in trials if row.completed]
        return sorted(done, key=lambda row: self.problem.worth(row.metrics))

    @property
    def pareto(self) -> list[Row]:
        """Completed trials that no other is at least as good as in everything, and better in one.

        With a single objective the number of parameters is the second.
        """
        return self.front(self.leaderboard, self.axes)

    def front(self, rows: list[Row], names: tuple[str, ...]) -> list[Row]:
        """Those of the rows that no other is as good as in all of these metrics."""
        return front(rows, names, self.problem.measures)

    @property
    def axes(self) -> tuple[str, ...]:
        """The metrics that span the Pareto front."""
        names = self.plan.objectives
        if len(names) > 1:
            return names
        return (*names, "params" if names[0] != "params" else HELD + self.plan.task.main.name)

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
        trials = self.trials
        rows = self.ranked(trials)
        kept = {row.id for row in [*rows[: self.plan.keep], *self.front(rows, self.axes)]}
        for row in trials:
            if row.ended and row.id not in kept and row.id not in self._beaten:
                model = row.path / "model.keras"
                if model.is_file():  # a failed trial may not even have its directory
                    model.unlink()
                self._beaten.add(row.id)

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


def require_free(path: Path) -> None:
    """Refuse a directory that can't become a study.

    Raises:
        StudyError: it is a file, or holds something else.
    """
    if path.exists() and not path.is_dir():
        raise StudyError(f"{path} is a file, not a directory. Choose another with --dir.")
    if path.is_dir() and any(path.iterdir()):
        raise StudyError(f"{path} is not empty and no study. Choose another with --dir.")


def _plain(plan: Plan) -> dict[str, Any]:
    return json.loads(json.dumps(plan.to_dict()))


def _another_search(path: Path, found: list[str]) -> str:
    return (
        f"{path} holds another search, so it can't go on: {'; '.join(found)}. "
        "Choose another directory with --dir."
    )
