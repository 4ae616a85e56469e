"""TensorBoard logs of a training."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as layout_summary
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from kerascnn.training import pictures

VALIDATION = "val_"  # prefix of logs about the validation images
DRAWING = 1.0  # seconds that one drawing takes, matplotlib's import included
TEST = "test_"  # prefix of final logs about the test images

# What the dashboard of custom scalars shows: title → charts, each a title and a pattern of tags.
# Further logs of other callbacks are on the dashboard of all scalars.
LAYOUT = {
    "Learning": {"Loss": "^loss$", "Top-1 error": "^error$"},
    "Health": {
        "Learning rate": "^learning_rate$",
        "Images per second": "^images_per_second$",
        "Seconds per epoch": "^seconds$",
    },
}


class TensorBoardLogs(keras.callbacks.Callback):
    """Writes what TensorBoard shows; a step of its axes is an epoch.

    `<directory>/train` and `<directory>/validation` get the scalars of the epoch's logs under the
    same tags, so that TensorBoard draws them in one chart; `train` also gets the graph and the
    first layer's filters, `validation` the samples and the confusion matrix; `<directory>` itself
    gets hyperparameters, final metrics and the layout of the dashboard that `kerascnn board`
    opens. Nothing is done in a training step.

    After a crash, a run that is resumed goes on in the same directory: TensorBoard drops what was
    written after the epoch from which it is resumed.

    Args:
        directory: where to write.
        class_names: one for each class.
        images: some images for people, `[n, height, width, channels]`, integers in [0, 255] or
            floats in [0, 1].
        inputs: the same, preprocessed for the network.
        labels: their classes, `[n]`.
        hparams: names and values to compare runs by; values may be mappings and dataclasses.
        epochs: epochs of the whole run.
        first_epoch: epochs that were finished before, in a run that is resumed.
        evaluate_arrays: returns labels and predicted classes, both `[m]`, of the images that the
            confusion matrix is about; None: no matrix.
        logits: whether the model returns logits and not probabilities.
        every: draw pictures after the first and each `every`-th epoch, as long as `share` allows,
            and at the end; default: a third of `epochs`.
        share: the largest share of the training time that may go into drawing, but for the end.
    """

    def __init__(
        self,
        *,
        directory: Path | str,
        class_names: Sequence[str],
        images: np.ndarray,
        inputs: np.ndarray,
        labels: np.ndarray,
        hparams: Mapping[str, Any],
        epochs: int,
        first_epoch: int = 0,
        evaluate_arrays: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None,
        logits: bool = False,
        every: int | None = None,
        share: float = 0.05,
    ) -> None:
        super().__init__()
        self._directory = Path(directory)
        self._class_names = list(class_names)
        self._images, self._inputs, self._labels = images, inputs, np.asarray(labels)
        self._hparams = flat(hparams)
        self._epochs, self._finished = epochs, first_epoch
        self._evaluate_arrays = evaluate_arrays
        self._logits = logits
        self._every = every or max(1, epochs // 3)
        self._drawn = -1
        self._share = share
        self._drawing = self._began = 0.0  # seconds
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the hyperparameters and the graph."""
        self._began = time.perf_counter()
        for part in ("", "train", "validation"):
            _start_session(self._directory / part, self._finished + 1)
            self._writers[part] = tf.summary.create_file_writer(str(self._directory / part))
        self._predict = tf.function(self._forward).get_concrete_function(
            tf.TensorSpec([None, *self._inputs.shape[1:]], self._inputs.dtype)
        )
        with self._writers[""].as_default(step=self._finished):
            hparams_api.hparams(self._hparams)
            tf.summary.experimental.write_raw_pb(_layout().SerializeToString())
        if not self._finished:
            with self._writers["train"].as_default(step=0):
                tf.summary.graph(self._predict.graph)
        self._flush()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the epoch's scalars, and pictures when it is time."""
        self._finished = epoch + 1
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith(VALIDATION) else "train"
            self._scalar(part, name.removeprefix(VALIDATION), value)
        due = self._finished == 1 or self._finished % self._every == 0
        if due and self._affordable():
            self._draw()
        self._flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the final metrics: those of `logs` whose names start with `test_`."""
        if self._finished and self._drawn != self._finished:
            self._draw()
        for name, value in (logs or {}).items():
            if name.startswith(TEST):
                self._scalar("", name, value)
        ended = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        with self._writers[""].as_default(step=self._finished):
            tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        for writer in self._writers.values():
            writer.close()

    def _forward(self, inputs: Any) -> Any:
        """Probabilities, `[batch, classes]`, of the first output."""
        outputs = self.model(inputs, training=False)
        first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        return tf.nn.softmax(first) if self._logits else first

    def _scalar(self, part: str, name: str, value: Any) -> None:
        with self._writers[part].as_default(step=self._finished):
            tf.summary.scalar(name, float(value))

    def _affordable(self) -> bool:
        """Whether one more drawing keeps to the share of the time that drawing may take."""
        elapsed = time.perf_counter() - self._began
        return self._drawing + DRAWING <= self._share * elapsed

    def _draw(self) -> None:
        """Write the pictures of this epoch."""
        started = time.perf_counter()
        self._drawn = self._finished
        if len(self._images):
            found = self._predict(tf.constant(self._inputs)).numpy()
            samples = pictures.samples(self._images, self._labels, found, self._class_names)
            self._picture("validation", "samples", samples)
        if self._evaluate_arrays is not None:
            matrix = np.zeros([len(self._class_names)] * 2, dtype=int)
            np.add.at(matrix, tuple(np.asarray(a, dtype=int) for a in self._evaluate_arrays()), 1)
            confusion = pictures.confusion(matrix, self._class_names)
            self._picture("validation", "confusion_matrix", confusion)
        if (layer := pictures.first_convolution(self.model)) is not None:
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            self._picture("train", "filters", pictures.filters(kernel, layer.name))
        self._drawing += time.perf_counter() - started

    def _picture(self, part: str, name: str, figure: Any) -> None:
        with self._writers[part].as_default(step=self._finished):
            tf.summary.image(name, pictures.pixels(figure)[None])

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested mappings and dataclasses as one, in the types that HParams knows.

    `{"recipe": Recipe(...), "widths": (6, 16)}` gives `{"recipe.optimizer": "adamw", ...,
    "widths": "(6, 16)"}`.
    """
    result: dict[str, bool | int | float | str] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            known = isinstance(value, (bool, int, float, str))
            result[f"{prefix}{name}"] = value if known else str(value)
    return result


def _layout() -> Any:
    """`LAYOUT` as TensorBoard stores it."""
    categories = [
        layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=[tag]))
                for name, tag in charts.items()
            ],
        )
        for title, charts in LAYOUT.items()
    ]
    return layout_summary.pb(layout_pb2.Layout(category=categories))


def _start_session(directory: Path, step: int) -> None:
    """Make TensorBoard drop what an earlier session wrote here for `step` and later.

    It does so at the second session's start and at each further one. tf.summary can't write a
    start, so it gets an event file of its own; TensorBoard reads a directory's files in the order
    of their names, in which this one comes before the file that this process writes next.
    """
    directory.mkdir(parents=True, exist_ok=True)
    now = time.time()
    start = SessionLog(status=SessionLog.START)
    name = f"events.out.tfevents.{int(now):010}.{socket.gethostname()}.{os.getpid()}.0.start"
    with tf.io.TFRecordWriter(str(directory / name)) as file:
        file.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        file.write(Event(wall_time=now, step=step, session_log=start).SerializeToString())
