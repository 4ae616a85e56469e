"""What a run's config describes, built: model, optimizer and engine, ready to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from kerascnn.architecture import Architecture
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset
from kerascnn.distribution import replicas, strategies
from kerascnn.distribution.workers import Workers
from kerascnn.heads import scores_of
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import RunConfig
from kerascnn.runs.run import Run
from kerascnn.training.engine import Engine
from kerascnn.training.loop import Training, trainable
from kerascnn.training.optimizers import make_optimizer
from kerascnn.training.settings import (
    batching,
    class_weights,
    in_precision,
    refuse_mixed_variables,
    use_jit,
)
from kerascnn.training.starting import start
from kerascnn.words import counted


def fit(
    run: Run,
    config: RunConfig,
    *,
    network: Architecture | keras.Model,
    dataset: Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    console: Console,
    record: bool = True,
    profile: tuple[int, int] | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Run:
    """Train as the run's config says, from its last checkpoint if it has one.

    Args:
        config: what is trained; its recipe's loss is a class, or None.
        prepare: makes the run directory, once model and weights are there: what fails before
            leaves none, and deletes no earlier run.
    """
    with in_precision(config.precision):
        training = _assemble(run, config, network, dataset, console, record)
        prepare()
        training.profile = profile
        say, plan = sayer(console), training.batching
        count, alone = training.recipe.epochs, training.recipe.freeze_epochs
        for note in plan.notes:
            say(note)
        say(
            f"{config.name}, {trainable(training.model):,} parameters: "
            f"{counted(count, 'epoch', 'epochs')} of {plan.description}, "
            f"{strategies.describe(training.strategy)}."
        )
        say(f"Run: {run.path}")
        say(_which(training.recipe, network))
        if alone:
            until = "Throughout" if alone >= count else f"Until epoch {alone} is done"
            say(f"{until}, only the classifier learns (freeze_epochs={alone}).")
        training.fit(callbacks)
    return run


def _which(recipe: Recipe, network: Architecture | keras.Model) -> str:
    """A line on the recipe: several may seem to have one name."""
    if not recipe.name:
        return "Recipe: the one that was passed."
    if recipe.name != recipe_book.SMALL:
        published = f", as published for {recipe.network}" if recipe.network else ""
        return f"Recipe: {recipe.name}{published}."
    paper = isinstance(network, Architecture) and recipe_book.paper_of(network)
    other = f" The paper's: --recipe {recipe_book.PAPER}." if paper else ""
    return f"Recipe: {recipe.name}, ours for {network.name}.{other}"


def _assemble(
    run: Run,
    config: RunConfig,
    network: Architecture | keras.Model,
    dataset: Dataset,
    console: Console,
    record: bool,
) -> Training:
    """Build everything under the strategy that the run's config names."""
    recipe, strategy = config.recipe, strategies.resolve_strategy(config.strategy)
    plan = batching(recipe, dataset.train.size, strategy)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = _build(network, config, strategy)
        refuse_mixed_variables(model, strategy)
        start(model, network, config, sayer(console))
        scores, is_logits = scores_of(model)
        optimizer = make_optimizer(recipe, plan.updates, scores, config.precision)
        loss = make_loss(recipe, dataset.classes, from_logits=is_logits)
        scores.compile(optimizer=optimizer)
    replicas.make_replicas_agree(scores, strategy)
    engine = Engine(
        scores,
        strategy=strategy,
        loss=loss,
        loss_weights=(1.0, *[recipe.auxiliary_weight] * (len(scores.outputs) - 1)),
        optimizer=optimizer,
        clip_norm=recipe.clip_norm,
        accumulation=recipe.accumulation,
        class_weight=class_weights(recipe, dataset),
        ema=recipe.ema,
        jit=use_jit(config.jit, strategy),
    )
    return Training(
        run=run,
        config=config,
        recipe=recipe,
        dataset=dataset,
        model=model,
        scores=scores,
        optimizer=optimizer,
        strategy=strategy,
        workers=Workers(strategy),
        batching=plan,
        engine=engine,
        is_logits=is_logits,
        console=console,
        record=record,
    )


def _build(
    network: Architecture | keras.Model, config: RunConfig, strategy: tf.distribute.Strategy
) -> keras.Model:
    if isinstance(network, keras.Model):
        return replicas.under(network, strategy)
    assert config.architecture is not None
    values = config.architecture.arguments
    return network(input_shape=config.input_shape, classes=config.classes, **values)
