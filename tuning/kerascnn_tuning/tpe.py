"""An oracle of KerasTuner that asks Optuna's TPE; and a study's export to Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_tuner.engine import hyperparameters as kinds

from kerascnn.errors import ArgumentError
from kerascnn_tuning.guarded import STOPPED, Guarded
from kerascnn_tuning.internals import Trial, TrialStatus
from kerascnn_tuning.problem import Problem

if TYPE_CHECKING:
    import optuna

    from kerascnn_tuning.study import Study

try:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
except ImportError as error:
    raise ArgumentError(
        "Optuna is not installed. Install it with `pip install 'kerascnn-tuning[optuna]'`."
    ) from error

ASKS = 30
"""After so many refused proposals a random one is taken: TPE learns from that one too."""


class OptunaOracle(Guarded):
    """TPE (Bergstra et al., 2011) as in Optuna, over all objectives of the plan.

    KerasTuner keeps the trials; Optuna's study lives in memory and is told about them anew when a
    search is resumed.
    """

    def guard(self, problem: Problem, directory: Path, listener: Any = None) -> None:
        """See `Guarded.guard`."""
        self._asked: dict[str, optuna.Trial] = {}
        super().guard(problem, directory, listener)
        objectives = problem.plan.objectives
        self._optuna = optuna.create_study(
            # Other proposals after each resumption, or it would repeat those of the first session.
            sampler=optuna.samplers.TPESampler(seed=self.seed + len(self.trials)),
            directions=["minimize"] * len(objectives),
        )
        for trial in self.trials.values():
            if trial.status == TrialStatus.COMPLETED:
                space = self.hyperparameters.space
                values = [trial.metrics.get_best_value(name) for name in objectives]
                self._optuna.add_trial(as_optuna(space, trial.hyperparameters.values, values))

    def _propose(self, trial_id: str) -> dict[str, Any]:
        for _ in range(ASKS):
            asked = self._optuna.ask()
            values = self._suggest(asked)
            if not self._duplicate(values) and self.refusal(values) is None:
                self._asked[trial_id] = asked
                return {"status": TrialStatus.RUNNING, "values": values}
            self.refused += self.refusal(values) is not None
            # TPE counts pruned trials among the bad ones, and so learns where the budget ends.
            self._optuna.tell(asked, state=optuna.trial.TrialState.PRUNED)
        drawn = self._random_values()
        return {"status": TrialStatus.RUNNING, "values": drawn} if drawn else STOPPED

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

    def end_trial(self, trial: Trial) -> None:
        """Tell Optuna too."""
        with self._alone():
            super().end_trial(trial)
            ended = self.trials[trial.trial_id]
            if ended.trial_id not in self.end_order:
                return  # it will be tried again
            asked = self._asked.pop(ended.trial_id, None)
            scores = None
            if ended.status == TrialStatus.COMPLETED:
                objectives = self.problem.plan.objectives
                scores = [ended.metrics.get_best_value(name) for name in objectives]
            if asked is not None:
                state = optuna.trial.TrialState
                self._optuna.tell(asked, scores, state=state.COMPLETE if scores else state.FAIL)
            elif scores:
                space = self.hyperparameters.space
                self._optuna.add_trial(as_optuna(space, ended.hyperparameters.values, scores))


def as_optuna(space: Iterable[Any], values: dict[str, Any], scores: list[float] | None) -> Any:
    """One trial in Optuna's form; without scores, a failed one."""
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
    state = optuna.trial.TrialState
    return optuna.trial.create_trial(
        params={name: values[name] for name in distributions},
        distributions=distributions,
        values=scores,
        state=state.FAIL if scores is None else state.COMPLETE,
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
        directions=["minimize"] * len(objectives),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        exported.set_metric_names(list(objectives))
    space = study.problem.hyperparameters().space
    for row in study.trials:
        if row.ended:
            scores = [row.metrics[name] for name in objectives] if row.completed else None
            exported.add_trial(as_optuna(space, row.values, scores))
