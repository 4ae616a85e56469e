"""Twenty updates of a small network with each feature, under any strategy.

Run as a program it is one worker: `python cells.py OUTPUT CELL...`, with TF_CONFIG set.
"""

import functools
import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kerascnn import blocks
from kerascnn.data import ArraySplit
from kerascnn.data.mixing import mixed, mixes
from kerascnn.distribution import replicas, strategies
from kerascnn.distribution.workers import Workers
from kerascnn.errors import StrategyError
from kerascnn.precision import in_precision
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.tasks.classification.counting import counted
from kerascnn.training.engine import Engine, filled
from kerascnn.training.freezing import all_but_last, frozen
from kerascnn.training.optimizers import make_optimizer
from kerascnn.training.settings import refuse_jit, refuse_mixed_variables

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(67, 8, 8, 3), dtype="uint8")
LABELS = RNG.integers(0, 5, size=67).astype("int32")
SPLIT = ArraySplit(IMAGES, LABELS)
RECIPE = Recipe(optimizer="sgd", learning_rate=0.05, schedule="constant", weight_decay=0.01)
MIXING = Augmentation(mixup=0.4, cutmix=1.0)

EXACT = {
    "plain": RECIPE,
    "clip": replace(RECIPE, clip_norm=0.05),
    "accumulation": replace(RECIPE, accumulation=2),
    "ema": replace(RECIPE, ema=0.9),
    "freeze": replace(RECIPE, freeze_epochs=1),
    "mixing": replace(RECIPE, augmentation=MIXING),
    "trunk rate": replace(RECIPE, trunk_rate=0.1),
    "all together": replace(
        RECIPE,
        clip_norm=0.05,
        accumulation=2,
        ema=0.9,
        freeze_epochs=1,
        trunk_rate=0.5,
        label_smoothing=0.1,
        augmentation=MIXING,
    ),
}
EVALUATED = ("plain", "ema")
HALF = ("mixed_bfloat16", "mixed_float16")


def two_headed():
    """BatchNorm, L2 and an auxiliary head: all that is easily counted twice."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    heads = [blocks.logits(x, 5, name=name) for name in ("main", "aux")]
    return keras.Model(inputs, heads)


def engine_for(strategy, recipe, precision="float64"):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = two_headed()
        optimizer = make_optimizer(recipe, 10, model, precision)
    replicas.make_replicas_agree(model, strategy)
    return Engine(
        model,
        strategy=strategy,
        objective=replace(
            counted(make_loss(recipe, 5, from_logits=True), factors=(1.0, 0.3)),
            answers=lambda labels, outputs: outputs[0][:, 0],
        ),
        optimizer=optimizer,
        clip_norm=recipe.clip_norm,
        accumulation=recipe.accumulation,
        slowed=[v for layer in all_but_last(model) for v in layer.trainable_variables],
        slowness=recipe.trunk_rate,
        ema=recipe.ema,
    )


def scaled(images, labels):
    return tf.cast(images, keras.config.floatx()) / 64, labels


def batches(engine, recipe, poison=None):
    """This worker's share of the batches; `poison` replaces the pixels of one position in each."""
    workers = Workers(engine.strategy)
    data = SPLIT.batches(
        16,
        seed=0,
        epochs=None,
        drop_remainder=True,
        share=(workers.index, workers.count),
        multiple=recipe.accumulation,
        with_index=True,
    )

    def ready(images, labels, index, epoch):
        if mixes(recipe.augmentation):
            images = tf.cast(images, "float32")
            changes = recipe.augmentation
            images, labels = mixed(images, labels, index, epoch, seed=0, augmentation=changes)
        values, labels = scaled(images, labels)
        if poison is not None and workers.index == workers.count - 1:
            bad = tf.fill([1, 8, 8, 3], tf.constant(poison, values.dtype))
            values = tf.concat([values[:-1], bad], axis=0)
        return tf.ensure_shape(values, images.shape), labels

    return iter(engine.distribute(data.map(ready)))


