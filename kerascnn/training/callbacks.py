"""The callbacks that every training has: what the terminal and TensorBoard show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kerascnn.data import Split
from kerascnn.training.batches import evaluation_batch
from kerascnn.training.board import TensorBoardLogs
from kerascnn.training.inference import preparation
from kerascnn.training.progress import Progress

if TYPE_CHECKING:
    from kerascnn.training.loop import Training

SAMPLES = 24  # images in TensorBoard's grid of predictions
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


def tensorboard(training: Training, first_epoch: int) -> TensorBoardLogs:
    """What TensorBoard shows, with some validation images as samples."""
    config, dataset = training.config, training.dataset
    held = dataset.validation if dataset.validation.size else dataset.train
    chosen = np.linspace(0, held.size - 1, min(SAMPLES, held.size)).astype(int)
    examples = [held.example(int(index)) for index in chosen]
    images = np.stack([image for image, _ in examples])
    arguments = (config["architecture"] or {}).get("arguments", {})
    return TensorBoardLogs(
        directory=training.run.path / "tensorboard",
        class_names=dataset.class_names,
        images=images,
        inputs=preparation(config)(images).numpy(),
        labels=np.array([label for _, label in examples]),
        hparams={
            "network": config["name"],
            "seed": config["seed"],
            "recipe": config["recipe"],
            **arguments,
        },
        epochs=training.recipe.epochs,
        first_epoch=first_epoch,
        evaluate_arrays=lambda: _labels_and_predictions(training, held),
        logits=training.is_logits,
    )


def _labels_and_predictions(training: Training, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Of all images of a split, or of the first `CONFUSED` in a fixed random order."""
    prepare = preparation(training.config)
    batch = evaluation_batch(training.batching.size)
    labels, predicted = [], []
    with training.engine.averaged():
        for images, truth in split.batches(batch, seed=0).take(-(-CONFUSED // batch)):
            labels.append(truth.numpy())
            predicted.append(training.engine.logits(prepare(images)).argmax(-1))
    return np.concatenate(labels), np.concatenate(predicted)
