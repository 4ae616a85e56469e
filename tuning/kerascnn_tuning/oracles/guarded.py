"""The safety net that all our oracles share.

An oracle proposes trials and keeps their state. `Guarded` stops in order instead of raising,
survives the death of any process, and writes files whole or not at all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerascnn.writing import write_json
from kerascnn_tuning.errors import SearchError, StudyError
from kerascnn_tuning.internals import Trial, TrialStatus, unlocking
from kerascnn_tuning.oracles.proposing import STOPPED, Proposing
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import RESTORE, read_json, trial_files, usable

STATUSES = (TrialStatus.RUNNING, TrialStatus.INVALID, TrialStatus.COMPLETED, TrialStatus.FAILED)
UNFINISHED = (TrialStatus.RUNNING, TrialStatus.INVALID)
LOSSES = 3
"""A trial whose worker dies so often is the cause of it."""


class Guarded(Proposing):
    """The safety net, to be mixed in before an oracle of KerasTuner.

    Attributes:
        reason: why the search was stopped early; None if it wasn't.
    """

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """Say what is searched and where the state is kept; continue from there if there is one.

        Args:
            problem: decides which configurations are legal, and when to stop.
            directory: for the oracle's own files.
            listener: has `on_trial_begin(trial)` and `on_trial_end(trial)`.
        """
        self.search_in(problem)
        # `populate_space` keeps the limit: Hyperband ignores this one, and it changes the ids.
        self.max_trials = None
        self._lock = threading.RLock()
        self._seen: dict[str, float] = {}  # trial → when its worker was last heard of
        self._lost: Counter[str] = Counter()  # trial → workers that died with it
        self._exhausted = False
        self._mute = False  # nothing can be written
        self._ended_before = 0
        self._spent = 0.0  # seconds of earlier sessions
        self._since = time.monotonic()
        self.show_by(_Quiet(listener))
        self.keep_in(directory)
        if self.state_file.is_file():
            self.reload()

    # ---- when it is over

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's hook: values for a new trial, or the order to wait or to stop."""
        plan = self.problem.plan
        if self.reason or (plan.max_minutes and self.seconds > 60 * plan.max_minutes):
            return STOPPED
        if plan.max_trials and len(self.trials) >= plan.max_trials:
            return STOPPED
        return super().populate_space(trial_id)

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
        """Note a trial's metrics."""
        with self._alone():
            trial = self.trials[trial_id]
            for name, value in metrics.items():
                if not trial.metrics.exists(name):
                    # KerasTuner would search keras.metrics for the name to guess a direction.
                    trial.metrics.register(name, direction="min")
                trial.metrics.update(name, value, step=step)
            self.save_trial(trial)
            return trial

    def score_trial(self, trial: Trial) -> None:
        """Its score is its worth: every oracle minimizes."""
        super().score_trial(trial)
        trial.score *= self.problem.measures[self.objective.name].sign

    def end_trial(self, trial: Trial) -> None:
        """Take a trial back; a late one, of a worker that was given up, is dropped."""
        with self._alone():
            if trial.trial_id not in {t.trial_id for t in self.ongoing_trials.values()}:
                return
            # The protocol has rounded the worker's copy and changed its order.
            trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
            self._seen.pop(trial.trial_id, None)
            super().end_trial(trial)

    def check_failures(self) -> None:
        """Stop after the plan's number of failures in a row."""
        limit = self.problem.plan.failure_limit
        session = self.end_order[self._ended_before :]
        last = [self.trials[trial_id] for trial_id in session[-limit:]]
        if len(last) == limit and all(t.status == TrialStatus.FAILED for t in last):
            cause = (last[-1].message or "for an unknown reason").strip().splitlines()[-1]
            self.stop(f"{limit} trials in a row failed, the last one with: {cause}")

    def stop(self, reason: str) -> None:
        """Propose nothing more; trials that run may end."""
        self.reason = reason
        self.waiting.clear()

    # ---- death and resurrection

    def take_over(self, worker: str) -> None:
        """Queue the trials of all other workers again: they belonged to an earlier process."""
        for other in [name for name in self.ongoing_trials if name != worker]:
            self.waiting.append(self.ongoing_trials.pop(other).trial_id)

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
                    self.waiting.append(trial.trial_id)
                else:
                    trial.status = TrialStatus.FAILED
                    trial.message = f"{self._lost[trial.trial_id]} workers died while they ran it."
                    self.end_order.append(trial.trial_id)
                    self.check_failures()
                self.save_trial(trial)
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
            return not self.waiting and (self._exhausted or full)

    def save(self) -> None:
        """Write the state; a crash leaves the one before."""
        write_json(self.state_file, self.get_state())

    def save_trial(self, trial: Trial) -> None:
        """Write a trial's own file."""
        write_json(self.trial_file(trial.trial_id), trial.get_state())

    def reload(self) -> None:
        """Read the state; trials that run go on running until their workers are silent too long.

        Raises:
            StudyError: a file is damaged or missing.
        """
        path = self.state_file
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
        self.waiting = [i for i in unfinished if i not in running]
        self.start_order += [i for i in self.trials if i not in self.start_order]
        self.end_order += [
            i for i in self.trials if i not in self.end_order and i not in unfinished
        ]
        self._ended_before = len(self.end_order)  # who resumes has removed the cause of failures
        for trial in self.trials.values():
            self.note_values(trial)

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
