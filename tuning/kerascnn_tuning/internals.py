"""Every place where kerascnn_tuning reaches into KerasTuner, and the check that it still can.

KerasTuner 1.4.8 raises under a lock that it never releases, loses trials when it reloads, and
writes its files in place. Its hooks for subclasses are private, so they are named here, once.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.engine import oracle as oracle_module
from keras_tuner.src.engine.metrics_tracking import MetricsTracker
from keras_tuner.src.engine.trial import Trial, TrialStatus

from kerascnn.errors import KerascnnError

__all__ = ["MetricsTracker", "Trial", "TrialStatus", "check", "messages", "services", "unlocking"]

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
