"""The training loop: the same few lines for one device and for many replicas.

keras.Model.fit can't be used as it is: under MirroredStrategy it clips before the gradients are
summed, fails on an uneven first batch and on several steps per execution, and makes a new iterator
for each epoch. This loop is built on public API only: `strategy.run`, a Keras optimizer, a Keras
loss. It runs many steps in one call and returns sums, so Python is out of the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Totals:
    """Sums over the images of some steps.

    Attributes:
        loss: sum of the images' losses; without regularization.
        correct: images whose largest logit is the label's.
        images: how many images.
        bad_step: number within these steps of the first one whose loss is not finite, or -1.
    """

    loss: float = 0.0
    correct: float = 0.0
    images: float = 0.0
    bad_step: int = -1

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.loss + other.loss,
            self.correct + other.correct,
            self.images + other.images,
            self.bad_step if self.bad_step >= 0 else other.bad_step,
        )

    @property
    def mean_loss(self) -> float:
        """Loss for one image."""
        return self.loss / self.images if self.images else float("nan")

    @property
    def error(self) -> float:
        """Share of images with a wrong top-1 prediction, in [0, 1]."""
        return (self.images - self.correct) / self.images if self.images else float("nan")


class Engine:
    """Trains and evaluates a model that returns logits, or a list of logits.

    Args:
        model: a keras.Model built under `strategy`; its first output is the one that counts.
        strategy: as `kerascnn.training.strategies.resolve` returns it.
        optimizer: built under the strategy; None to evaluate only.
        loss: `loss(labels, logits) -> [batch]`.
        loss_weights: one factor for each output.
        clip_norm: largest global norm of the gradient of the whole global batch.
        jit: compile the step with XLA (one device only).
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        strategy: tf.distribute.Strategy,
        loss: Callable[[Any, Any], Any],
        loss_weights: Sequence[float] = (1.0,),
        optimizer: keras.optimizers.Optimizer | None = None,
        clip_norm: float | None = None,
        jit: bool = False,
    ) -> None:
        self.model = model
        self.strategy = strategy
        self.optimizer = optimizer
        self._loss = loss
        self._weights = tuple(loss_weights)
        self._clip_norm = clip_norm
        self._replicas = strategy.num_replicas_in_sync
        self._step = (
            tf.function(self._train_replica, jit_compile=True) if jit else self._train_replica
        )
        self._train = tf.function(self._train_steps, reduce_retracing=True)
        self._evaluate = tf.function(self._evaluate_steps, reduce_retracing=True)
        self._forward = tf.function(self._forward_replica, reduce_retracing=True)

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """The dataset's global batches, split between the replicas."""
        if isinstance(self.strategy, tf.distribute.MirroredStrategy):
            return self.strategy.experimental_distribute_dataset(dataset)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def train(self, batches: Any, steps: int) -> Totals:
        """Run `steps` training steps on an iterator of (inputs, labels)."""
        sums, bad = self._train(batches, tf.constant(steps))
        return _totals(sums, int(bad))

    def evaluate(self, batches: Any, steps: int) -> Totals:
        """Loss and correct predictions over `steps` batches made by `filled`, each image once."""
        return _totals(self._evaluate(batches, tf.constant(steps)), -1)

    def logits(self, inputs: Any) -> np.ndarray:
        """The first output, `[batch, classes]`, in inference mode, on one device."""
        return self._forward(inputs).numpy()

    @tf.autograph.experimental.do_not_convert
    def _train_steps(self, batches: Any, steps: Any) -> tuple[Any, Any]:
        def body(step: Any, sums: Any, bad: Any) -> tuple[Any, Any, Any]:
            new = self._reduce(self.strategy.run(self._step, args=next(batches)))
            found = tf.logical_and(bad < 0, tf.logical_not(tf.math.is_finite(new[0])))
            return step + 1, sums + new, tf.where(found, step, bad)

        _, sums, bad = tf.while_loop(
            lambda step, *_: step < steps,
            body,
            (tf.constant(0), tf.zeros(3), tf.constant(-1)),
            parallel_iterations=1,
        )
        return sums, bad

    @tf.autograph.experimental.do_not_convert
    def _evaluate_steps(self, batches: Any, steps: Any) -> Any:
        def body(step: Any, sums: Any) -> tuple[Any, Any]:
            new = self._reduce(self.strategy.run(self._evaluate_replica, args=next(batches)))
            return step + 1, sums + new

        start = (tf.constant(0), tf.zeros(3))
        return tf.while_loop(lambda step, _: step < steps, body, start, parallel_iterations=1)[1]

    def _reduce(self, sums: Any) -> Any:
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    @tf.autograph.experimental.do_not_convert
    def _train_replica(self, inputs: Any, labels: Any) -> Any:
        assert self.optimizer is not None
        images = tf.shape(labels)[0]
        with tf.GradientTape() as tape:
            outputs = _listed(self.model(inputs, training=True))
            each = self._losses(labels, outputs)
            # Batches are of one size in training, so the global batch is this one times replicas.
            loss = tf.reduce_sum(each) / tf.cast(images * self._replicas, each.dtype)
            if self.model.losses:
                loss += tf.add_n([tf.cast(part, loss.dtype) for part in self.model.losses]) / (
                    self._replicas
                )
            scaled = self.optimizer.scale_loss(loss)
        variables = self.model.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(self._clip(gradients), variables))
        return _sums(each, labels, outputs[0])

    def _clip(self, gradients: list[Any]) -> list[Any]:
        """Clip the sum over replicas, which is the gradient of the global batch."""
        if self._clip_norm is None:
            return gradients
        if self._replicas == 1:
            return tf.clip_by_global_norm(gradients, self._clip_norm)[0]
        context = tf.distribute.get_replica_context()
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        clipped = tf.clip_by_global_norm(total, self._clip_norm)[0]
        # The optimizer is going to sum over the replicas once more.
        return [gradient / self._replicas for gradient in clipped]

    @tf.autograph.experimental.do_not_convert
    def _evaluate_replica(self, inputs: Any, labels: Any) -> Any:
        outputs = _listed(self.model(inputs, training=False))
        real = labels >= 0
        each = self._losses(tf.maximum(labels, 0), outputs)
        return _sums(tf.where(real, each, 0), labels, outputs[0])

    @tf.autograph.experimental.do_not_convert
    def _forward_replica(self, inputs: Any) -> Any:
        return _listed(self.model(inputs, training=False))[0]

    def _losses(self, labels: Any, outputs: list[Any]) -> Any:
        """The weighted loss of each image, `[batch]`."""
        parts = [w * self._loss(labels, out) for w, out in zip(self._weights, outputs, strict=True)]
        return tf.add_n(parts)


def filled(batches: tf.data.Dataset, size: int) -> tf.data.Dataset:
    """Batches for `Engine.evaluate`, all of one size: the last is filled up with label -1.

    An uneven batch can leave a replica without an image, and TensorFlow's convolutions give wrong
    shapes for none; besides, another size would compile everything once more.
    """

    def fill(images: Any, labels: Any) -> tuple[Any, Any]:
        missing = size - tf.shape(labels)[0]
        padding = [[0, missing]] + [[0, 0]] * (images.shape.rank - 1)
        images = tf.ensure_shape(tf.pad(images, padding), [size, *images.shape[1:]])
        labels = tf.pad(tf.cast(labels, tf.int32), [[0, missing]], constant_values=-1)
        return images, tf.ensure_shape(labels, [size])

    return batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _sums(each: Any, labels: Any, logits: Any) -> Any:
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    correct = tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.float32))
    images = tf.reduce_sum(tf.cast(labels >= 0, tf.float32))
    return tf.stack([tf.cast(tf.reduce_sum(each), tf.float32), correct, images])


def _totals(sums: Any, bad_step: int) -> Totals:
    loss, correct, images = (float(value) for value in sums.numpy())
    return Totals(loss, correct, images, bad_step)
