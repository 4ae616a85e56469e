"""The safety net that all our oracles share.

An oracle proposes trials and keeps their state. `Guarded` refuses configurations before anything is
built, stops in order instead of raising, survives the death of any process, and writes files whole
or not at all.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras_tuner

from kerascnn.writing import write_json
from kerascnn_tuning.errors import SearchError, StudyError
from kerascnn_tuning.internals import MetricsTracker, Trial, TrialStatus, unlocking
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study import RESTORE, read_json, trial_files, usable
from kerascnn_tuning.warm_start import FIRST, Known

STATUSES = (TrialStatus.RUNNING, TrialStatus.INVALID, TrialStatus.COMPLETED, TrialStatus.FAILED)
UNFINISHED = (TrialStatus.RUNNING, TrialStatus.INVALID)
REFUSALS = 2000
"""After so many refused proposals in a row there is nothing left to find."""
PATIENCE = 100
"""After so many the budget must be tight: look among the small ones."""
LOSSES = 3
"""A trial whose worker dies so often is the cause of it."""
STOPPED: dict[str, Any] = {"status": TrialStatus.STOPPED, "values": None}


class Guarded(keras_tuner.Oracle):
    """The safety net, to be mixed in before an oracle of KerasTuner.

    A configuration that is tried already or refused is never proposed and is no trial. KerasTuner
    gives up after 20 repetitions, long before a small space is exhausted.

    Attributes:
        known: trials of another study, see `kerascnn_tuning.warm_start`.
        reason: why the search was stopped early; None if it wasn't.
        refused: how many proposals were refused.
    """

    hyperparameters: Any

    known: Sequence[Known] = ()

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """Say what is searched and where the state is kept; continue from there if there is one.

        Args:
            problem: decides which configurations are legal, and when to stop.
            directory: for the oracle's own files.
            listener: has `on_trial_begin(trial)` and `on_trial_end(trial)`.
        """
        self.problem = problem
        # `populate_space` keeps the limit: Hyperband ignores this one, and it changes the ids.
        self.max_trials = None
        self.reason: str | None = None
        self.refused = 0
        self._lock = threading.RLock()
        self._seen: dict[str, float] = {}  # trial → when its worker was last heard of
        self._lost: Counter[str] = Counter()  # trial → workers that died with it
        self._exhausted = False
        self._mute = False  # nothing can be written
        self._ended_before = 0
        self._spent = 0.0  # seconds of earlier sessions
        self._since = time.monotonic()
        self._verdicts: dict[str, str | None] = {}
        self._point = self.hyperparameters.copy()
        self._of_architecture = {
            element.name for param in problem.architecture.space for element in param.elements()
        }
        self._display = _Quiet(listener)
        self._set_project_dir(str(directory.parent), directory.name)
        if Path(self._get_oracle_fname()).is_file():
            self.reload()

    # ---- what is proposed

    def refusal(self, values: dict[str, Any]) -> str | None:
        """Why these values can't be a trial; remembered."""
        key = self._compute_values_hash(values)
        if key not in self._verdicts:
            self._verdicts[key] = self.problem.refusal(values)
        return self._verdicts[key]

    def acceptable(self, values: dict[str, Any]) -> bool:
        """Whether these values are new and can be a trial."""
        return not self._duplicate(values) and self.refusal(values) is None

    def _random_values(self) -> dict[str, Any] | None:
        last = None
        for attempt in range(REFUSALS):
            values = self._draw(attempt)
            if self._duplicate(values):
                continue
            last = self.refusal(values)
            if last is None:
                return values
            self.refused += 1
        if not self.trials:
            self.reason = (
                f"no configuration that can be built within the budget among {REFUSALS:,} random "
                f"ones. The last was refused because: {last}"
            )
        return None

    def _draw(self, attempt: int) -> dict[str, Any]:
        """Random values of all active parameters.

        A pure function of the seed, the number of trials and the attempt: a search that goes on
        draws what it would have drawn without the interruption.

        Where a budget leaves one configuration in a million, uniform draws find none. After
        `PATIENCE` attempts all of an architecture's parameters are pulled towards their smallest
        values, each time by another factor.
        """
        rng = random.Random(f"{self.seed}/{len(self.trials)}/{attempt}")
        factor = rng.random() if attempt >= PATIENCE else 1.0
        space = self.hyperparameters.space
        return self.point(
            [rng.random() * (factor if hp.name in self._of_architecture else 1.0) for hp in space]
        )

    def point(self, places: Iterable[float]) -> dict[str, Any]:
        """The active values at a place of the unit cube, one coordinate for each parameter."""
        values: dict[str, Any] = {}
        self._point.values = values
        for hp, place in zip(self._point.space, places, strict=True):
            if self._point.is_active(hp):
                values[hp.name] = hp.prob_to_value(place)
        return values

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's hook: values for a new trial, or the order to wait or to stop."""
        plan = self.problem.plan
        if self.reason or (plan.max_minutes and self.seconds > 60 * plan.max_minutes):
            return STOPPED
        if plan.max_trials and len(self.trials) >= plan.max_trials:
            return STOPPED
        for one in self.known[:FIRST]:
            if self.acceptable(one.values):
                return {"status": TrialStatus.RUNNING, "values": dict(one.values)}
        return {"values": None, **self._propose(trial_id)}

    def _propose(self, trial_id: str) -> dict[str, Any]:
        return super().populate_space(trial_id)

    def remembered(self) -> list[tuple[dict[str, Any], dict[str, float]]]:
        """Values and scores of another study's trials that count, but for those tried here too."""
        known = [one for one in self.known if one.scores]
        return [(one.values, one.scores) for one in known if not self._duplicate(one.values)]

    @property
    def seconds(self) -> float:
        """How long the search has run, in all its sessions together."""
        return self._spent + time.monotonic() - self._since

    # ---- what workers call

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, unlocking(self):
            try:
                yield
            except OSError as error:
                self._mute = True
                self.stop(f"its state can't be written: {error}.")
                raise SearchError(f"The search was stopped: {self.reason}") from error

    def create_trial(self, tuner_id: str) -> Trial:
        """A trial for this worker: new, lost by another, or the one that it has already."""
        with self._alone():
            trial = super().create_trial(tuner_id)
            if trial.status == TrialStatus.RUNNING:
                self._seen[trial.trial_id] = time.monotonic()
            self._exhausted |= trial.status == TrialStatus.STOPPED
            return trial

    def get_trial(self, trial_id: str) -> Trial:
        """A trial; to ask for it is a worker's sign of life."""
        if trial_id in self._seen:
            self._seen[trial_id] = time.monotonic()
        return super().get_trial(trial_id)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Note a trial's metrics; all are minimized."""
        with self._alone():
            trial = self.trials[trial_id]
            for name, value in metrics.items():
                if not trial.metrics.exists(name):
                    # KerasTuner would search keras.metrics for the name to guess a direction.
                    trial.metrics.register(name, direction="min")
                trial.metrics.update(name, value, step=step)
            self._save_trial(trial)
            return trial

    def end_trial(self, trial: Trial) -> None:
        """Take a trial back; a late one, of a worker that was given up, is dropped."""
        with self._alone():
            if trial.trial_id not in {t.trial_id for t in self.ongoing_trials.values()}:
                return
            # The protocol has rounded the worker's copy and changed its order.
            trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
            self._seen.pop(trial.trial_id, None)
            super().end_trial(trial)

    def _retry(self, trial: Trial) -> bool:
        again = super()._retry(trial)
        if again:
            # Otherwise the worker finds the objective there already and reports nothing.
            trial.metrics, trial.score = MetricsTracker(), None
        return again

    def _check_consecutive_failures(self) -> None:
        limit = self.problem.plan.failure_limit
        session = self.end_order[self._ended_before :]
        last = [self.trials[trial_id] for trial_id in session[-limit:]]
        if len(last) == limit and all(t.status == TrialStatus.FAILED for t in last):
            cause = (last[-1].message or "for an unknown reason").strip().splitlines()[-1]
            self.stop(f"{limit} trials in a row failed, the last one with: {cause}")

    def stop(self, reason: str) -> None:
        """Propose nothing more; trials that run may end."""
        self.reason = reason
        self._retry_queue.clear()

    # ---- death and resurrection

    def reap(self, stale_seconds: float) -> list[str]:
        """Queue the trials of workers that have been silent for so long again; their ids."""
        with self._alone():
            now = time.monotonic()
            found = [
                (tuner_id, trial)
                for tuner_id, trial in self.ongoing_trials.items()
                if now - self._seen.setdefault(trial.trial_id, now) > stale_seconds
            ]
            for tuner_id, trial in found:
                self.ongoing_trials.pop(tuner_id)
                self.tuner_ids.discard(tuner_id)
                self._seen.pop(trial.trial_id)
                self._lost[trial.trial_id] += 1
                if self._lost[trial.trial_id] < LOSSES and not self.reason:
                    self._retry_queue.append(trial.trial_id)
                else:
                    trial.status = TrialStatus.FAILED
                    trial.message = f"{self._lost[trial.trial_id]} workers died while they ran it."
                    self.end_order.append(trial.trial_id)
                    self._check_consecutive_failures()
                self._save_trial(trial)
            if found:
                self.save()
            return [trial.trial_id for _, trial in found]

    @property
    def finished(self) -> bool:
        """Whether no trial runs, waits or will come."""
        with self._lock:
            if self._mute:
                return True
            if self.ongoing_trials:
                return False
            if self.reason:
                return True
            limit = self.problem.plan.max_trials
            full = limit is not None and len(self.trials) >= limit
            return not self._retry_queue and (self._exhausted or full)

    def save(self) -> None:
        """Write the state; a crash leaves the one before."""
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        """Read the state; trials that run go on running until their workers are silent too long.

        Raises:
            StudyError: a file is damaged or missing.
        """
        path = Path(self._get_oracle_fname())
        for number, file in enumerate(trial_files(path.parent)):
            if file.parent.name != f"trial_{number:04d}":
                raise StudyError(
                    f"{path.parent / f'trial_{number:04d}' / 'trial.json'} is missing. {RESTORE}"
                )
            with usable(file):
                state = read_json(file)
                values = dict(state["hyperparameters"]["values"])
                self.problem.configuration(values)
                trial = Trial.from_state(state)
                trial.hyperparameters = self.hyperparameters.copy()
                trial.hyperparameters.values = values
                if trial.trial_id != f"{number:04d}" or trial.status not in STATUSES:
                    raise ValueError(f"trial {trial.trial_id!r}, status {trial.status!r}")
                if trial.status == TrialStatus.COMPLETED:
                    trial.score = float(trial.score)
                self.trials[trial.trial_id] = trial
        with usable(path):
            self.set_state(read_json(path))
        self._follow_trials()

    def _follow_trials(self) -> None:
        """Bring the state in line with the trials' own files, which are written before it."""
        unfinished = [i for i, t in self.trials.items() if t.status in UNFINISHED]
        self.ongoing_trials: dict[str, Trial] = {
            worker: trial
            for worker, trial in self.ongoing_trials.items()
            if trial.trial_id in unfinished
        }
        running = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._retry_queue = [i for i in unfinished if i not in running]
        self.start_order += [i for i in self.trials if i not in self.start_order]
        self.end_order += [
            i for i in self.trials if i not in self.end_order and i not in unfinished
        ]
        self._ended_before = len(self.end_order)  # who resumes has removed the cause of failures
        for trial in self.trials.values():
            self._record_values(trial)

    def get_state(self) -> dict[str, Any]:
        """KerasTuner's state, and ours."""
        return {
            **super().get_state(),
            "spent": self.seconds,
            "lost": dict(self._lost),
            "refused": self.refused,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        trials = ("start_order", "end_order", "retry_queue")
        known = {t for key in trials for t in state[key]} | set(state["ongoing_trials"].values())
        if missing := sorted(known - set(self.trials)):
            raise ValueError(f"it knows trial {missing[0]}, which has no file")
        space = self.hyperparameters
        super().set_state(state)
        self.hyperparameters = space  # the declaration's, not the file's
        self._spent = float(state["spent"])
        self._lost = Counter({str(k): int(v) for k, v in state["lost"].items()})
        self.refused = int(state["refused"])


class _Quiet:
    """In place of KerasTuner's display, which prints pages and fails after a resumption."""

    verbose = 0

    def __init__(self, listener: Any) -> None:
        self._listener = listener

    def on_trial_begin(self, trial: Trial) -> None:
        """A trial begins."""
        if self._listener:
            self._listener.on_trial_begin(trial)

    def on_trial_end(self, trial: Trial) -> None:
        """A trial has ended or will be tried again."""
        if self._listener:
            self._listener.on_trial_end(trial)

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing."""
