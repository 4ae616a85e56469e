"""A worker: it takes trials from an oracle, has them run and reports, until there are no more."""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from kerascnn.errors import KerascnnError
from kerascnn_tuning.internals import Trial, TrialStatus

IDLE_SECONDS = 0.5
"""Between two requests for a trial; KerasTuner itself asks thousands of times."""


class Oracle(Protocol):
    """What a worker needs of an oracle, in this process or at the other end of a wire."""

    def create_trial(self, tuner_id: str) -> Trial:
        """See `keras_tuner.Oracle`."""

    def update_trial(self, trial_id: str, metrics: dict[str, float]) -> Any:
        """See `keras_tuner.Oracle`."""

    def end_trial(self, trial: Trial) -> None:
        """See `keras_tuner.Oracle`."""


Alive = Callable[[str], contextlib.AbstractContextManager[None]]
"""`alive(trial_id)`: tells the chief, as long as its block runs, that the trial is in work."""


@contextlib.contextmanager
def _unwatched(trial_id: str) -> Iterator[None]:
    yield


def work(
    oracle: Oracle,
    run_trial: Callable[[str, dict[str, Any]], dict[str, float]],
    *,
    worker: str,
    alive: Alive = _unwatched,
    most: int | None = None,
) -> bool:
    """Run trials until the oracle has no more.

    Args:
        oracle: gives the trials out and takes the results.
        run_trial: `run_trial(trial_id, values) -> metrics`.
        worker: this worker's id.
        alive: see `Alive`.
        most: trials after which to return in any case.

    Returns:
        Whether the oracle has no more trials.
    """
    done = 0
    while most is None or done < most:
        trial = oracle.create_trial(worker)
        if trial.status == TrialStatus.STOPPED:
            return True
        if trial.status == TrialStatus.IDLE:
            time.sleep(IDLE_SECONDS)
            continue
        with alive(trial.trial_id):
            _run(oracle, trial, run_trial)
        done += 1
    return False


def _run(
    oracle: Oracle, trial: Trial, run_trial: Callable[[str, dict[str, Any]], dict[str, float]]
) -> None:
    """One trial; an exception becomes its status and its message."""
    try:
        metrics = run_trial(trial.trial_id, trial.hyperparameters.values)
    except KerascnnError as error:
        # It says what is wrong, and with the same seed it would be wrong again.
        trial.status, trial.message = TrialStatus.FAILED, str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        trial.status = TrialStatus.INVALID  # another try may succeed
        trial.message = f"{type(error).__name__} in {last.filename}:{last.lineno}: {error}"[:2000]
    else:
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """Spare the garbage collector what was there before.

    TensorFlow and Keras are a million objects. To look through them again and again, while graphs
    are traced and after each trial, takes a sixth of a short trial's time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
