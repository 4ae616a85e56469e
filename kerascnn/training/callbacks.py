"""The callbacks that every training has: what the terminal and TensorBoard show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split
from kerascnn.training.batches import evaluation_batch
from kerascnn.training.board import Judged, TensorBoardLogs
from kerascnn.training.inference import preparation
from kerascnn.training.messages import sayer
from kerascnn.training.profiling import Profiler
from kerascnn.training.progress import Progress
from kerascnn.training.statistics import Probe

if TYPE_CHECKING:
    from kerascnn.training.loop import Training

SAMPLES = 24  # images in TensorBoard's grid of predictions, and in that of the worst
PROBED = 32  # images on which the layers are measured, at most
CONFUSED = 5_000  # images in the confusion matrix while training, at most


def progress(training: Training, first_epoch: int) -> Progress:
    """What the terminal shows."""
    return Progress(
        epochs=training.recipe.epochs,
        steps=training.batching.updates,
        batch_size=training.batching.images,
        console=training.console,
        first_epoch=first_epoch,
    )


def profiler(training: Training, steps: tuple[int, int]) -> Profiler:
    """A trace of some steps beside TensorBoard's logs."""
    say = sayer(training.console)
    return Profiler(training.run.path / "tensorboard", steps, training.batching.updates, say)


def close(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Let go of the terminal and of the profiler, however training has ended."""
    for callback in callbacks:
        if isinstance(callback, (Progress, Profiler)):
            callback.close()


def tensorboard(training: Training, first_epoch: int) -> TensorBoardLogs:
    """What TensorBoard shows, with some validation images as samples."""
    config, dataset = training.config, training.dataset
    held = dataset.validation if dataset.validation.size else dataset.train
    images, labels = _examples(held, SAMPLES)
    return TensorBoardLogs(
        directory=training.run.path / "tensorboard",
        class_names=dataset.class_names,
        images=images,
        inputs=preparation(config)(images).numpy(),
        labels=labels,
        name=training.run.path.as_posix(),
        hparams=_hparams(config),
        epochs=training.recipe.epochs,
        first_epoch=first_epoch,
        judge=lambda: _judged(training, held),
        probe=_probe(training),
        logits=training.is_logits,
    )


ABOUT = ("source", "unstated", "notes", "network")  # fields that describe a recipe


def _hparams(config: Mapping[str, Any]) -> dict[str, Any]:
    """What runs are compared by; the numbers bring the first ones to the front of the table."""
    recipe = {key: value for key, value in config["recipe"].items() if key not in ABOUT}
    arguments = dict((config["architecture"] or {}).get("arguments", {}))
    widths = [name for name in arguments if "width" in name or "growth" in name]
    return {
        "1 network": config["name"],
        "2 learning rate": recipe.pop("learning_rate"),
        "3 batch size": recipe.pop("batch_size"),
        **{f"4 {name}": arguments.pop(name) for name in widths},
        **arguments,
        "data": config["data"]["source"],
        "input_shape": config["input_shape"],
        "precision": config["precision"],
        "recipe": recipe,
        "seed": config["seed"],
    }


def _examples(split: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` images, evenly spaced, and their labels."""
    chosen = np.linspace(0, split.size - 1, min(count, split.size)).astype(int)
    examples = [split.example(int(index)) for index in chosen]
    return np.stack([image for image, _ in examples]), np.array([label for _, label in examples])


def _probe(training: Training) -> Probe:
    """Training images as evaluation sees them: not changed at random, so that they stay the same.

    They are no more than each replica's part of a batch, which fits into its memory.
    """
    replicas = training.strategy.num_replicas_in_sync
    images, labels = _examples(
        training.dataset.train, min(PROBED, max(2, training.batching.size // replicas))
    )
    return Probe(
        training.scores,
        inputs=preparation(training.config)(images).numpy(),
        labels=labels,
        loss=training.engine.losses,
        scale=2.0**10 if training.config["precision"] == "mixed_float16" else 1.0,
    )


def _judged(training: Training, split: Split) -> Judged:
    """Of all images of a split, or of the first `CONFUSED` in a fixed random order."""
    prepare = preparation(training.config)
    batch = evaluation_batch(training.batching.size)
    labels, predicted = [], []
    worst: list[tuple[float, Any, Any, Any]] = []  # loss, image, label, probabilities
    with training.engine.averaged():
        for images, truth in split.batches(batch, seed=0).take(-(-CONFUSED // batch)):
            found = training.engine.logits(prepare(images)).astype("float32")
            chances = tf.nn.softmax(found).numpy() if training.is_logits else found
            labels.append(truth.numpy())
            predicted.append(chances.argmax(-1))
            losses = -np.log(np.maximum(chances[np.arange(len(found)), labels[-1]], 1e-30))
            high = np.argsort(-losses)[:SAMPLES]
            worst += [(losses[i], images[i].numpy(), labels[-1][i], chances[i]) for i in high]
            worst = sorted(worst, key=lambda one: -one[0])[:SAMPLES]
    _, pictures, truths, rows = zip(*worst)
    return Judged(
        labels=np.concatenate(labels),
        predictions=np.concatenate(predicted),
        worst_images=np.stack(pictures),
        worst_labels=np.stack(truths),
        worst_probabilities=np.stack(rows),
    )
