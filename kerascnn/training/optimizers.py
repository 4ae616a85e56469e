"""A recipe's optimizer and schedule, made with Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kerascnn.recipes.recipe import Recipe
from kerascnn.tasks.measure import HELD, Measure

# With `decay_on="kernels"`: these have no scale that decay could shrink without changing the net.
NOT_DECAYED = ("bias", "gamma", "beta", "coefficient")


def make_optimizer(
    recipe: Recipe, steps: int, model: keras.Model, precision: str
) -> keras.optimizers.Optimizer:
    """The optimizer, built for the model's variables; call it in the strategy's scope.

    With the papers' decay ("l2") the decayed variables get a regularizer, and with `filter_rms`
    the convolutions' kernels a constraint, so that every loop over the model honours them.

    Args:
        recipe: what to make.
        steps: steps in one epoch.
        model: the model to train.
        precision: under "mixed_float16" the loss is scaled.
    """
    rate = make_schedule(recipe, steps)
    decayed = [v for v in model.trainable_variables if _is_decayed(v, recipe)]
    _penalize(decayed, recipe.weight_decay if recipe.decay == "l2" else 0.0)
    _limit_filters(model, recipe.filter_rms)
    decay = recipe.weight_decay if recipe.decay == "decoupled" else 0.0
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=decay or None,
        )
    elif recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay or None)
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
    known = {id(variable) for variable in decayed}
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if id(v) not in known]
    )
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _is_decayed(variable: Any, recipe: Recipe) -> bool:
    return recipe.decay_on == "all" or not any(name in variable.name for name in NOT_DECAYED)


class Decay(keras.regularizers.Regularizer):
    """The papers' weight decay as a penalty, `decay / 2 * sum(w^2)`, whose gradient is `decay * w`.

    So momentum sees the decay: with Keras' rule `v = m v - rate (g + decay w)`, `w += v`, which is
    AlexNet's, and Caffe's. (In Torch's, the rate is outside of the velocity, which differs in the
    steps after a change of the rate.)

    Args:
        decay: factor on the weights.
        other: the regularizer that the variable has by itself.
    """

    def __init__(self, decay: float, other: Any = None) -> None:
        self.decay = decay
        self.other = other

    def __call__(self, x: Any) -> Any:
        """The penalty on one variable, a scalar."""
        penalty = self.decay / 2 * ops.sum(ops.square(x))
        return penalty if self.other is None else penalty + self.other(x)

    def get_config(self) -> dict[str, Any]:
        """For Keras' serialization."""
        return {"decay": self.decay, "other": self.other}


def _penalize(variables: list[Any], decay: float) -> None:
    for variable in variables:
        own = variable.regularizer
        if isinstance(own, Decay):  # the model is trained once more
            own = own.other
        variable.regularizer = Decay(decay, own) if decay else own


class FilterNorm(keras.constraints.Constraint):
    """Scales each filter `[height, width, channels]` back to a root mean square (ZFNet, 3.1).

    Args:
        limit: the largest root mean square of a filter's weights.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, w: Any) -> Any:
        """The kernel `[height, width, channels, filters]`, its filters within the limit."""
        rms = ops.sqrt(ops.mean(ops.square(w), axis=(0, 1, 2), keepdims=True))
        return w * (self.limit / ops.maximum(rms, self.limit))

    def get_config(self) -> dict[str, Any]:
        """For Keras' serialization."""
        return {"limit": self.limit}


def _limit_filters(model: keras.Model, limit: float | None) -> None:
    for variable in model.trainable_variables:
        if limit and len(variable.shape) == 4 and variable.name == "kernel":
            variable.constraint = FilterNorm(limit)


class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that counts all steps, under a linear growth from zero.

    Args:
        schedule: the rate as a function of the step.
        warmup: steps of the growth.
    """

    def __init__(self, schedule: Any, warmup: int) -> None:
        self.schedule = schedule
        self.warmup = warmup

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0."""
        share = ops.minimum((ops.cast(step, "float32") + 1) / self.warmup, 1.0)
        return self.schedule(step) * share

    def get_config(self) -> dict[str, Any]:
        """For Keras' serialization."""
        return {"schedule": self.schedule, "warmup": self.warmup}


def make_schedule(recipe: Recipe, steps: int) -> Any:
    """The learning rate, as a number or as a function of the number of steps taken.

    Args:
        recipe: its `schedule` and what belongs to it.
        steps: steps in one epoch.
    """
    schedules, rate = keras.optimizers.schedules, recipe.learning_rate
    warmup = round(recipe.warmup_epochs * steps)
    total = recipe.epochs * steps
    if recipe.schedule == "cosine":
        if not warmup:
            return schedules.CosineDecay(rate, total)
        rest = max(1, total - warmup)
        return schedules.CosineDecay(0.0, rest, warmup_target=rate, warmup_steps=warmup)
    if recipe.schedule == "step":
        # Keras keeps a value up to and with its boundary.
        bounds = [round(epoch * steps) - 1 for epoch, _ in recipe.steps]
        values = [rate, *(rate * factor for _, factor in recipe.steps)]
        schedule = schedules.PiecewiseConstantDecay(bounds, values)
    elif recipe.schedule == "exponential":
        every = max(1, round(recipe.every * steps))
        schedule = schedules.ExponentialDecay(rate, every, recipe.factor, staircase=True)
    elif recipe.schedule == "plateau" or not warmup:
        return rate  # a variable, which `follow_history` sets
    else:
        schedule = schedules.PiecewiseConstantDecay([0], [rate, rate])
    return WarmedUp(schedule, warmup) if warmup else schedule


def plateau_scale(recipe: Recipe, rows: Sequence[Mapping[str, float]], main: Measure) -> float:
    """What the schedule "plateau" multiplies the learning rate with after these epochs.

    A pure function of the history, so that a resumed run and all workers agree. An epoch counts as
    better if the task's main measure of the validation images is better than the best so far;
    without validation images it is that of the training images. After each reduction the patience
    starts anew. In the epochs of a warm-up it is the mean of the linear growth.

    Args:
        recipe: its `factor`, `patience` and `reductions`.
        rows: the history, one row for each epoch.
        main: the task's main measure.
    """
    reductions, waited, best = 0, 0, float("inf")
    for row in rows:
        held = main.of(row, HELD)
        value = main.of(row) if held is None else held
        value = float("inf") if value is None else main.sign * value
        waited = 0 if value < best else waited + 1
        best = min(best, value)
        if waited >= recipe.patience and reductions < recipe.reductions:
            reductions, waited = reductions + 1, 0
    growth = (len(rows) + 0.5) / recipe.warmup_epochs if recipe.warmup_epochs else 1.0
    return recipe.factor**reductions * min(1.0, growth)


def follow_history(
    optimizer: keras.optimizers.Optimizer,
    recipe: Recipe,
    rows: Sequence[Mapping[str, float]],
    main: Measure,
) -> None:
    """Set the learning rate for the epoch that follows these; call it before each epoch.

    Only the schedule "plateau" depends on what happened; every other knows its step.
    """
    if recipe.schedule == "plateau":
        optimizer.learning_rate = recipe.learning_rate * plateau_scale(recipe, rows, main)


def rate_of(optimizer: Any) -> float:
    """The learning rate of the next update."""
    return float(ops.convert_to_numpy(optimizer.learning_rate))
