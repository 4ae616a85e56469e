"""An oracle of KerasTuner that asks Optuna's TPE; and a study's export to Optuna."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_tuner.engine import hyperparameters as kinds

from kerascnn.errors import ArgumentError
from kerascnn_tuning.errors import NO_OPTUNA
from kerascnn_tuning.internals import TrialStatus
from kerascnn_tuning.oracles.guarded import Guarded
from kerascnn_tuning.oracles.proposing import STOPPED
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import PRUNED_AT

if TYPE_CHECKING:
    import optuna

    from kerascnn_tuning.study.study import Study

try:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
except ImportError as error:
    raise ArgumentError(NO_OPTUNA) from error

ASKS = 30
"""After so many refused proposals a random one is taken: TPE learns from that one too."""
DIRECTIONS = {
    "lower": optuna.study.StudyDirection.MINIMIZE,
    "higher": optuna.study.StudyDirection.MAXIMIZE,
}
REMEMBERED = 300
"""Of so many refused proposals, the latest ones, TPE is told."""


class OptunaOracle(Guarded):
    """TPE (Bergstra et al., 2011) as in Optuna, over all objectives of the plan.

    KerasTuner keeps the trials. Optuna's study is made anew for each proposal, from the trials and
    the refusals so far, with a seed of its own: a proposal is a function of these alone, so a
    search that goes on in another process proposes the same.
    """

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """See `Guarded.guard`."""
        # Number of trials at the time → values that were refused then.
        self._refused_at: dict[int, list[dict[str, Any]]] = {}
        super().guard(problem, directory, listener)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """What TPE asks for, if it is allowed."""
        number = len(self.trials)
        # After a crash this number may have been proposed, and its trial not been written.
        self._refused_at = {k: v for k, v in self._refused_at.items() if k < number}
        study, refused = self.study_before(number), []
        for _ in range(ASKS):
            asked = study.ask()
            values = self._suggest(asked)
            if not self.is_duplicate(values) and self.refusal(values) is None:
                break
            self.refused += self.refusal(values) is not None
            # TPE counts pruned trials among the bad ones, and so learns where the budget ends.
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            refused.append(values)
        else:
            values = self.random_values()  # type: ignore[assignment]
        if refused:
            self._refused_at[number] = refused
        return {"status": TrialStatus.RUNNING, "values": values} if values else STOPPED

    def study_before(self, number: int) -> optuna.Study:
        """Optuna's study as it is before the proposal of this number."""
        space, states = self.hyperparameters.space, optuna.trial.TrialState
        objectives = self.problem.plan.objectives
        left_out = sum(map(len, self._refused_at.values())) - REMEMBERED
        known = []
        for index, trial in enumerate(self.trials.values()):
            for values in self._refused_at.get(index, []):
                left_out -= 1
                if left_out < 0:
                    known.append(as_optuna(space, values, None, states.PRUNED))
            if trial.metrics.exists(PRUNED_AT):
                known.append(as_optuna(space, trial.hyperparameters.values, None, states.PRUNED))
            elif trial.status == TrialStatus.COMPLETED:
                found = {name: trial.metrics.get_best_value(name) for name in objectives}
                scores = self.problem.worth(found)
                known.append(as_optuna(space, trial.hyperparameters.values, scores))
        for values, known_scores in self.remembered():
            known.append(as_optuna(space, values, self.problem.worth(known_scores)))
        rng = random.Random(f"{self.seed}/{number}")
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=rng.randrange(2**32)),
            directions=["minimize"] * len(objectives),
        )
        study.add_trials(known)
        return study

    def get_state(self) -> dict[str, Any]:
        """With what was refused."""
        return {**super().get_state(), "refused_at": self._refused_at}

    def set_state(self, state: dict[str, Any]) -> None:
        """With what was refused."""
        super().set_state(state)
        kept = state.get("refused_at", {})
        self._refused_at = {int(number): list(values) for number, values in kept.items()}

    def _suggest(self, asked: optuna.Trial) -> dict[str, Any]:
        point = self.hyperparameters.copy()
        point.values = {}
        for hp in point.space:
            if point.is_active(hp):
                if isinstance(hp, kinds.Float):
                    log = hp.sampling == "log"
                    value = asked.suggest_float(hp.name, hp.min_value, hp.max_value, log=log)
                else:
                    value = asked.suggest_categorical(hp.name, list(hp.values))
                point.values[hp.name] = value
        return point.values


def as_optuna(
    space: Iterable[Any],
    values: dict[str, Any],
    scores: list[float] | None,
    state: optuna.trial.TrialState | None = None,
) -> Any:
    """One trial in Optuna's form; without scores and a state, a failed one."""
    distributions: dict[str, Any] = {}
    for hp in space:
        if hp.name in values:
            if isinstance(hp, kinds.Float):
                distributions[hp.name] = optuna.distributions.FloatDistribution(
                    hp.min_value, hp.max_value, log=hp.sampling == "log"
                )
            else:
                distributions[hp.name] = optuna.distributions.CategoricalDistribution(
                    list(hp.values)
                )
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        params={name: values[name] for name in distributions},
        distributions=distributions,
        values=scores,
        state=state or (states.FAIL if scores is None else states.COMPLETE),
    )


def export(study: Study, path: Path) -> None:
    """Write all ended trials of a study into an SQLite file that Optuna and its dashboard open.

    Raises:
        ArgumentError: the file exists.
    """
    if path.exists():
        raise ArgumentError(f"{path} exists already. Choose another file, or remove it.")
    objectives = study.plan.objectives
    exported = optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name=study.path.resolve().name,
        directions=[DIRECTIONS[study.problem.measures[name].better] for name in objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        exported.set_metric_names(list(objectives))
    space = study.problem.hyperparameters().space
    for row in study.trials:
        if row.ended:
            scores = [row.metrics[name] for name in objectives] if row.completed else None
            state = optuna.trial.TrialState.PRUNED if row.status == "PRUNED" else None
            exported.add_trial(as_optuna(space, row.values, scores, state))
