"""Every combination, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_tuner.engine import hyperparameters as kinds

from kerascnn.errors import ArgumentError
from kerascnn_tuning.internals import TrialStatus
from kerascnn_tuning.oracles.guarded import Guarded
from kerascnn_tuning.oracles.proposing import STOPPED
from kerascnn_tuning.problem import Problem


class GridOracle(Guarded):
    """Every allowed combination, the defaults' values first; it can be resumed."""

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """See `Guarded.guard`.

        Raises:
            ArgumentError: a parameter is a continuum.
        """
        self._position = 0
        for hp in self.hyperparameters.space:
            if isinstance(hp, kinds.Float):
                raise ArgumentError(
                    f"A grid needs values for {hp.name}, which has a range. Choose some, as in "
                    f"--choose {hp.name}={hp.min_value:g},{hp.max_value:g}, or --fix it."
                )
        super().guard(problem, directory, listener)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """The next combination that is allowed."""
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
