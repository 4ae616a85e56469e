"""KerasTuner's oracles behind the safety net of `kerascnn_tuning.guarded`."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn_tuning import pruning, warm_start
from kerascnn_tuning.guarded import PATIENCE, STOPPED, UNFINISHED, Guarded
from kerascnn_tuning.internals import Trial, TrialStatus
from kerascnn_tuning.problem import Problem


class RandomOracle(Guarded, keras_tuner.oracles.RandomSearchOracle):
    """Uniform in the allowed part of the space, without repetition."""


class HyperbandOracle(Guarded, keras_tuner.oracles.HyperbandOracle):
    """Many short trials; the better ones again with more epochs (Li et al., 2018).

    A trial that is promoted trains anew with its larger number of epochs: it then has its own
    learning-rate schedule to the end, and can be reproduced without its predecessor.

    A bracket is read off its trials, so nothing else has to be kept. Every bracket that begins has
    its last round, if a trial of each round is completed:
    - a failed trial counts as the worst of its round, so it keeps nobody from being promoted;
    - where no new configuration is left, a round is as large as it could be, and the following
      ones have the same share of it as ever;
    - under a limit of trials the brackets are made so small that their last rounds are within it.
    """

    def _propose(self, trial_id: str) -> dict[str, Any]:
        for bracket, sizes in self.plan_brackets(self.problem.plan.max_trials).items():
            rounds = self._rounds(bracket)
            if len(rounds[0]) < sizes[0] and (drawn := self._random_values()):
                return self._trial(drawn, bracket, 0)
            for number in range(1, bracket + 1):
                if best := self._promoted(rounds, number, sizes):
                    values = {**best.hyperparameters.values, "tuner/trial_id": best.trial_id}
                    return self._trial(values, bracket, number)
        # Which trials are promoted may depend on those that still run.
        busy = self.ongoing_trials or self._retry_queue
        return {"status": TrialStatus.IDLE, "values": None} if busy else STOPPED

    def plan_brackets(self, limit: int | None) -> dict[int, list[int]]:
        """Bracket → the sizes of its rounds, the bracket with most rounds first.

        Args:
            limit: of trials altogether; None: as many as Hyperband has.
        """
        found = {}
        left = math.inf if limit is None else limit
        for bracket in reversed(range(self._get_num_brackets())):
            first = self._get_size(bracket, 0)
            sizes = self._sizes(bracket, first)
            while first and sum(sizes) > left:
                first -= 1
                sizes = self._sizes(bracket, first)
            if first > 1 or (first and not bracket):  # there must be something to choose from
                found[bracket] = sizes
                left -= sum(sizes)
        return found

    def _sizes(self, bracket: int, first: int) -> list[int]:
        """The sizes of a bracket's rounds, of which the first has `first` trials."""
        sizes = [first]
        for number in range(1, bracket + 1):
            sizes.append(self._share(sizes[-1], self._get_size(bracket, number)))
        return sizes

    def _share(self, before: int, most: int) -> int:
        """How many of a round are promoted, at most Hyperband's own number and at least one."""
        return min(most, math.ceil(before / self.factor))

    def _rounds(self, bracket: int) -> list[list[Any]]:
        """The trials of a bracket, by round."""
        rounds: list[list[Any]] = [[] for _ in range(bracket + 1)]
        for trial in self.trials.values():
            values = trial.hyperparameters.values
            if values.get("tuner/bracket") == bracket:
                rounds[values["tuner/round"]].append(trial)
        return rounds

    def _promoted(self, rounds: list[list[Any]], number: int, sizes: list[int]) -> Any:
        """The trial of the round before that certainly belongs into this one and isn't yet."""
        before, expected, places = rounds[number - 1], sizes[number - 1], sizes[number]
        if not any(
            trial.status in UNFINISHED for earlier in rounds[: number - 1] for trial in earlier
        ):
            # Nobody will join the round before any more.
            expected, places = len(before), min(places, self._share(len(before), places))
        taken = {t.hyperparameters.values["tuner/trial_id"] for t in rounds[number]}
        left = [t for t in before if t.trial_id not in taken and t.status not in UNFINISHED]
        done = [t for t in left if t.status == TrialStatus.COMPLETED]
        # As many as will not be promoted are worse than the best of these; the failed among them.
        if not done or len(taken) >= places or len(left) <= expected - places:
            return None
        return min(done, key=lambda trial: (trial.score, trial.trial_id))

    def _trial(self, values: dict[str, Any], bracket: int, number: int) -> dict[str, Any]:
        values = {
            **values,
            "tuner/epochs": self._get_epochs(bracket, number),
            "tuner/initial_epoch": 0,
            "tuner/bracket": bracket,
            "tuner/round": number,
        }
        return {"status": TrialStatus.RUNNING, "values": values}


class BayesianOracle(Guarded, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process, and of many candidates the most promising one that is allowed.

    KerasTuner minimizes the acquisition function itself, with 50 starts of L-BFGS: seconds for
    each proposal, which may then be a repetition or over the budget.

    A proposal is a function of the seed and of the trials before it alone.
    """

    candidates = 2000

    def _make_gpr(self) -> Any:
        return super()._make_gpr().set_params(n_restarts_optimizer=2)

    def _propose(self, trial_id: str) -> dict[str, Any]:
        finished = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        finished += self._elsewhere()
        if len(finished) < self._initial_points():
            return self._random_trial()
        rng = np.random.default_rng([self.seed, len(self.trials)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length scale at its bound, with few trials
            best = self._fit(finished)
        vectors = self._candidates(best, rng)
        mean, deviation = self.gpr.predict(vectors, return_std=True)
        for index in np.argsort(mean - self.beta * deviation, kind="stable")[:PATIENCE]:
            values = self.point(vectors[index])
            if self._duplicate(values):
                continue
            if self.refusal(values) is None:
                return {"status": TrialStatus.RUNNING, "values": values}
            self.refused += 1
        return self._random_trial()  # a small space, or a budget that only a rare point keeps

    def _elsewhere(self) -> list[Trial]:
        """What is known from another study, in the form of trials."""
        found = []
        for values, scores in self.remembered():
            point = self.hyperparameters.copy()
            point.values = values
            trial = Trial(hyperparameters=point, status=TrialStatus.COMPLETED)
            trial.score = scores[self.objective.name]
            found.append(trial)
        return found

    def _fit(self, finished: list[Any]) -> Any:
        """Fit the process to the trials; the place of the best one, `[dimensions]`.

        Those that run count with a pessimistic estimate, so that no worker gets their like.
        """
        x = np.array([self._place(trial) for trial in finished])
        y = np.nan_to_num(np.array([trial.score for trial in finished], "float64"))
        best = x[np.argmin(y)]
        self.gpr = self._make_gpr().fit(x, y)
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

        Those anywhere are pulled towards the small as in `_draw`, as the budget may be tight.
        """
        half = self.candidates // 2
        space = self.hyperparameters.space
        anywhere = rng.uniform(size=(half, len(best)))
        shrunk = np.array([hp.name in self._of_architecture for hp in space])
        anywhere[half // 2 :, shrunk] *= rng.uniform(size=(half - half // 2, 1))
        near = best + 0.1 * rng.normal(size=(half, len(best)))
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
        from kerascnn_tuning.tpe import OptunaOracle

        oracle = OptunaOracle(**common)
    else:
        kinds = {"random": RandomOracle, "bayesian": BayesianOracle, "grid": GridOracle}
        oracle = kinds[plan.tuner](**common)
    oracle.guard(problem, directory, listener)
    oracle.known = warm_start.read(directory.parent, problem)
    return oracle
