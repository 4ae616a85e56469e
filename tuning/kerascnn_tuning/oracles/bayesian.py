"""Bayesian optimization with KerasTuner's Gaussian process."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from kerascnn_tuning.internals import GaussianProcess, Trial, TrialStatus
from kerascnn_tuning.oracles.guarded import Guarded
from kerascnn_tuning.oracles.proposing import PATIENCE, STOPPED


class BayesianOracle(Guarded, GaussianProcess):
    """A Gaussian process, and of many candidates the most promising one that is allowed.

    KerasTuner minimizes the acquisition function itself, with 50 starts of L-BFGS: seconds for
    each proposal, which may then be a repetition or over the budget.

    A proposal is a function of the seed and of the trials before it alone.
    """

    candidates = 2000

    def make_process(self) -> Any:
        """With few starts for the length scales."""
        return super().make_process().set_params(n_restarts_optimizer=2)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """The most promising of the candidates; at first, random values."""
        finished = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        finished += self.elsewhere()
        if len(finished) < self._initial_points():
            return self._random_trial()
        rng = np.random.default_rng([self.seed, len(self.trials)])
        # Threads for matrices this small wait for each other for longer than they work.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length scale at its bound, with few trials
            best = self._fit(finished)
            vectors = self._candidates(best, rng)
            mean, deviation = self.gpr.predict(vectors, return_std=True)
        for index in np.argsort(mean - self.beta * deviation, kind="stable")[:PATIENCE]:
            values = self.point(vectors[index])
            if self.is_duplicate(values):
                continue
            if self.refusal(values) is None:
                return {"status": TrialStatus.RUNNING, "values": values}
            self.refused += 1
        return self._random_trial()  # a small space, or a budget that only a rare point keeps

    def elsewhere(self) -> list[Trial]:
        """What is known from another study, in the form of trials."""
        found = []
        for values, scores in self.remembered():
            point = self.hyperparameters.copy()
            point.values = values
            trial = Trial(hyperparameters=point, status=TrialStatus.COMPLETED)
            trial.score = self.problem.worth(scores)[0]
            found.append(trial)
        return found

    def _fit(self, finished: list[Any]) -> Any:
        """Fit the process to the trials; the place of the best one, `[dimensions]`.

        Those that run count with a pessimistic estimate, so that no worker gets their like.
        """
        x = np.array([self._place(trial) for trial in finished])
        y = np.nan_to_num(np.array([trial.score for trial in finished], "float64"))
        best = x[np.argmin(y)]
        self.gpr = self.make_process().fit(x, y)
        running = sorted(self.ongoing_trials.values(), key=lambda trial: trial.trial_id)
        if running:
            at = np.array([self._place(trial) for trial in running])
            mean, deviation = self.gpr.predict(at, return_std=True)
            self.gpr.fit(np.concatenate([x, at]), np.concatenate([y, mean + deviation]))
        return best

    def _place(self, trial: Any) -> list[float]:
        """A trial's values as a point of the unit cube; what is inactive has its default."""
        found = trial.hyperparameters
        return [
            hp.value_to_prob(
                found.values[hp.name] if found.is_active(hp) and hp.name in found.values
                else hp.default
            )
            for hp in self.hyperparameters.space
        ]  # fmt: skip

    def _initial_points(self) -> int:
        """KerasTuner's three for each dimension would leave nothing of a short search.

        Not a share of the limit of trials, which may be raised when a search goes on.
        """
        return max(3, min(2 * len(self.hyperparameters.space), 8))

    def _candidates(self, best: Any, rng: np.random.Generator) -> Any:
        """Points of the unit cube `[candidates, dimensions]`: half anywhere, half near the best.

        Those anywhere are pulled towards the small as in `Proposing`, as the budget may be tight.
        """
        half = self.candidates // 2
        space = self.hyperparameters.space
        anywhere = rng.uniform(size=(half, len(best)))
        shrunk = np.array([hp.name in self.of_architecture for hp in space])
        anywhere[half // 2 :, shrunk] *= rng.uniform(size=(half - half // 2, 1))
        near = best + 0.1 * rng.normal(size=(half, len(best)))
        return np.concatenate([anywhere, np.clip(near, 0.0, 1.0 - 1e-9)])

    def _random_trial(self) -> dict[str, Any]:
        values = self.random_values()
        return {"status": TrialStatus.RUNNING, "values": values} if values else STOPPED
