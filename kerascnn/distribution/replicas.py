"""What a model needs before it runs under a strategy, and before it is saved out of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascnn.distribution import strategies
from kerascnn.errors import StrategyError
from kerascnn.keras_internals import all_layers


def under(model: keras.Model, strategy: tf.distribute.Strategy) -> keras.Model:
    """The model with its variables on all replicas: itself, or a copy made in the scope.

    Raises:
        StrategyError: the model has layers that can't be copied.
    """
    if not strategies.distributed(strategy):
        return model
    if all(isinstance(v.value, tf.distribute.DistributedValues) for v in model.variables):
        return model
    with strategy.scope():
        try:
            copy = keras.models.clone_model(model)
        except Exception as error:
            raise StrategyError(
                "The model was built outside of the strategy's scope and can't be copied into it "
                f"({type(error).__name__}: {error}). Pass the name of an architecture, or build "
                "the model inside `kerascnn.resolve_strategy(...).scope()`."
            ) from error
        copy.set_weights(model.get_weights())
    return copy


def make_replicas_agree(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Give replicas common normalization statistics, and random layers different seeds.

    Stock Keras keeps one set of moving statistics for each replica and saves the first only, and
    draws the same dropout mask on every replica.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        generator = getattr(layer, "seed_generator", None)
        if isinstance(generator, keras.random.SeedGenerator):
            generator.next = _replica_seeds(generator)


def as_single_device(model: keras.Model) -> None:
    """Undo what only makes sense under a strategy, so that the saved model loads anywhere."""
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = False


@contextlib.contextmanager
def portable(model: keras.Model) -> Iterator[None]:
    """`as_single_device` for a while, in which a callback may save the model."""
    before = [
        (layer, layer.synchronized)
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    as_single_device(model)
    try:
        yield
    finally:
        for layer, synchronized in before:
            layer.synchronized = synchronized


def _replica_seeds(generator: keras.random.SeedGenerator) -> Any:
    """`generator.next` with the replica's number folded into the seed; replica 0 is unchanged."""
    stock = type(generator).next

    def folded(ordered: bool = True) -> Any:
        seed = stock(generator, ordered)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context is not None else 0
        return tf.stack([seed[0] + tf.cast(replica, seed.dtype) * 1_000_003, seed[1]])

    return folded
