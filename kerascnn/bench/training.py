"""Training steps on one batch, with SGD and momentum; see `networks.measure`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kerascnn.bench.networks import (
    images,
    peer,
    torch_autocast,
    torch_images,
    torch_network,
    torch_scores,
)
from kerascnn.bench.rounds import Step

if TYPE_CHECKING:
    from kerascnn.training.engine import Engine

RATE, MOMENTUM = 0.001, 0.9


def ours(
    name: str,
    batch_size: int,
    input_shape: Sequence[int],
    precision: str,
    memory_efficient: bool = False,
) -> Step:
    """A step of the loop behind `kerascnn train`."""
    engine, batches = prepared(
        name, batch_size, input_shape, precision=precision, memory_efficient=memory_efficient
    )

    def step() -> None:
        engine.update(batches, 1)

    return step


def prepared(
    name: str,
    batch_size: int,
    input_shape: Sequence[int],
    *,
    precision: str = "float32",
    jit: bool = False,
    memory_efficient: bool = False,
    strategy: str = "none",
) -> tuple[Engine, Iterator[Any]]:
    """The engine of a training, and one batch that never ends.

    Args:
        name: an architecture.
        batch_size: images.
        input_shape: `(height, width, channels)`.
        precision: of `kerascnn.train`.
        jit: compile the step with XLA.
        memory_efficient, strategy: of `kerascnn.train`.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from kerascnn import catalogue
    from kerascnn.distribution.strategies import resolve_strategy
    from kerascnn.precision import in_precision
    from kerascnn.recipes.recipe import Recipe
    from kerascnn.tasks.task import find
    from kerascnn.training.engine import Engine
    from kerascnn.training.optimizers import make_optimizer
    from kerascnn.training.recomputing import recomputed

    height, width, channels = input_shape
    network = catalogue.get(name).network(input_shape=(height, width, channels))
    task = find(network.task)
    place = resolve_strategy(strategy)
    recipe = Recipe(
        optimizer="sgd", schedule="constant", learning_rate=RATE, momentum=MOMENTUM, weight_decay=0
    )
    keras.utils.set_random_seed(0)
    with in_precision(precision), place.scope():
        scores, from_logits = task.scores(network.model(classifier_activation=None))
        optimizer = make_optimizer(recipe, 1, scores, precision)
    learner = task.training(scores)
    assert network.classes is not None
    engine = Engine(
        scores,
        learner=recomputed(learner) if memory_efficient else learner,
        strategy=place,
        objective=task.objective(
            recipe, scores=scores, classes=network.classes, from_logits=from_logits
        ),
        optimizer=optimizer,
        jit=jit,
    )
    batch: tuple[np.ndarray, ...] = (
        images(batch_size, input_shape),
        task.random_targets(
            np.random.default_rng(0), scores=scores, classes=network.classes, count=batch_size
        ),
    )
    if engine.draws:
        batch += (np.stack([np.array([0, 0, n], "int32") for n in range(batch_size)]),)
    return engine, iter(engine.distribute(tf.data.Dataset.from_tensors(batch).repeat()))


def keras_applications(
    name: str, batch_size: int, input_shape: Sequence[int], precision: str, jit: bool | str
) -> Step:
    """`train_on_batch`, which spares it the new iterator that each `fit` makes."""
    import keras
    import numpy as np

    keras.config.set_dtype_policy(precision)
    model = getattr(keras.applications, peer("keras", name) or name)(
        weights=None, input_shape=tuple(input_shape), classifier_activation=None
    )
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM), _cross_entropy, jit_compile=jit)
    batch, labels = images(batch_size, input_shape), np.zeros(batch_size, "int32")

    def step() -> None:
        model.train_on_batch(batch, labels)

    return step


def torch_model(
    name: str,
    batch_size: int,
    input_shape: Sequence[int],
    precision: str,
    package: str,
    layout: str,
    memory_efficient: bool = False,
) -> Step:
    """The usual step."""
    import torch

    options = {"memory_efficient": True} if memory_efficient else {}
    model = torch_network(package, name, **options).train().to(memory_format=getattr(torch, layout))
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    batch = torch_images(batch_size, input_shape, layout)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch_autocast(precision):
            scores = torch_scores(model(batch))
            labels = torch.zeros(batch_size, *scores.shape[2:], dtype=torch.long)
            loss = torch.nn.functional.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def _cross_entropy(labels: object, logits: object) -> object:
    import keras

    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
