"""TensorFlow's profiler around some steps of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Profiler(keras.callbacks.Callback):
    """Traces the steps from the first to the one before the last.

    TensorBoard's page for the trace, in `<directory>/plugins/profile`, is the package xprof's.

    Args:
        directory: TensorBoard's.
        steps: first step, and the one after the last, counted from 0 at the start of the run.
        epoch_steps: steps in an epoch.
        say: is told where the trace is.

    Attributes:
        boundaries: steps of the run at which a call that runs many must end.
    """

    def __init__(
        self,
        directory: Path | str,
        steps: tuple[int, int],
        epoch_steps: int,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__()
        self.boundaries = steps
        self._directory, self._epoch_steps = str(directory), epoch_steps
        self._before = 0  # steps in complete epochs
        self._tracing, self._traced = False, False
        self._say = say

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note where the epoch begins."""
        self._before = epoch * self._epoch_steps

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start before the first step."""
        first, last = self.boundaries
        if not self._tracing and first <= self._before + batch < last:
            tf.profiler.experimental.start(self._directory)
            self._tracing = self._traced = True

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stop after the last step, or at the end of what there is."""
        if self._before + batch + 1 >= self.boundaries[1]:
            self.close()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Stop if the last step was never reached."""
        self.close()
        if not self._traced:
            first, last = self.boundaries
            self._say(f"No trace: none of the steps {first} to {last - 1} was run.")

    def close(self) -> None:
        """Stop and write the trace; needed when training ends with an exception."""
        if self._tracing:
            self._tracing = False
            tf.profiler.experimental.stop()
            self._say(f"The profiler's trace is in {self._directory}/plugins/profile.")
