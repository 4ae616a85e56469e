"""Inference on one batch of the network's own input size; see `networks.measure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerascnn.bench.networks import images, peer, torch_autocast, torch_images, torch_network
from kerascnn.bench.rounds import Step


def ours(name: str, batch_size: int, input_shape: Sequence[int], precision: str) -> Step:
    """The compiled forward pass that `kerascnn evaluate` runs."""
    import tensorflow as tf

    from kerascnn import catalogue
    from kerascnn.precision import with_precision
    from kerascnn.training.engine import Engine

    height, width, channels = input_shape
    network = catalogue.get(name).network(input_shape=(height, width, channels))
    model = with_precision(network.model(classifier_activation=None), precision, network=network)
    engine = Engine(model, strategy=tf.distribute.get_strategy())
    batch = tf.constant(images(batch_size, input_shape))

    def step() -> None:
        engine.output(batch)

    return step


def keras_applications(
    name: str, batch_size: int, input_shape: Sequence[int], precision: str, jit: bool | str
) -> Step:
    """`predict_on_batch`, which spares it the new iterator that each `predict` makes."""
    import keras

    keras.config.set_dtype_policy(precision)
    model = getattr(keras.applications, peer("keras", name) or name)(
        weights=None, input_shape=tuple(input_shape)
    )
    model.compile(jit_compile=jit)
    batch = images(batch_size, input_shape)

    def step() -> None:
        model.predict_on_batch(batch)

    return step


def torch_model(
    name: str,
    batch_size: int,
    input_shape: Sequence[int],
    precision: str,
    package: str,
    layout: str,
) -> Step:
    """The usual forward pass in inference mode, under autocast where that is asked for."""
    import torch

    model: Any = torch_network(package, name).eval().to(memory_format=getattr(torch, layout))
    batch = torch_images(batch_size, input_shape, layout)

    def step() -> None:
        with torch.inference_mode(), torch_autocast(precision):
            model(batch)

    return step
