"""Which layers learn: the last ones alone in the first epochs of a fine-tuning, then the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

from kerascnn.features import MAP, endpoints
from kerascnn.keras_internals import Call, calls
from kerascnn.recipes.recipe import Recipe
from kerascnn.training.engine import Engine


class Freezing:
    """Lets an engine change only those layers that the recipe has thawed.

    Args:
        engine: what trains.
        recipe: its `freeze_epochs` and `thaw_epochs`.
    """

    def __init__(self, engine: Engine, recipe: Recipe) -> None:
        self._engine, self._recipe = engine, recipe
        self._stages = stages(engine.model) if recipe.freeze_epochs or recipe.thaw_epochs else []
        self._learning: int | None = None  # None: no epoch has begun

    @contextlib.contextmanager
    def during(self, epoch: int) -> Iterator[None]:
        """Within it the layers that learn in this epoch, counted from 0, do."""
        if not self._stages:
            yield
            return
        learning = thawed(self._recipe, epoch, len(self._stages))
        with frozen([layer for stage in self._stages[learning:] for layer in stage]):
            # Where training begins or goes on, and where another stage begins to learn.
            if self._learning != learning:
                self._learning = learning
                self._engine.learn(self._engine.model.trainable_variables)
            yield


def thawed(recipe: Recipe, epoch: int, count: int) -> int:
    """How many of `count` stages learn in an epoch, counted from 0: a function of it alone."""
    if epoch < recipe.freeze_epochs:
        return 1
    if not recipe.thaw_epochs:
        return count
    return min(count, 2 + (epoch - recipe.freeze_epochs) // recipe.thaw_epochs)


def stages(model: keras.Model) -> list[list[keras.Layer]]:
    """A functional model's layers with weights, in the order in which they are thawed.

    First the last layers, then what else is behind the last of the endpoints C1, C2 and so on, or
    leads to none; then what lies between them, the last first. A stage without weights is left out.
    """
    graph, last = calls(model), last_layers(model)
    seen = set(map(id, last))
    found: list[list[keras.Layer]] = []
    for name, endpoint in endpoints(model).items():
        if MAP.fullmatch(name):
            stage = [one for one in _leading_to(graph, endpoint.layer) if id(one) not in seen]
            seen |= set(map(id, stage))
            found.insert(0, stage)
    rest = [layer for layer in model.layers if layer.weights and id(layer) not in seen]
    return [last, *filter(None, [rest, *found])]


def _leading_to(graph: Sequence[Call], name: str) -> list[keras.Layer]:
    """The layers with weights through which a layer of this name is computed, and itself."""
    needed: set[int] = set()
    found: dict[int, keras.Layer] = {}
    for call in reversed(graph):
        if call.operation.name == name or any(id(tensor) in needed for tensor in call.outputs):
            needed |= set(map(id, call.inputs))
            if getattr(call.operation, "weights", None):
                found[id(call.operation)] = call.operation
    return list(found.values())[::-1]


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