def train(engine, recipe):
    iterator = batches(engine, recipe)
    if recipe.freeze_epochs:
        with frozen(all_but_last(engine.model)):
            engine.learn(engine.model.trainable_variables)
            engine.update(iterator, 10)
        engine.learn(engine.model.trainable_variables)
    else:
        engine.update(iterator, 10)
    engine.update(iterator, 10)


def weights(engine):
    own = {f"weight/{i}": w.numpy() for i, w in enumerate(engine.model.weights)}
    return own | {f"average/{i}": w.numpy() for i, w in enumerate(engine.averages)}


def evaluation(engine):
    """Loss, correct, images and answers over all 67 images, with averaged weights if there are."""
    with engine.averaged():
        workers = Workers(engine.strategy)
        data = SPLIT.batches(16, epochs=None, share=(workers.index, workers.count))
        data = filled(data.map(scaled), 16 // workers.count)
        found = engine.evaluate(iter(engine.distribute(data)), SPLIT.steps(16))
        _, answers = engine.judge(iter(engine.distribute(data)), SPLIT.steps(16))
    evaluated = np.array([found.loss, *found.sums, found.images])
    return {"evaluated": evaluated, "answers": np.sort(answers)}


def exact(strategy, name):
    with in_precision("float64"):
        engine = engine_for(strategy, EXACT[name])
        train(engine, EXACT[name])
        return weights(engine) | (evaluation(engine) if name in EVALUATED else {})


def half(strategy, precision):
    with in_precision(precision):
        engine = engine_for(strategy, RECIPE, precision)
        train(engine, RECIPE)
        return weights(engine)


def overflow(strategy):
    """Two updates in float16 whose gradient overflows on the last replica only."""
    with in_precision("mixed_float16"):
        engine = engine_for(strategy, RECIPE, "mixed_float16")
        before = [v.numpy() for v in engine.model.trainable_variables]
        engine.update(batches(engine, RECIPE, poison=1e30), 2)
        after = [v.numpy() for v in engine.model.trainable_variables]
        scale = float(engine.optimizer.dynamic_scale.numpy())
    moved = max(np.abs(a - b).max() for a, b in zip(after, before))
    return {"moved": np.array(moved), "scale": np.array(scale)}


def refusal(refuse, *arguments):
    try:
        refuse(*arguments)
    except StrategyError as error:
        return {"refusal": np.array(str(error))}
    return {"refusal": np.array("")}


def two_types():
    """A float32 head on a float64 network."""
    with in_precision("float64"):
        head = layers.Dense(5, name="head", dtype="float32")
        return keras.Sequential([keras.Input((8,)), layers.Dense(6, name="body"), head])


def agreement(workers):
    """What each worker is told when they differ, and when they are alike."""
    workers.require_same("The data", b"the same")
    try:
        workers.require_same("The data", bytes([workers.index]))
        message = ""
    except StrategyError as error:
        message = str(error)
    path = workers.text_of_chief(f"runs/größe-{workers.index}")
    total = workers.sum([1.0, workers.index])
    return {"message": np.array(message), "path": np.array(path), "sum": total}


# Each cell: its name → what makes its arrays under a strategy.
CELLS = {
    **{f"exact {name}": functools.partial(exact, name=name) for name in EXACT},
    **{precision: functools.partial(half, precision=precision) for precision in HALF},
    "overflow": overflow,
    "jit": lambda strategy: refusal(refuse_jit, strategy, True),
    "two types": lambda strategy: refusal(refuse_mixed_variables, two_types(), strategy),
}


def everything(strategy, names):
    """These cells of one strategy: `{"cell|array": array}`."""
    found = {name: CELLS[name](strategy) for name in names}
    return {f"{cell}|{key}": value for cell, row in found.items() for key, value in row.items()}


if __name__ == "__main__":
    strategy = strategies.resolve_strategy("multiworker")
    workers = Workers(strategy)
    output, *names = sys.argv[1:]
    cells = everything(strategy, names)
    cells |= {f"agreement|{key}": value for key, value in agreement(workers).items()}
    np.savez(f"{output}-{workers.index}.npz", **cells)
    workers.meet()
