"""Training the last layers alone, as the first epochs of a fine-tuning do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

from kerascnn.keras_internals import calls
from kerascnn.training.engine import Engine


class Freezing:
    """Lets an engine change the last layers only, in the first epochs.

    Args:
        engine: what trains.
        epochs: how many; 0: all layers learn from the beginning.
    """

    def __init__(self, engine: Engine, epochs: int) -> None:
        self._engine, self._epochs = engine, epochs
        self._alone: bool | None = None  # None: no epoch has begun

    @contextlib.contextmanager
    def during(self, epoch: int) -> Iterator[None]:
        """Within it the layers that learn in this epoch, counted from 0, do."""
        if not self._epochs:
            yield
            return
        model, alone = self._engine.model, epoch < self._epochs
        with frozen(all_but_last(model) if alone else []):
            # Where training begins or goes on, and where everything begins to learn.
            if self._alone != alone:
                self._alone = alone
                self._engine.learn(model.trainable_variables)
            yield


def last_layers(model: keras.Model) -> list[keras.Layer]:
    """The last layers with weights on the way to each output of a functional model."""
    makers = {id(output): call for call in calls(model) for output in call.outputs}
    found: dict[int, keras.Layer] = {}
    pending, seen = list(model.outputs), set()
    while pending:
        tensor = pending.pop()
        call = makers.get(id(tensor))
        if call is None or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if getattr(call.operation, "trainable_variables", None):
            found[id(call.operation)] = call.operation
        else:
            pending += call.inputs
    return list(found.values())


def all_but_last(model: keras.Model) -> list[keras.Layer]:
    """All other layers with weights."""
    last = set(map(id, last_layers(model)))
    return [layer for layer in model.layers if layer.weights and id(layer) not in last]


@contextlib.contextmanager
def frozen(layers: Sequence[keras.Layer]) -> Iterator[None]:
    """Freeze layers for a while; batch normalization then uses its moving statistics, too."""
    thawed = [layer for layer in layers if layer.trainable]
    for layer in thawed:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in thawed:
            layer.trainable = True
