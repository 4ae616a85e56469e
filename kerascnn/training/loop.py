"""The training loop: epochs of updates, each validated, shown to callbacks and saved."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from kerascnn.distribution import signals
from kerascnn.errors import TrainingError
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.position import Position
from kerascnn.tasks.measure import Measure
from kerascnn.training.callbacks import Given
from kerascnn.training.ending import Ending
from kerascnn.training.engine import Engine
from kerascnn.training.evaluator import Evaluator
from kerascnn.training.freezing import Freezing
from kerascnn.training.keeper import Keeper
from kerascnn.training.keeping import best_epoch, out_of_patience
from kerascnn.training.optimizers import follow_history, rate_of
from kerascnn.training.pace import Pace, following
from kerascnn.training.state import State


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One training, from where its state is to its end.

    The user's callbacks see an epoch before it is saved, as what they change belongs to it; those
    that watch see it afterwards.

    Attributes:
        recipe: how to train.
        main: the task's main measure.
        updates: in an epoch.
        engine: does them.
        batches: what the engine trains on, from the state's position on.
        state: how far the training has come.
        keeper: keeps the weights of some epochs.
        evaluator: of the validation images.
        pace: what all workers agree on.
        freezing: which layers learn.
        watching: what the terminal and TensorBoard show; on the chief.
        given: the user's callbacks.
        ending: what is done at the end.
        profile: first step to trace and the one after the last, counted from 0 at the start of the
            run, where calls of many steps are divided; (): no trace.
        say: is called with what the user should know.
    """

    recipe: Recipe
    main: Measure
    updates: int
    engine: Engine
    batches: Iterator[Any]
    state: State
    keeper: Keeper
    evaluator: Evaluator
    pace: Pace
    freezing: Freezing
    watching: keras.callbacks.CallbackList
    given: Given
    ending: Ending
    profile: tuple[int, ...]
    say: Callable[[str], None]

    def run(self) -> tuple[dict[str, Any], Exception | None]:
        """Train, evaluate and save; or, asked to end, save what there is.

        Returns:
            The final metrics, and what a callback raised at the end.

        Raises:
            KeyboardInterrupt, Terminated: by a signal, after the state has been saved.
            TrainingError: the loss is not finite.
        """
        workers = self.ending.workers
        try:
            self.watching.on_train_begin()
            self.given.tell("on_train_begin")
            if not self.state.begun:
                self.keeper.keep(0)
            while self._goes_on():
                self._epoch()
                if self.pace.agree(ended=self.given.ended)[1]:
                    break
            if missing := self.keeper.missing(len(self.state.rows)):
                self.say(missing)
            metrics, failed = self.ending.complete()
            workers.meet()  # whoever comes here first must not leave the others alone
        except signals.Stopped as stopped:
            self.state.save()
            how = "Terminated" if stopped.number == signal.SIGTERM else "Interrupted"
            self.ending.cut_short(how)
            workers.meet()
            raise stopped.outcome() from None
        except KeyboardInterrupt:
            self.ending.cut_short("Interrupted")
            raise
        return metrics, failed

    def _goes_on(self) -> bool:
        """Whether another epoch follows."""
        state, recipe = self.state, self.recipe
        if state.position.epoch >= recipe.epochs:
            return False
        if out_of_patience(state.rows, recipe):
            self.say(
                f"Stopped after epoch {len(state.rows)} of {recipe.epochs}: {recipe.monitor} has "
                f"not improved since epoch {best_epoch(state.rows, recipe)}."
            )
            return False
        return True

    def _epoch(self) -> None:
        """What is left of an epoch: updates, validation, and the state after it."""
        epoch, watching, given = self.state.position.epoch, self.watching, self.given
        follow_history(self.engine.optimizer, self.recipe, self.state.rows, self.main)
        watching.on_epoch_begin(epoch)
        given.tell("on_epoch_begin", epoch)
        with self.freezing.during(epoch):
            self._update()
        row = self._row()
        if "validation" in self.evaluator:
            watching.on_test_begin()
            given.tell("on_test_begin")
            row |= self.evaluator("validation")
            watching.on_test_end()
            given.tell("on_test_end")
        row = given.end_epoch(epoch, row)
        self.keeper.keep(epoch + 1)
        self.state.complete(row)
        watching.on_epoch_end(epoch, {key: value for key, value in row.items() if key != "epoch"})

    def _update(self) -> None:
        """The updates that are left of an epoch, many in one call of the engine."""
        state, count = self.state, 1
        began = time.perf_counter() - state.position.seconds
        while (done := state.position.update) < self.updates:
            count, ended = self.pace.agree(count, ended=self.given.ended)
            if ended:
                break
            self.watching.on_train_batch_begin(done)
            self.given.tell("on_train_batch_begin", done)
            size, started = self._size(count), time.perf_counter()
            new = self.engine.update(self.batches, size)
            count = following(size, time.perf_counter() - started)
            if new.bad_step >= 0:
                self._refuse_loss(done + new.bad_step)
            totals, seconds = state.position.totals + new, time.perf_counter() - began
            state.position = Position(state.position.epoch, done + size, totals, seconds)
            logs = self.engine.figures(totals)
            self.watching.on_train_batch_end(done + size - 1, logs)
            self.given.tell("on_train_batch_end", done + size - 1, logs=logs)

    def _size(self, count: int) -> int:
        """Up to `count` steps: not more than are left, and none where the profiler is switched."""
        position = self.state.position
        step = position.epoch * self.updates + position.update
        ends = [end - step for end in self.profile if end > step]
        return min(count, self.updates - position.update, *ends)

    def _row(self) -> dict[str, float]:
        """What the history says of the epoch whose updates are done."""
        position = self.state.position
        totals, seconds = position.totals, position.seconds
        return {
            "epoch": position.epoch + 1,
            **self.engine.figures(totals),
            "learning_rate": rate_of(self.engine.optimizer),
            "images_per_second": totals.images / seconds if seconds else 0.0,
            "seconds": seconds,
            "input_wait": totals.waited / seconds if seconds else 0.0,
        }

    def _refuse_loss(self, update: int) -> None:
        epoch, recipe = self.state.position.epoch, self.recipe
        raise TrainingError(
            f"The loss is not a number at step {update + 1} of epoch {epoch + 1}, with a learning "
            f"rate of {rate_of(self.engine.optimizer):.3g}. Try a tenth of the recipe's "
            f"(--learning-rate {recipe.learning_rate / 10:.3g}), a limit on the gradient "
            f"(--clip-norm 1), or a longer warm-up (--warmup-epochs "
            f"{max(1, 2 * recipe.warmup_epochs):g}). The state before this epoch is in "
            f"{self.ending.path / 'checkpoints'}."
        )
