"""What an oracle may propose: configurations that are new, legal and within the budget."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from kerascnn_tuning.internals import Hooks, TrialStatus
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.warm_start import FIRST, Known

REFUSALS = 2000
"""After so many refused proposals in a row there is nothing left to find."""
PATIENCE = 100
"""After so many the budget must be tight: look among the small ones."""
STOPPED: dict[str, Any] = {"status": TrialStatus.STOPPED, "values": None}


class Proposing(Hooks):
    """Proposals of an oracle of KerasTuner, refused before anything is built.

    A configuration that is tried already or refused is never proposed and is no trial. KerasTuner
    gives up after 20 repetitions, long before a small space is exhausted.

    Attributes:
        known: trials of another study, see `kerascnn_tuning.warm_start`.
        reason: why there is nothing to propose; None if there is.
        refused: how many proposals were refused.
    """

    known: Sequence[Known] = ()

    def search_in(self, problem: Problem) -> None:
        """Say what is searched: it decides which configurations are legal."""
        self.problem = problem
        self.reason: str | None = None
        self.refused = 0
        self._verdicts: dict[str, str | None] = {}
        self._point = self.hyperparameters.copy()
        self.of_architecture = {
            element.name for param in problem.architecture.space for element in param.elements()
        }

    def refusal(self, values: dict[str, Any]) -> str | None:
        """Why these values can't be a trial; remembered."""
        key = self.digest(values)
        if key not in self._verdicts:
            self._verdicts[key] = self.problem.refusal(values)
        return self._verdicts[key]

    def acceptable(self, values: dict[str, Any]) -> bool:
        """Whether these values are new and can be a trial."""
        return not self.is_duplicate(values) and self.refusal(values) is None

    def random_values(self) -> dict[str, Any] | None:
        """Values that can be a trial; None if none were found."""
        last = None
        for attempt in range(REFUSALS):
            values = self._draw(attempt)
            if self.is_duplicate(values):
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
            [rng.random() * (factor if hp.name in self.of_architecture else 1.0) for hp in space]
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
        """KerasTuner's hook: values for a new trial; first the best of another study."""
        for one in self.known[:FIRST]:
            if self.acceptable(one.values):
                return {"status": TrialStatus.RUNNING, "values": dict(one.values)}
        return {"values": None, **self.propose(trial_id)}

    def propose(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's own proposal."""
        return super().populate_space(trial_id)

    def remembered(self) -> list[tuple[dict[str, Any], dict[str, float]]]:
        """Values and scores of another study's trials that count, but for those tried here too."""
        known = [one for one in self.known if one.scores]
        return [(one.values, one.scores) for one in known if not self.is_duplicate(one.values)]
