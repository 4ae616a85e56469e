"""Hyperband, whose brackets end whatever fails."""

from __future__ import annotations

import math
from typing import Any

from kerascnn_tuning.internals import Brackets, TrialStatus
from kerascnn_tuning.oracles.guarded import UNFINISHED, Guarded
from kerascnn_tuning.oracles.proposing import STOPPED


class HyperbandOracle(Guarded, Brackets):
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

    def propose(self, trial_id: str) -> dict[str, Any]:
        """A new trial of a first round, or one that is promoted."""
        for bracket, sizes in self.plan_brackets(self.problem.plan.max_trials).items():
            rounds = self._rounds(bracket)
            if len(rounds[0]) < sizes[0] and (drawn := self.random_values()):
                return self._trial(drawn, bracket, 0)
            for number in range(1, bracket + 1):
                if best := self._promoted(rounds, number, sizes):
                    values = {**best.hyperparameters.values, "tuner/trial_id": best.trial_id}
                    return self._trial(values, bracket, number)
        # Which trials are promoted may depend on those that still run.
        busy = self.ongoing_trials or self.waiting
        return {"status": TrialStatus.IDLE, "values": None} if busy else STOPPED

    def plan_brackets(self, limit: int | None) -> dict[int, list[int]]:
        """Bracket → the sizes of its rounds, the bracket with most rounds first.

        Args:
            limit: of trials altogether; None: as many as Hyperband has.
        """
        found = {}
        left = math.inf if limit is None else limit
        for bracket in reversed(range(self.brackets())):
            first = self.size(bracket, 0)
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
            sizes.append(self._share(sizes[-1], self.size(bracket, number)))
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
            "tuner/epochs": self.epochs(bracket, number),
            "tuner/initial_epoch": 0,
            "tuner/bracket": bracket,
            "tuner/round": number,
        }
        return {"status": TrialStatus.RUNNING, "values": values}
