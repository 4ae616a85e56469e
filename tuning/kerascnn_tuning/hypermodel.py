"""An architecture as a plain keras_tuner.HyperModel, for those who bring their own tuner."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections import Counter
from typing import Any

import keras
import keras_tuner

from kerascnn import Recipe, make_optimizer
from kerascnn.errors import ArgumentError
from kerascnn_tuning.losses import LabelAccuracy, LabelLoss
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.space import register


class HyperModel(keras_tuner.HyperModel):
    """Builds and compiles an architecture with hyperparameters from its declared space.

        small = HyperModel(Plan(architecture="lenet5", max_params=100_000))
        tuner = keras_tuner.RandomSearch(small, objective="val_accuracy", max_trials=10)
        tuner.search(images, labels, validation_split=0.1, epochs=3)

    The model takes preprocessed images and returns logits; it is compiled with the
    recipe's optimizer (at a constant learning rate, as the number of steps isn't known here), its
    loss and accuracy. Labels are numbers or one-hot. `batch_size` is the tuner's: `fit` passes the
    trial's value. With `executions_per_trial`, each execution has a seed of its own.

    A tuner of KerasTuner knows no budget, and stops after three refusals in a row. So a proposal
    that can't be built or is over the budget is made smaller until it is within it, and the
    trial's hyperparameters with it; one that comes again after that fails. (GridSearch walks on
    from a trial's values, so it visits few of a tight budget's configurations:
    `kerascnn_tuning.search` proposes none but those.)

    Args:
        plan: a name, or a Plan with a budget and a narrowed space; the tuner's settings in it,
            such as `max_trials`, have no effect here.
        classes: of the model; default: the architecture's.

    Raises:
        ArgumentError: nothing within the budget was found.
        keras_tuner.errors.FailedTrialError: from `build`, see above.
    """

    def __init__(self, plan: str | Plan, *, classes: int | None = None) -> None:
        super().__init__()
        if isinstance(plan, str):
            plan = Plan(architecture=plan)
        self.problem = Problem.of(plan, classes)
        self._trained: Counter[str] = Counter()  # values → how often they have been trained
        self._shrunk: set[str] = set()  # proposals that were made smaller in a trial
        self._searching = False
        values = self.problem.hyperparameters().values
        if self.problem.smaller(values) is None:
            raise ArgumentError(
                f"No configuration of {plan.architecture} was found that can be built within the "
                f"budget. The default is refused because: {self.problem.refusal(values)}"
            )

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """A tuner's first call, before it builds models only to see what they declare."""
        register(self.problem.space, hp)
        self._shrunk.clear()
        self._searching = False

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of these hyperparameters, which may be changed: see the class."""
        problem = self.problem
        register(problem.space, hp)
        self._keep_within_budget(hp)
        found = problem.configuration(self._own(hp))
        # The tuner's seed reaches the proposals only.
        keras.utils.set_random_seed(problem.plan.seed + self._trained[self._key(hp)])
        model = problem.network(found.arguments).model(classifier_activation=None)
        recipe = dataclasses.replace(
            problem.recipe.changed(found.training), schedule="constant", warmup_epochs=0.0
        )
        model.compile(
            optimizer=make_optimizer(recipe, 1, model, "float32"),
            loss=LabelLoss(
                problem.classes, label_smoothing=recipe.label_smoothing, own=own_loss(recipe)
            ),
            metrics=[LabelAccuracy(problem.classes)],
        )
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **options: Any
    ) -> Any:
        """`model.fit` with the trial's batch size."""
        self._searching = True
        self._trained[self._key(hp)] += 1
        size = self.problem.configuration(self._own(hp)).training["batch_size"]
        return model.fit(*args, **{"batch_size": size, **options})

    def _own(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """The values of this search's parameters; a subclass may have declared others."""
        names = {param.name for param in self.problem.space.scalars()}
        return {name: value for name, value in hp.values.items() if name in names}

    def _key(self, hp: keras_tuner.HyperParameters) -> str:
        return json.dumps(self._own(hp), sort_keys=True)

    def _keep_within_budget(self, hp: keras_tuner.HyperParameters) -> None:
        values = self._own(hp)
        reason = self.problem.refusal(values)
        if reason is None:
            return
        again = self._key(hp) in self._shrunk
        if self._searching:
            self._shrunk.add(self._key(hp))
        found = None if again else self.problem.smaller(values)
        if found is None:
            raise keras_tuner.errors.FailedTrialError(reason)
        others = {name: value for name, value in hp.values.items() if name not in values}
        hp.values = {**others, **found}


def own_loss(recipe: Recipe) -> keras.losses.Loss | None:
    """The recipe's own loss; None for cross-entropy."""
    loss: Any = recipe.loss
    if isinstance(loss, str):
        module, _, name = loss.partition(":")
        loss = getattr(importlib.import_module(module), name)
    return loss() if loss is not None else None
