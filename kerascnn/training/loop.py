"""One training in progress: its epochs, what is saved after each, and its end."""

from __future__ import annotations

import contextlib
import hashlib
import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, readable_errors
from kerascnn.distribution import replicas, signals
from kerascnn.distribution.workers import Workers
from kerascnn.errors import RunError, TrainingError
from kerascnn.recipes.recipe import KEEP_BEST, Recipe
from kerascnn.runs import checkpoints
from kerascnn.runs.config import RunConfig
from kerascnn.runs.directory import alive
from kerascnn.runs.position import Position, Totals
from kerascnn.runs.results import write_history
from kerascnn.runs.run import Run
from kerascnn.training import callbacks as watching
from kerascnn.training.batches import repeated, training_batches
from kerascnn.training.engine import Engine
from kerascnn.training.freezing import all_but_last, frozen
from kerascnn.training.keeping import NO_MEASURES, Held, best_epoch, need_best, out_of_patience
from kerascnn.training.optimizers import follow_history
from kerascnn.training.settings import Batching
from kerascnn.watching.pictures import curves
from kerascnn.words import counted
from kerascnn.writing import replacing, write_json

# How long Python leaves the device alone: short enough for a live display, long enough to be free.
SECONDS_A_CALL = 0.25

Evaluation = tuple[Iterator[Any], int]


