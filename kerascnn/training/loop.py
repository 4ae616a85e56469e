"""One training in progress: its epochs, what is saved after each, and its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from kerascnn.data import Dataset
from kerascnn.errors import TrainingError
from kerascnn.training import callbacks as watching
from kerascnn.training import checkpoints, strategies
from kerascnn.training.batches import repeated, training_batches
from kerascnn.training.engine import Engine, Totals
from kerascnn.training.files import replacing, write_json
from kerascnn.training.inference import readable_errors
from kerascnn.training.messages import sayer
from kerascnn.training.pictures import curves
from kerascnn.training.recipes import Recipe
from kerascnn.training.run import Run, write_history
from kerascnn.training.settings import Batching

# How long Python leaves the device alone: short enough for a live display, long enough to be free.
SECONDS_A_CALL = 0.25


@dataclass
class Training:
    """One training in progress.

    Attributes:
        run: the directory that it writes.
        config: what the run's config.json holds.
        recipe: the same as in `config`.
        dataset: images and labels.
        model: with its classifier activation, as it is saved.
        scores: the same without a final softmax, as it is trained.
        optimizer: built for `scores`.
        strategy: of both.
        batching: batch size and steps.
        engine: runs the steps.
        is_logits: whether `scores` returns logits.
        console: where messages and progress go.
        record: whether to write checkpoints, curves and TensorBoard logs.
    """

    run: Run
    config: dict[str, Any]
    recipe: Recipe
    dataset: Dataset
    model: keras.Model
    scores: keras.Model
    optimizer: keras.optimizers.Optimizer
    strategy: tf.distribute.Strategy
    batching: Batching
    engine: Engine
    is_logits: bool
    console: Console
    record: bool

    def fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train to the last epoch, evaluate on the test split, save."""
        directory = self.run.path / "checkpoints"
        first = checkpoints.restore(directory, self.scores, self.optimizer)
        if first:
            sayer(self.console)(f"Going on after epoch {first} of {self.recipe.epochs}.")
        elif self.record:
            checkpoints.save(directory, 0, self.scores, self.optimizer)
        rows = self.run.history[:first]
        progress = watching.progress(self, first)
        logs = [watching.tensorboard(self, first)] if self.record else []
        chain = keras.callbacks.CallbackList([progress, *logs, *callbacks], model=self.scores)
        chain.on_train_begin()
        try:
            with readable_errors():
                self._epochs(first, rows, chain)
                metrics = self._finish(rows)
        except KeyboardInterrupt:
            done = len(rows)
            self._save({"interrupted": True, "epochs": done})
            sayer(self.console)(
                f"Interrupted after {done} complete epochs. The model as it is was saved in "
                f"{self.run.path}. Go on with `kerascnn train --resume {self.run.path}`."
            )
            raise
        finally:
            progress.close()
        chain.on_train_end({k: v for k, v in metrics.items() if isinstance(v, float)})

    def _epochs(
        self, first: int, rows: list[dict[str, float]], chain: keras.callbacks.CallbackList
    ) -> None:
        size = self.batching.size
        data = training_batches(self.dataset, self.config, self.recipe, size, first)
        batches = iter(self.engine.distribute(data))
        validation = repeated(self.dataset.validation, self.config, self.engine, size)
        for epoch in range(first, self.recipe.epochs):
            chain.on_epoch_begin(epoch)
            started = time.perf_counter()
            totals = self._one_epoch(epoch, batches, chain)
            seconds = time.perf_counter() - started
            row = {
                "epoch": epoch + 1,
                "loss": totals.mean_loss,
                "error": totals.error,
                "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
                "images_per_second": totals.images / seconds,
                "seconds": seconds,
            }
            if validation is not None:
                chain.on_test_begin()
                found = self.engine.evaluate(*validation)
                row |= {"val_loss": found.mean_loss, "val_error": found.error}
                chain.on_test_end()
            rows.append(row)
            self._after_epoch(rows)
            # The history first: a crash in between leaves a line too many, which resuming drops.
            write_history(self.run.path / "history.csv", rows)
            if self.record:
                directory = self.run.path / "checkpoints"
                checkpoints.save(directory, epoch + 1, self.scores, self.optimizer)
            chain.on_epoch_end(epoch, {k: v for k, v in row.items() if k != "epoch"})
            if self.scores.stop_training:
                break

    def _after_epoch(self, rows: list[dict[str, float]]) -> None:
        """The place for what depends on the epochs so far, such as a schedule on plateaus.

        It is called before the checkpoint is saved and, on several machines, on all workers with
        the same figures, so that all of them decide alike.
        """

    def _one_epoch(
        self, epoch: int, batches: Iterator[Any], chain: keras.callbacks.CallbackList
    ) -> Totals:
        """All steps of an epoch, in calls of about `SECONDS_A_CALL`."""
        steps = self.batching.steps
        totals, done, count = Totals(), 0, 1
        while done < steps:
            chain.on_train_batch_begin(done)
            started = time.perf_counter()
            new = self.engine.train(batches, min(count, steps - done))
            if new.bad_step >= 0:
                self._stop_for_bad_loss(epoch, done + new.bad_step)
            totals += new
            done += min(count, steps - done)
            each = (time.perf_counter() - started) / count
            count = max(1, min(4 * count, int(SECONDS_A_CALL / each)))
            chain.on_train_batch_end(done - 1, {"loss": totals.mean_loss, "error": totals.error})
            if self.scores.stop_training:
                break
        return totals

    def _stop_for_bad_loss(self, epoch: int, step: int) -> None:
        rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        raise TrainingError(
            f"The loss is not a number at step {step + 1} of epoch {epoch + 1}, with a learning "
            f"rate of {rate:.3g}. Try a tenth of the recipe's (--learning-rate "
            f"{self.recipe.learning_rate / 10:.3g}), a limit on the gradient (--clip-norm 1), or a "
            f"longer warm-up. The state before this epoch is in {self.run.path / 'checkpoints'}."
        )

    def _finish(self, rows: list[dict[str, float]]) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            "epochs": len(rows),
            "train_seconds": sum(row["seconds"] for row in rows),
            "trainable_params": trainable(self.model),
        }
        if rows:
            metrics |= {k: v for k, v in rows[-1].items() if "loss" in k or "error" in k}
        test = repeated(self.dataset.test, self.config, self.engine, self.batching.size)
        if test is not None:
            found = self.engine.evaluate(*test)
            metrics |= {"test_loss": found.mean_loss, "test_error": found.error}
        self._save(metrics)
        if rows and self.record:
            with replacing(self.run.path / "curves.png") as temporary:
                curves(rows, temporary)
        return metrics

    def _save(self, metrics: dict[str, Any]) -> None:
        strategies.as_single_device(self.scores)
        with replacing(self.run.path / "model.keras") as temporary:
            self.model.save(temporary)
        write_json(self.run.path / "metrics.json", metrics)


def trainable(model: keras.Model) -> int:
    """Number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
