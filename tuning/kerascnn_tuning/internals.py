"""Every place where kerascnn_tuning reaches into KerasTuner, and the check that it still can.

KerasTuner 1.4.8 raises under a lock that it never releases, loses trials when it reloads, and
writes its files in place. Its hooks for subclasses are private, so they are named here, once.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.engine import oracle as oracle_module
from keras_tuner.src.engine.metrics_tracking import MetricsTracker
from keras_tuner.src.engine.trial import Trial, TrialStatus

from kerascnn.errors import KerascnnError

__all__ = [
    "Brackets",
    "GaussianProcess",
    "Hooks",
    "Trial",
    "TrialStatus",
    "check",
    "forget",
    "messages",
    "services",
    "unlocking",
]

VERSION = "1.4.8"
HOOKS = {
    keras_tuner.Oracle: (
        "_random_values",
        "_duplicate",
        "_retry",
        "_check_consecutive_failures",
        "_save_trial",
        "_get_trial_dir",
        "_get_oracle_fname",
        "_record_values",
        "_compute_values_hash",
        "_set_project_dir",
        "populate_space",
        "create_trial",
        "end_trial",
        "reload",
    ),
    keras_tuner.oracles.BayesianOptimizationOracle: ("_make_gpr",),
    keras_tuner.oracles.HyperbandOracle: ("_get_epochs", "_get_num_brackets", "_get_size"),
}
STATE = (
    "ongoing_trials",
    "trials",
    "start_order",
    "end_order",
    "_retry_queue",
    "_run_times",
    "_display",
    "tuner_ids",
)


class IncompatibleKerasTunerError(KerascnnError, ImportError):
    """The installed KerasTuner isn't the one that the safety net was made for."""


class Hooks(keras_tuner.Oracle):
    """KerasTuner's private hooks under public names, to be mixed in before one of its oracles."""

    hyperparameters: Any

    # ---- what KerasTuner calls, and a subclass says

    def random_values(self) -> dict[str, Any] | None:
        """Values for a new trial; None: there are none left."""
        return super()._random_values()

    def check_failures(self) -> None:
        """A trial has ended: whether to go on."""
        super()._check_consecutive_failures()

    def save_trial(self, trial: Trial) -> None:
        """A trial has changed: write its file."""
        super()._save_trial(trial)

    def _random_values(self) -> dict[str, Any] | None:
        return self.random_values()

    def _check_consecutive_failures(self) -> None:
        self.check_failures()

    def _save_trial(self, trial: Trial) -> None:
        self.save_trial(trial)

    def _retry(self, trial: Trial) -> bool:
        again = super()._retry(trial)
        if again:
            # Otherwise the worker finds the objective there already and reports nothing.
            trial.metrics, trial.score = MetricsTracker(), None
        return again

    # ---- what a subclass calls

    def is_duplicate(self, values: dict[str, Any]) -> bool:
        """Whether a trial has these values already."""
        return self._duplicate(values)

    def digest(self, values: dict[str, Any]) -> str:
        """A short text that stands for these values."""
        return self._compute_values_hash(values)

    def note_values(self, trial: Trial) -> None:
        """Remember a trial's values, for `is_duplicate`."""
        self._record_values(trial)

    @property
    def waiting(self) -> list[str]:
        """Ids of trials that wait for a worker to run them again."""
        return self._retry_queue

    @waiting.setter
    def waiting(self, ids: list[str]) -> None:
        self._retry_queue = ids

    def show_by(self, display: Any) -> None:
        """Tell this object, instead of KerasTuner's own, when a trial begins and ends."""
        self._display = display

    def keep_in(self, directory: Path) -> None:
        """Where the oracle's files are."""
        self._set_project_dir(str(directory.parent), directory.name)

    @property
    def state_file(self) -> Path:
        """The file of the oracle's own state."""
        return Path(self._get_oracle_fname())

    def trial_file(self, trial_id: str) -> Path:
        """The file of a trial."""
        return Path(self._get_trial_dir(trial_id)) / "trial.json"


class Brackets(keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's Hyperband, with its arithmetic under public names."""

    def brackets(self) -> int:
        """How many brackets there are."""
        return self._get_num_brackets()

    def size(self, bracket: int, number: int) -> int:
        """How many trials a round of a bracket has."""
        return self._get_size(bracket, number)

    def epochs(self, bracket: int, number: int) -> int:
        """For how many epochs the trials of a round are trained."""
        return self._get_epochs(bracket, number)


class GaussianProcess(keras_tuner.oracles.BayesianOptimizationOracle):
    """KerasTuner's Bayesian optimization, with its process under a public name."""

    def make_process(self) -> Any:
        """A new Gaussian process, not fitted."""
        return super()._make_gpr()

    def _make_gpr(self) -> Any:
        return self.make_process()


def check() -> None:
    """Refuse another KerasTuner than the one whose private hooks are used here.

    Raises:
        IncompatibleKerasTunerError: the version or a hook differs.
    """
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names
        if not inspect.isfunction(getattr(owner, name, None))
    ]
    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("x", "min"))
    missing += [f"Oracle.{name}" for name in STATE if not hasattr(oracle, name)]
    if keras_tuner.__version__ != VERSION or missing:
        raise IncompatibleKerasTunerError(
            f"kerascnn-tuning needs keras-tuner=={VERSION}. Installed: {keras_tuner.__version__}"
            f"{'; missing: ' + ', '.join(missing) if missing else ''}. "
            f"Install it with `pip install keras-tuner=={VERSION}`."
        )


@contextlib.contextmanager
def unlocking(oracle: keras_tuner.Oracle) -> Iterator[None]:
    """Release KerasTuner's lock on this oracle if an exception leaves it locked for ever.

    For callers that hold a lock of their own around every call, so that it is this thread's.
    """
    try:
        yield
    finally:
        if oracle_module.LOCKS[oracle].locked():
            oracle_module.THREADS[oracle] = None
            oracle_module.LOCKS[oracle].release()


def forget(oracle: keras_tuner.Oracle) -> None:
    """Drop the lock that KerasTuner keeps for every oracle ever made, and with it the oracle."""
    oracle_module.LOCKS.pop(oracle, None)
    oracle_module.THREADS.pop(oracle, None)


def messages() -> Any:
    """The request and response types of KerasTuner's gRPC protocol."""
    return protos.get_service()


def services() -> Any:
    """The stub and the servicer of KerasTuner's gRPC protocol."""
    return protos.get_service_grpc()


check()