@dataclass
class Training:
    """One training in progress. On several machines each worker has one; the chief's writes.

    Attributes:
        run: the directory that it writes.
        config: the run's.
        recipe: the same as in `config`.
        dataset: images and labels.
        model: with its classifier activation, as it is saved.
        scores: the same without a final softmax, as it is trained.
        optimizer: built for `scores`.
        strategy: of both.
        workers: of the strategy.
        batching: batch size and updates.
        engine: runs the updates.
        is_logits: whether `scores` returns logits.
        console: where messages and progress go.
        record: whether to write checkpoints, curves and TensorBoard logs.
        profile: first step to trace and the one after the last, counted from 0 at the start of the
            run; None: no trace.
        position: how far it has come.
        rows: the history, one row for each complete epoch.
        best: the weights of the best epoch so far, if the recipe keeps them.
    """

    run: Run
    config: RunConfig
    recipe: Recipe
    dataset: Dataset
    model: keras.Model
    scores: keras.Model
    optimizer: keras.optimizers.Optimizer
    strategy: tf.distribute.Strategy
    workers: Workers
    batching: Batching
    engine: Engine
    is_logits: bool
    console: Console
    record: bool
    profile: tuple[int, int] | None = None
    position: Position = field(default_factory=Position)
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: list[Held] = field(default_factory=list)
    _ended: bool = False  # whether the weights are those to keep, no more those to train
    _held: int | None = None  # their epoch; None: of no single one
    _digests: dict[bytes, int] = field(default_factory=dict)  # of weights → their epoch
    _request: signals.Request = field(default_factory=signals.Request)
    _learning: bool | None = None  # whether the classifier alone does; None: not begun

    def fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train to the last epoch, evaluate on the test split, save.

        Raises:
            KeyboardInterrupt, Terminated: by a signal, after the state has been saved.
            WorkerError: another worker has ended.
        """
        with self.workers.losses(f"The last checkpoint is kept. {self._how_to_go_on()}"):
            if not self.workers.chief:
                self._fit(callbacks)
                return
            with alive(self.run.path):
                self._fit(callbacks)

    def _fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        if self.recipe.keep == KEEP_BEST:
            self.best = [Held(variable) for variable in self.engine.evaluated]
        self._restore()
        own: list[keras.callbacks.Callback] = []
        if self.workers.chief:
            own = [watching.progress(self, self.position.epoch)]
            if self.record:
                own.append(watching.tensorboard(self, self.position.epoch))
            if self.profile:
                own.append(watching.profiler(self, self.profile))
        chain = keras.callbacks.CallbackList(own, model=self.scores)
        try:
            splits = self.dataset.splits.values()
            with signals.requests() as self._request, readable_errors(*splits):
                given = watching.Given(callbacks, self)
                failed, metrics = self._to_the_end(chain, given)
            chain.on_train_end({k: v for k, v in metrics.items() if isinstance(v, float)})
        finally:
            watching.close(own)
        if failed is not None:
            raise failed

    def _to_the_end(
        self, chain: keras.callbacks.CallbackList, given: watching.Given
    ) -> tuple[Exception | None, dict[str, Any]]:
        """Train, evaluate and save; or, asked to end, save what there is.

        Returns:
            What a callback raised at the end, and the final metrics.
        """
        try:
            chain.on_train_begin()
            given.tell("on_train_begin")
            self._epochs(chain, given)
            failed = self._end(given)
            metrics = self._finish()
            self.workers.meet()  # whoever comes here first must not leave the others alone
            return failed, metrics
        except signals.Stopped as stopped:
            if not self._ended:
                self._save_checkpoint()
            self._keep("Terminated" if stopped.number == signal.SIGTERM else "Interrupted")
            self.workers.meet()
            raise stopped.outcome() from None
        except KeyboardInterrupt:
            self._keep("Interrupted")
            raise

    def _end(self, given: watching.Given) -> Exception | None:
        """Put the weights in place that are evaluated and saved; callbacks have the last word.

        Returns:
            What a callback raised.
        """
        self._ended = True  # from here on these are not the weights to go on with
        self._held = self._hold()
        if not given.callbacks:
            return None
        before = self._digest()
        failed = given.end(_measures(self.rows[-1]) if self.rows else {})
        if (now := self._digest()) != before:
            self._held = self._digests.get(now)
            whose = f"those of epoch {self._held}" if self._held else "of no single epoch"
            self._say(f"Callbacks have changed the weights at the end: they are {whose}.")
        if failed is not None:
            self._say(
                f"A callback has failed at the end of training ({type(failed).__name__}: {failed})."
                " The model is evaluated and saved all the same."
            )
        return failed

    def _hold(self) -> int | None:
        """Put the weights in place that the recipe keeps; their epoch, or None within one."""
        if self.best and (best := best_epoch(self.rows, self.recipe)):
            self.engine.put(self.best)
            return best
        if self.best and self.rows:
            self._say(f"{self.recipe.monitor} was a number in no epoch, so the last one is kept.")
        return None if self.position.update else len(self.rows)

    def _digest(self) -> bytes:
        return digest_of(self.engine.result())

    def _restore(self) -> None:
        """Go on from the last checkpoint, or make the first; the same on all workers.

        Raises:
            StrategyError: the workers have found different checkpoints.
            RunError: none of the checkpoints can be used, or the history ends before it.
        """
        variables = self._variables()
        self.position = checkpoints.restore(
            self.run.path / "checkpoints",
            variables,
            epochs=self.recipe.epochs,
            updates=self.batching.updates,
            say=sayer(self.console),
        )
        self.workers.require_same(
            "The checkpoint to go on from",
            checkpoints.digest(self.position, variables) if self.workers.count > 1 else b"",
        )
        done = self.position
        self.rows = self.run.history[: done.epoch]
        if len(self.rows) < done.epoch:
            raise RunError(
                f"{self.run.path / 'history.csv'} ends after {len(self.rows)} epochs, the last "
                f"checkpoint was made after {done.epoch}. Without its history the run can't go on."
            )
        if done != Position():
            part = f" and {done.update} of {self.batching.updates} updates" if done.update else ""
            sayer(self.console)(f"Going on after epoch {done.epoch} of {self.recipe.epochs}{part}.")
            if self.workers.chief:  # those of an interrupted run
                (self.run.path / "metrics.json").unlink(missing_ok=True)
        else:
            self._save_checkpoint()

    def _epochs(self, chain: keras.callbacks.CallbackList, given: watching.Given) -> None:
        data = training_batches(
            self.dataset, self.config, self.batching, self.position, self.workers
        )
        batches = iter(self.engine.distribute(data))
        validation = self._repeated("validation")
        while self.position.epoch < self.recipe.epochs and not self._stopped_early():
            epoch = self.position.epoch
            follow_history(self.optimizer, self.recipe, self.rows)
            chain.on_epoch_begin(epoch)
            given.tell("on_epoch_begin", epoch)
            with self._frozen(epoch):
                self._one_epoch(batches, chain, given)
            row = self._row()
            if validation is not None:
                chain.on_test_begin()
                given.tell("on_test_begin")
                found = self._evaluate(validation)
                row |= {"val_loss": found.mean_loss, "val_error": found.error}
                chain.on_test_end()
                given.tell("on_test_end")
            # Before anything is saved: what callbacks change belongs to this epoch.
            row = self._with_logs_of(given, epoch, row)
            self._complete(row, given)
            chain.on_epoch_end(epoch, {k: v for k, v in row.items() if k != "epoch"})
            if self._agree(1)[1]:
                break

    def _with_logs_of(
        self, given: watching.Given, epoch: int, row: dict[str, Any]
    ) -> dict[str, Any]:
        """The row with what callbacks have added to the logs of their `on_epoch_end`."""
        if not given.callbacks:
            return row
        logs = {k: v for k, v in row.items() if k != "epoch"}
        logs |= {
            f"{part}accuracy": 1 - row[f"{part}error"]
            for part in ("", "val_")
            if f"{part}error" in row
        }
        own = set(logs)
        given.tell("on_epoch_end", epoch, logs=logs)
        self._digests[self._digest()] = epoch + 1
        return row | {k: v for k, v in numbers(logs).items() if k not in own}

    def _complete(self, row: dict[str, Any], given: watching.Given) -> None:
        """Add an epoch to the history, and save the state after it."""
        self.rows.append(row)
        self.position = Position(self.position.epoch + 1)
        if need_best(self.recipe):
            best = best_epoch(self.rows, self.recipe)
            if self.best and best == len(self.rows):
                for held, value in zip(self.best, self.engine.result(), strict=True):
                    held.assign(value)
        if self.workers.chief:
            # The history first: a crash in between leaves a line too many, which resuming drops.
            write_history(self.run.path / "history.csv", self.rows)
        self._save_checkpoint()

    def _stopped_early(self) -> bool:
        if not out_of_patience(self.rows, self.recipe):
            return False
        best = best_epoch(self.rows, self.recipe)
        self._say(
            f"Stopped after epoch {len(self.rows)} of {self.recipe.epochs}: "
            f"{self.recipe.monitor} has not improved since epoch {best}."
        )
        return True

    @contextlib.contextmanager
    def _frozen(self, epoch: int) -> Iterator[None]:
        """Let only the classifier learn while the recipe says so."""
        first = self.recipe.freeze_epochs
        if not first:
            yield
            return
        with frozen(all_but_last(self.scores) if epoch < first else []):
            # Where training begins or goes on, and where everything begins to learn.
            if self._learning != (phase := epoch < first):
                self._learning = phase
                self.engine.learn(self.scores.trainable_variables)
            yield

    def _one_epoch(
        self, batches: Iterator[Any], chain: keras.callbacks.CallbackList, given: watching.Given
    ) -> None:
        """The updates that are left of an epoch, in calls of about `SECONDS_A_CALL`."""
        began = time.perf_counter() - self.position.seconds
        count = 1
        while (done := self.position.update) < self.batching.updates:
            count, ended = self._agree(count)
            if ended:
                break
            chain.on_train_batch_begin(done)
            given.tell("on_train_batch_begin", done)
            size, started = self._size(count, done), time.perf_counter()
            new = self.engine.update(batches, size)
            count = _paced(size, time.perf_counter() - started)
            if new.bad_step >= 0:
                self._stop_for_bad_loss(done + new.bad_step)
            totals = self.position.totals + new
            self.position = Position(
                self.position.epoch, done + size, totals, time.perf_counter() - began
            )
            logs = {"loss": totals.mean_loss, "error": totals.error}
            chain.on_train_batch_end(done + size - 1, logs)
            given.tell("on_train_batch_end", done + size - 1, logs=logs)

    def _size(self, count: int, done: int) -> int:
        """Up to `count` steps: not more than are left, and none where the profiler is switched."""
        step = self.position.epoch * self.batching.updates + done
        ends = [end - step for end in self.profile or () if end > step]
        return min(count, self.batching.updates - done, *ends)

    def _evaluate(self, evaluation: Evaluation) -> Totals:
        """Loss and errors over a split, each image once, with the averaged weights if there are."""
        batches, steps = evaluation
        totals, done, count = Totals(), 0, 1
        with self.engine.averaged():
            while done < steps:
                count, _ = self._agree(count)
                size, started = min(count, steps - done), time.perf_counter()
                totals += self.engine.evaluate(batches, size)
                done += size
                count = _paced(size, time.perf_counter() - started)
        return totals

    def _agree(self, count: int) -> tuple[int, bool]:
        """All workers' mean of `count`, and whether any worker's callbacks end the training.

        Raises:
            Stopped: any worker was asked to end by a signal; on all workers.
        """
        number = self._request.number
        mine = [count, number == signal.SIGTERM, number == signal.SIGINT, self.model.stop_training]
        counts, terminated, interrupted, ended = self.workers.sum(mine)
        if terminated or interrupted:
            raise signals.Stopped(signal.SIGTERM if terminated else signal.SIGINT)
        return max(1, int(counts) // self.workers.count), bool(ended)

    def _row(self) -> dict[str, float]:
        totals, seconds = self.position.totals, self.position.seconds
        return {
            "epoch": self.position.epoch + 1,
            "loss": totals.mean_loss,
            "error": totals.error,
            "learning_rate": self.learning_rate(),
            "images_per_second": totals.images / seconds if seconds else 0.0,
            "seconds": seconds,
            "input_wait": totals.waited / seconds if seconds else 0.0,
        }

    def learning_rate(self) -> float:
        """Of the next update."""
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def _stop_for_bad_loss(self, update: int) -> None:
        raise TrainingError(
            f"The loss is not a number at step {update + 1} of epoch {self.position.epoch + 1}, "
            f"with a learning rate of {self.learning_rate():.3g}. Try a tenth of the recipe's "
            f"(--learning-rate {self.recipe.learning_rate / 10:.3g}), a limit on the gradient "
            f"(--clip-norm 1), or a longer warm-up (--warmup-epochs "
            f"{max(1, 2 * self.recipe.warmup_epochs):g}). The state before this epoch is in "
            f"{self.run.path / 'checkpoints'}."
        )

    def _repeated(self, split: str) -> Evaluation | None:
        found = getattr(self.dataset, split)
        return repeated(found, self.config, self.engine, self.batching.size, self.workers)

    def _finish(self) -> dict[str, Any]:
        """Evaluate and save the weights that are in place."""
        held = self._held
        metrics: dict[str, Any] = {
            "epochs": len(self.rows),
            "epoch": held,
            "train_seconds": sum(row["seconds"] for row in self.rows),
            "trainable_params": trainable(self.model),
        }
        if self.rows:
            metrics |= _measures(self.rows[held - 1 if held else -1])
        if not held and (validation := self._repeated("validation")) is not None:
            found = self._evaluate(validation)
            metrics |= {"val_loss": found.mean_loss, "val_error": found.error}
        test = self._repeated("test")
        if test is not None:
            found = self._evaluate(test)
            metrics |= {"test_loss": found.mean_loss, "test_error": found.error}
        if self.workers.chief:
            self._save(metrics)
            if self.rows and self.record:
                with replacing(self.run.path / "curves.png") as temporary:
                    curves(self.rows, temporary, held=held)
        return metrics

    def _keep(self, how: str) -> None:
        """Save what there is of a training that ends early, and say how to go on."""
        if not self.workers.chief:
            return
        held = self._held if self._ended else self._hold()
        self._save({"interrupted": True, "epochs": len(self.rows), "epoch": held})
        epochs = counted(len(self.rows), "complete epoch", "complete epochs")
        which = f"of epoch {held}, the best so far," if self.best and held else "as it is"
        self._say(
            f"{how} after {epochs}. The model {which} was saved in "
            f"{self.run.path}. {self._how_to_go_on()}"
        )

    def _say(self, line: str) -> None:
        sayer(self.console)(line)

    def _how_to_go_on(self) -> str:
        if not self.record:
            return "Without checkpoints it can't go on."
        where = " on every worker" if self.workers.count > 1 else ""
        return f"Go on with `kerascnn train --resume {self.run.path}`{where}."

    def _save(self, metrics: dict[str, Any]) -> None:
        replicas.as_single_device(self.scores)
        with self.engine.averaged(), replacing(self.run.path / "model.keras") as temporary:
            self.model.save(temporary)
        write_json(self.run.path / "metrics.json", metrics)

    def _save_checkpoint(self) -> None:
        if self.record and self.workers.chief:
            checkpoints.save(self.run.path / "checkpoints", self.position, self._variables())

    def _variables(self) -> dict[str, Any]:
        return checkpoints.variables_of(
            self.scores, self.optimizer, self.engine.averages, self.best
        )


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Those of a callback's logs that are one number."""
    return {
        key: float(value)
        for key, value in logs.items()
        if not isinstance(value, (str, bytes)) and np.ndim(value) == 0 and _is_number(value)
    }


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _measures(row: Mapping[str, Any]) -> dict[str, float]:
    """What a row of the history says about the network, and not about the training of it."""
    return {key: value for key, value in row.items() if key not in NO_MEASURES}


def digest_of(arrays: Sequence[np.ndarray]) -> bytes:
    """A hash of the arrays: equal only if every bit of them is."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def _paced(size: int, seconds: float) -> int:
    """Of how many steps the next call should be, after one of `size` steps."""
    return max(1, min(4 * size, int(SECONDS_A_CALL * size / seconds)))


def trainable(model: keras.Model) -> int:
    """Number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
