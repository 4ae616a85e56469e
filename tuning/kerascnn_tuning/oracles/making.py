"""The oracle that a plan asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner

from kerascnn.errors import ArgumentError
from kerascnn_tuning import pruning, warm_start
from kerascnn_tuning.oracles.bayesian import BayesianOracle
from kerascnn_tuning.oracles.grid import GridOracle
from kerascnn_tuning.oracles.guarded import Guarded
from kerascnn_tuning.oracles.hyperband import HyperbandOracle
from kerascnn_tuning.problem import Problem


class RandomOracle(Guarded, keras_tuner.oracles.RandomSearchOracle):
    """Uniform in the allowed part of the space, without repetition."""


def make_oracle(problem: Problem, directory: Path, listener: Any = None) -> Guarded:
    """The plan's oracle, going on from the state in `directory` if there is one.

    Raises:
        ArgumentError: nothing is left to search, or the tuner can't search this space.
        StudyError: the state is damaged.
    """
    plan = problem.plan
    pruning.check(problem)
    hyperparameters = problem.hyperparameters()
    if not hyperparameters.space:
        raise ArgumentError("Every parameter is fixed: there is nothing to search.")
    # KerasTuner takes a seed of 0 for "any".
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(plan.objectives[0], "min"),
        "hyperparameters": hyperparameters,
        "allow_new_entries": False,
        "seed": plan.seed + 1,
        "max_retries_per_trial": plan.retries,
    }
    oracle: Guarded
    if plan.tuner == "hyperband":
        oracle = HyperbandOracle(max_epochs=problem.recipe.epochs, **common)
    elif plan.tuner == "optuna":
        from kerascnn_tuning.oracles.tpe import OptunaOracle

        oracle = OptunaOracle(**common)
    else:
        kinds = {"random": RandomOracle, "bayesian": BayesianOracle, "grid": GridOracle}
        oracle = kinds[plan.tuner](**common)
    oracle.guard(problem, directory, listener)
    oracle.known = warm_start.read(directory.parent, problem)
    return oracle
