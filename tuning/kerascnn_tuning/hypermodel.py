"""An architecture as a plain keras_tuner.HyperModel, for those who bring their own tuner."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import keras_tuner

from kerascnn.training.optimizers import make_loss, make_optimizer
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem, register


class HyperModel(keras_tuner.HyperModel):
    """Builds and compiles an architecture with hyperparameters from its declared space.

        small = HyperModel(Plan(architecture="lenet5", max_params=100_000))
        tuner = keras_tuner.RandomSearch(small, objective="val_accuracy", max_trials=10)
        tuner.search(images, labels, validation_split=0.1, epochs=3)

    The model takes preprocessed images and returns logits; it is compiled with the
    recipe's optimizer (at a constant learning rate, as the number of steps isn't known here), its
    loss and accuracy. `batch_size` is the tuner's: `fit` passes the trial's value.

    Args:
        plan: a name, or a Plan with a budget and a narrowed space; the tuner's settings in it,
            such as `max_trials`, have no effect here.
        classes: of the model; default: the architecture's.

    Raises:
        keras_tuner.errors.FailedTrialError: from `build`, for a configuration that can't be built
            or is over the budget. It counts as a trial; `kerascnn_tuning.search` proposes none.
    """

    def __init__(self, plan: str | Plan, *, classes: int | None = None) -> None:
        super().__init__()
        if isinstance(plan, str):
            plan = Plan(architecture=plan)
        self.problem = Problem.of(plan, classes)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of these hyperparameters."""
        problem = self.problem
        register(problem.space, hp)
        if reason := problem.refusal(hp.values):
            raise keras_tuner.errors.FailedTrialError(reason)
        found = problem.configuration(hp.values)
        # The tuner's seed reaches the proposals only.
        keras.utils.set_random_seed(problem.plan.seed)
        model = problem.architecture(
            input_shape=problem.input_shape,
            classes=problem.classes,
            classifier_activation=None,
            **found.arguments,
        )
        recipe = dataclasses.replace(
            problem.recipe.changed(found.training), schedule="constant", warmup_epochs=0.0
        )
        loss = make_loss(recipe, problem.classes, from_logits=True)
        model.compile(
            optimizer=make_optimizer(recipe, 1, model, "float32"),
            loss=lambda labels, logits: loss(keras.ops.reshape(labels, (-1,)), logits),
            metrics=["accuracy"],
        )
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **options: Any
    ) -> Any:
        """`model.fit` with the trial's batch size."""
        size = self.problem.configuration(hp.values).training["batch_size"]
        return model.fit(*args, **{"batch_size": size, **options})
