"""KerasTuner's oracles behind the safety net of `kerascnn_tuning.guarded`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn_tuning.guarded import PATIENCE, STOPPED, Guarded
from kerascnn_tuning.internals import TrialStatus
from kerascnn_tuning.problem import Problem


class RandomOracle(Guarded, keras_tuner.oracles.RandomSearchOracle):
    """Uniform in the allowed part of the space, without repetition."""


class HyperbandOracle(Guarded, keras_tuner.oracles.HyperbandOracle):
    """Many short trials; the better ones again with more epochs (Li et al., 2018).

    A trial that is promoted trains anew with its larger number of epochs: it then has its own
    learning-rate schedule to the end, and can be reproduced without its predecessor.
    """


class BayesianOracle(Guarded, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process, and of many candidates the most promising one that is allowed.

    KerasTuner minimizes the acquisition function itself, with 50 starts of L-BFGS: seconds for
    each proposal, which may then be a repetition or over the budget.
    """

    candidates = 2000

    def _make_gpr(self) -> Any:
        return super()._make_gpr().set_params(n_restarts_optimizer=2)

    def _propose(self, trial_id: str) -> dict[str, Any]:
        finished = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        if len(finished) < self._initial_points():
            return self._random_trial()
        x, y = self._vectorize_trials()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length scale at its bound, with few trials
            self.gpr.fit(x, np.nan_to_num(y))
        vectors = self._candidates(x[np.argmin(y)])
        mean, deviation = self.gpr.predict(vectors, return_std=True)
        for index in np.argsort(mean - self.beta * deviation)[:PATIENCE]:
            values = self.point(vectors[index])
            if self._duplicate(values):
                continue
            if self.refusal(values) is None:
                return {"status": TrialStatus.RUNNING, "values": values}
            self.refused += 1
        return self._random_trial()  # a small space, or a budget that only a rare point keeps

    def _initial_points(self) -> int:
        """KerasTuner's three for each dimension would leave nothing of a short search."""
        dimensions = len(self.hyperparameters.space)
        limit = self.problem.plan.max_trials or 0
        return max(3, min(2 * dimensions, limit // 3))

    def _candidates(self, best: Any) -> Any:
        """Points of the unit cube `[candidates, dimensions]`: half anywhere, half near the best.

        Those anywhere are pulled towards the small as in `_draw`, as the budget may be tight.
        """
        half = self.candidates // 2
        space = self.hyperparameters.space
        anywhere = self._random_state.uniform(size=(half, len(best)))
        shrunk = np.array([hp.name in self._of_architecture for hp in space])
        anywhere[half // 2 :, shrunk] *= self._random_state.uniform(size=(half - half // 2, 1))
        near = best + 0.1 * self._random_state.normal(size=(half, len(best)))
        return np.concatenate([anywhere, np.clip(near, 0.0, 1.0 - 1e-9)])

    def _random_trial(self) -> dict[str, Any]:
        values = self._random_values()
        return {"status": TrialStatus.RUNNING, "values": values} if values else STOPPED


class GridOracle(Guarded):
    """Every allowed combination, the defaults' values first; it can be resumed."""

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """See `Guarded.guard`.

        Raises:
            ArgumentError: a parameter is a continuum.
        """
        self._position = 0
        for hp in self.hyperparameters.space:
            if isinstance(hp, keras_tuner.engine.hyperparameters.Float):
                raise ArgumentError(
                    f"A grid needs values for {hp.name}, which has a range. Choose some, as in "
                    f"--choose {hp.name}={hp.min_value:g},{hp.max_value:g}, or --fix it."
                )
        super().guard(problem, directory, listener)

    def _propose(self, trial_id: str) -> dict[str, Any]:
        for values in itertools.islice(self._combinations(), self._position, None):
            self._position += 1
            if self.acceptable(values):
                return {"status": TrialStatus.RUNNING, "values": values}
            self.refused += self.refusal(values) is not None
        return STOPPED

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """All active combinations; the last parameter changes fastest."""
        space = self.hyperparameters.space

        def extend(values: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
            if index == len(space):
                yield values
                return
            hp = space[index]
            point = self.hyperparameters.copy()
            point.values = values
            if not point.is_active(hp):
                yield from extend(values, index + 1)
                return
            for value in sorted(hp.values, key=lambda v: v != hp.default):
                yield from extend({**values, hp.name: value}, index + 1)

        return extend({}, 0)

    def get_state(self) -> dict[str, Any]:
        """With the position in the grid."""
        return {**super().get_state(), "position": self._position}

    def set_state(self, state: dict[str, Any]) -> None:
        """With the position in the grid."""
        super().set_state(state)
        self._position = state["position"]


def make_oracle(problem: Problem, directory: Path, listener: Any = None) -> Guarded:
    """The plan's oracle, going on from the state in `directory` if there is one.

    Raises:
        ArgumentError: nothing is left to search, or the tuner can't search this space.
        StudyError: the state is damaged.
    """
    plan = problem.plan
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
        from kerascnn_tuning.tpe import OptunaOracle

        oracle = OptunaOracle(**common)
    else:
        kinds = {"random": RandomOracle, "bayesian": BayesianOracle, "grid": GridOracle}
        oracle = kinds[plan.tuner](**common)
    oracle.guard(problem, directory, listener)
    return oracle
