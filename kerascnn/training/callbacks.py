"""The user's own callbacks: which can't work here, and what the others are told."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerascnn.distribution import replicas, strategies
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import MEASURES, Recipe, monitored
from kerascnn.training.engine import Engine
from kerascnn.training.keeping import measures_of
from kerascnn.training.optimizers import rate_of

# Keras's callbacks that can't do here what they do elsewhere, and what to use instead.
REFUSED = {
    "BackupAndRestore": "a run has checkpoints of its own, from which "
    "`kerascnn train --resume RUN` (kerascnn.resume) goes on bit for bit",
    "SwapEMAWeights": "averages are the recipe's: --ema 0.999 (Recipe(ema=0.999)), which "
    "evaluation and the saved model then use",
}
SETS_THE_RATE = ("ReduceLROnPlateau", "LearningRateScheduler")
# These write a file: on several machines only the chief has them.
WRITES = ("ModelCheckpoint", "CSVLogger", "TensorBoard")


def check(callbacks: Any, recipe: Recipe) -> list[keras.callbacks.Callback]:
    """Refuse, before anything is trained, callbacks that can't work.

    Args:
        callbacks: a sequence of them, a single one, or None, as Keras's `fit` takes them.
        recipe: what will be trained by.

    Raises:
        ArgumentError: names the callback, and what to do instead.
    """
    found = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    found = [] if callbacks is None else found
    for callback in found:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ArgumentError(
                f"callbacks must be keras.callbacks.Callback objects. Received: {callback!r}."
            )
        for refused, instead in REFUSED.items():
            if _is_a(callback, refused):
                raise ArgumentError(f"The callback {name} can't be used here: {instead}.")
        if any(_is_a(callback, kind) for kind in SETS_THE_RATE) and _scheduled(recipe):
            raise ArgumentError(_two_masters(name, recipe))
    return found


def _is_a(callback: Any, name: str) -> bool:
    kind = getattr(keras.callbacks, name, None)
    return kind is not None and isinstance(callback, kind)


def _scheduled(recipe: Recipe) -> bool:
    """Whether the recipe itself sets the learning rate again and again."""
    return recipe.schedule != "constant" or recipe.warmup_epochs > 0


def _two_masters(name: str, recipe: Recipe) -> str:
    schedule = f"schedule {recipe.schedule!r}"
    if recipe.warmup_epochs:
        schedule += f" with {recipe.warmup_epochs:g} epochs of warm-up"
    return (
        f"The callback {name} sets the learning rate, which the recipe's {schedule} sets too. Let "
        'the callback do it alone with Recipe(schedule="constant", warmup_epochs=0) '
        "(--with schedule=constant), or leave it out: schedules are constant, cosine, step, "
        "exponential and plateau."
    )


class Given:
    """The user's callbacks, told one by one what happens in a training.

    Their `model` is the one that is saved, with its classifier activation. What they see of it is
    what is evaluated: at the end of an epoch the averaged weights, if there are. A weight that
    they change stays changed.

    Args:
        callbacks: as `check` returns them.
        model: the one that is saved.
        engine: trains it.
        recipe: that it is trained by.
        updates: in an epoch.
        chief: whether this process writes: the others have none of Keras's that write a file.
        say: is called with what they do at the end.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        engine: Engine,
        *,
        recipe: Recipe,
        updates: int,
        chief: bool,
        say: Callable[[str], None],
    ) -> None:
        self._model, self._engine, self._recipe, self._say = model, engine, recipe, say
        self._callbacks = [
            callback
            for callback in callbacks
            if chief or not any(_is_a(callback, kind) for kind in WRITES)
        ]
        self._epochs: dict[bytes, int] = {}  # of weights → the epoch at whose end they were these
        model.stop_training = False
        params = {"epochs": recipe.epochs, "steps": updates, "verbose": 0}
        with self._in_view("set_model"):
            for callback in self._callbacks:
                _know_direction(callback)
                callback.set_params(dict(params))
                callback.set_model(model)

    @property
    def ended(self) -> bool:
        """Whether one of them wants the training to end."""
        return bool(self._model.stop_training)

    def tell(self, hook: str, *numbers: int, logs: dict[str, Any] | None = None) -> None:
        """Call a method such as `on_epoch_begin` of each.

        Args:
            hook: the method's name.
            numbers: of the epoch or the batch, where the method has one.
            logs: one for all, so that a callback sees what those before it have added.
        """
        if not self._callbacks:
            return
        logs = {} if logs is None else logs
        with self._in_view(hook):
            for callback in self._callbacks:
                self._call(callback, hook, *numbers, logs)

    def end_epoch(self, epoch: int, row: dict[str, Any]) -> dict[str, Any]:
        """Call `on_epoch_end` of each: the row with the numbers that they have added to the logs.

        Args:
            epoch: counted from 0.
            row: of the history, for this epoch; they also get the accuracy that Keras has.
        """
        if not self._callbacks:
            return row
        logs = {key: value for key, value in row.items() if key != "epoch"}
        for part in ("", "val_"):
            if f"{part}error" in row:
                logs[f"{part}accuracy"] = 1 - row[f"{part}error"]
        own = set(logs)
        self.tell("on_epoch_end", epoch, logs=logs)
        self._epochs[self._digest()] = epoch + 1
        return row | {key: value for key, value in _numbers(logs).items() if key not in own}

    def end(self, row: Mapping[str, Any], kept: int | None) -> tuple[int | None, Exception | None]:
        """Call `on_train_end` of each, in any case.

        Args:
            row: the history's last, or nothing.
            kept: the epoch whose weights are in place.

        Returns:
            The epoch whose weights they leave, None: of no single one; and the first error, if
            there was one.
        """
        if not self._callbacks:
            return kept, None
        failed: Exception | None = None
        before = self._digest()
        with self._in_view("on_train_end"):
            for callback in self._callbacks:
                try:
                    self._call(callback, "on_train_end", measures_of(row))
                except Exception as error:
                    failed = failed or error
        if (now := self._digest()) != before:
            kept = self._epochs.get(now)
            whose = f"those of epoch {kept}" if kept else "of no single epoch"
            self._say(f"Callbacks have changed the weights at the end: they are {whose}.")
        if failed is not None:
            self._say(
                f"A callback has failed at the end of training ({type(failed).__name__}: {failed})."
                " The model is evaluated and saved all the same."
            )
        return kept, failed

    def _digest(self) -> bytes:
        """A hash of the weights that are evaluated: equal only if every bit of them is."""
        found = hashlib.sha256()
        for array in self._engine.result():
            found.update(np.ascontiguousarray(array).tobytes())
        return found.digest()

    @contextlib.contextmanager
    def _in_view(self, hook: str) -> Iterator[None]:
        """The model with its optimizer, as a compiled one; fit to be saved; with its averages."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_with_optimizer(self._model, self._engine.optimizer))
            if strategies.distributed(self._engine.strategy):
                stack.enter_context(replicas.portable(self._model))
            if hook in ("on_epoch_end", "on_train_end"):
                stack.enter_context(self._engine.shown())
            yield

    def _call(self, callback: keras.callbacks.Callback, hook: str, *arguments: Any) -> None:
        """One method of one callback.

        Raises:
            ArgumentError: it has set the learning rate under a schedule; `check` can know that of
                Keras's own callbacks only.
        """
        plateau = self._recipe.schedule == "plateau"
        rate = rate_of(self._engine.optimizer) if plateau else 0.0
        message = _two_masters(type(callback).__name__, self._recipe)
        try:
            getattr(callback, hook)(*arguments)
        except TypeError as error:  # Keras's, of an optimizer that has a schedule
            if "learning rate" not in str(error) or "settable" not in str(error):
                raise
            raise ArgumentError(message) from error
        if plateau and rate_of(self._engine.optimizer) != rate:
            raise ArgumentError(message)


@contextlib.contextmanager
def _with_optimizer(model: Any, optimizer: Any) -> Iterator[None]:
    """Let a model have this optimizer for a while."""
    before = getattr(model, "optimizer", None)
    model.optimizer = optimizer
    try:
        yield
    finally:
        if before is None:
            del model.optimizer
        else:
            model.optimizer = before


def _know_direction(callback: Any) -> None:
    """Say what Keras finds out from compiled metrics: whether less of a measure is better."""
    monitor = str(getattr(callback, "monitor", None))
    if getattr(callback, "mode", None) == "auto" and monitor in MEASURES:
        metric, _ = monitored(monitor)
        callback.mode = "min" if metric == monitor else "max"


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
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
