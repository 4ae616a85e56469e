"""What tests of searches share: a tiny search, and an oracle's steps without any training."""

import json
import math

from rich.console import Console

QUIET = Console(quiet=True)
SETTINGS = {
    "architecture": "lenet5",
    "input_shape": (16, 16, 1),
    "only": ("kernels", "learning_rate"),
    "fix": {"hidden": (8,), "batch_size": 1000},
    "choose": {"widths": (2, 3, 4)},
    "objectives": ("val_error", "params"),
    "epochs": 1,
    "max_trials": 4,
    "keep": 1,
}
MANY = {"choose": {"widths": tuple(range(2, 30))}}


def score(problem, values):
    """Stands in for a validation error: smooth, and known."""
    cost = problem.network(problem.configuration(values).arguments).cost()
    return abs(math.log(cost.params / 400))


def complete(oracle, trial, value=None):
    values = trial.hyperparameters.values
    error = score(oracle.problem, values) if value is None else value
    cost = oracle.problem.network(oracle.problem.configuration(values).arguments).cost()
    oracle.update_trial(trial.trial_id, {"val_error": error, "params": cost.params})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def fail(oracle, trial, status="FAILED"):
    trial.status, trial.message = status, "it broke"
    oracle.end_trial(trial)


def run_all(oracle, worker="w", most=200):
    for _ in range(most):
        trial = oracle.create_trial(worker)
        if trial.status == "STOPPED":
            return list(oracle.trials.values())
        assert trial.status == "RUNNING"
        complete(oracle, trial)
    raise AssertionError("the search never stops")


def points(trials):
    return [json.dumps(t.hyperparameters.values, sort_keys=True) for t in trials]
