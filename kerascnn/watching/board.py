"""TensorBoard logs of a training."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as layout_summary
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from kerascnn import pictures
from kerascnn.tasks.measure import HELD, TEST, Measure
from kerascnn.watching.graph import layer_graph
from kerascnn.watching.hparams import flat
from kerascnn.watching.memory import peak_memory
from kerascnn.watching.statistics import Probe, Statistics, spread_maps

DRAWING = 1.0  # seconds that the first drawing takes, matplotlib's import included
LOGS = ("train", "validation")  # folders, by which TensorBoard calls them
MAPS = 3  # layers of which feature maps are drawn

# What the dashboard of custom scalars shows: title → charts, each a title and a pattern of tags.
# Further logs of other callbacks are on the dashboard of all scalars.
LAYOUT = {
    "Learning": {
        "Loss": "^loss$",
        "Learning rate": "^learning_rate$",
    },
    "Health": {
        "Gradient norm": "^gradient_norm$",
        "Update-to-weight ratio of one step": "^update_ratio$",
        "Dead ReLUs": "^dead_relus$",
    },
    "Layers": {
        "Gradient norm of layers": "^gradient_norm/",
        "Update-to-weight ratio of layers": "^update_ratio/",
        "Dead ReLUs of layers": "^dead_relus/",
        "Standard deviation of activations": "^activation_std/",
        "Standard deviation of weights": "^weights_std/",
    },
    "Speed": {
        "Images per second": "^images_per_second$",
        "Share of time waiting for input": "^input_wait$",
        "Peak memory, GiB": "^peak_memory/",
    },
}


class Budget:
    """Keeps some work to a share of the time since it was made.

    Args:
        share: the largest, of all the time.
        first: seconds that the first turn is expected to take; each later one as long as the one
            before.
        free: turns that don't count, as they mostly compile.
    """

    def __init__(self, share: float, *, first: float = 0.0, free: int = 0) -> None:
        self._share, self._free = share, free
        self._began = time.perf_counter()
        self._spent, self._expected = 0.0, first

    def allows(self) -> bool:
        """Whether one more turn keeps to the share."""
        elapsed = time.perf_counter() - self._began
        return self._free > 0 or self._spent + self._expected <= self._share * elapsed

    def spend(self, seconds: float) -> None:
        """Count a turn."""
        if self._free:
            self._free -= 1
        else:
            self._spent, self._expected = self._spent + seconds, seconds


class TensorBoardLogs(keras.callbacks.Callback):
    """Writes what TensorBoard shows; a step of its axes is an epoch.

    `<directory>/train` and `<directory>/validation` get the scalars of the epoch's logs under the
    same tags, so that TensorBoard draws them in one chart; `train` also gets the graph, what
    `Probe` measures, the first layer's filters, the feature maps of one image and the layout of
    the dashboard that `kerascnn board` opens; `validation` the samples, the images with the
    highest loss, the confusion matrix, final metrics and hyperparameters. TensorBoard takes as a
    run's metrics what is beside its hyperparameters, so they stand where the figures are that runs
    are compared by, and not some hundred statistics of layers.

    TensorBoard calls logs by their folders: in `runs/lenet5` they are `lenet5/train` and
    `lenet5/validation`.

    Nothing is done in a training step but that weights are looked at before and after the first
    one of an epoch. Measuring and drawing each keep to half of `share`; where that is too little
    for each epoch, they leave epochs out. Only the first measurement, which compiles, and what the
    end needs come on top.

    After a crash, a run that is resumed goes on in the same directory: TensorBoard drops what was
    written after the epoch from which it is resumed.

    Args:
        directory: where to make the two.
        inputs: some validation images, preprocessed for the network, `[n, height, width,
            channels]`.
        pictures: from the model's first output for them to tags and figures of what the network
            answers; None: there are none.
        measures: that have a chart each beside the loss.
        name: of the run, in the table of hyperparameters.
        hparams: names and values to compare runs by; values may be mappings and dataclasses.
            TensorBoard shows those that differ first, each part in alphabetical order.
        epochs: epochs of the whole run.
        first_epoch: epochs that were finished before, in a run that is resumed.
        probe: measures the layers; None: no statistics of them.
        every: draw pictures after the first and each `every`-th epoch, as long as `share` allows,
            and at the end; default: a third of `epochs`.
        share: the largest share of the training time for measuring and drawing.
    """

    def __init__(
        self,
        *,
        directory: Path | str,
        inputs: np.ndarray,
        pictures: Callable[[np.ndarray], Mapping[str, Figure]] | None = None,
        measures: Sequence[Measure] = (),
        name: str,
        hparams: Mapping[str, Any],
        epochs: int,
        first_epoch: int = 0,
        probe: Probe | None = None,
        every: int | None = None,
        share: float = 0.05,
    ) -> None:
        super().__init__()
        self._directory = Path(directory)
        self._inputs, self._pictures, self._measures = inputs, pictures, measures
        self._name, self._hparams = name, flat(hparams)
        self._epochs, self._finished = epochs, first_epoch
        self._probe = probe
        self._every = every or max(1, epochs // 3)
        self._share = share
        self._last_drawn = self._last_measured = -1  # epochs
        self._measuring = False
        self._first_step: int | None = None  # of this epoch, while its update is awaited
        self._ratios: dict[str, float] = {}
        self._ratio_seconds = 0.0
        self._updates = 0  # in this epoch
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the hyperparameters and the graph."""
        self._to_draw = Budget(self._share / 2, first=DRAWING)
        self._to_measure = Budget(self._share / 2, free=1)
        for part in LOGS:
            _start_session(self._directory / part, self._finished + 1)
            self._writers[part] = tf.summary.create_file_writer(str(self._directory / part))
        self._maps = spread_maps(self.model, MAPS)
        self._network = keras.Model(
            self.model.inputs[0], [self.model.outputs[0], *self._maps.values()]
        )
        self._predict = tf.function(self._forward, autograph=False).get_concrete_function(
            tf.TensorSpec([None, *self._inputs.shape[1:]], self._inputs.dtype)
        )
        with self._writers["validation"].as_default(step=self._finished):
            hparams_api.hparams(self._hparams, trial_id=self._name)
        with self._writers["train"].as_default(step=self._finished):
            tf.summary.experimental.write_raw_pb(_layout(self._measures).SerializeToString())
            if not self._finished:
                tf.summary.graph(layer_graph(self.model, self._inputs.shape[1:]))
        self._flush()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Decide whether the layers are measured in this epoch."""
        self._measuring = self._probe is not None and self._to_measure.allows()
        self._ratios, self._first_step = {}, None

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the weights before the first update of an epoch."""
        if self._measuring and self._probe and self._first_step is None:
            self._probe.remember()
            self._first_step = batch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """See how far that update, if it was one alone, has moved them."""
        self._updates = batch + 1
        if self._probe and batch == self._first_step and not self._ratios:
            began = time.perf_counter()
            self._ratios = self._probe.update_ratios()
            self._ratio_seconds = time.perf_counter() - began

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the epoch's scalars, and statistics and pictures when it is time."""
        self._finished, logs = epoch + 1, logs or {}
        for name, value in logs.items():
            part = "validation" if name.startswith(HELD) else "train"
            self._scalar(part, name.removeprefix(HELD), value)
        if "seconds" in logs and self._updates:
            self._scalar("train", "step_milliseconds", 1000 * logs["seconds"] / self._updates)
        for device, size in peak_memory().items():
            self._scalar("train", f"peak_memory/{device}", size)
        if self._measuring:
            self._measure()
        due = self._finished == 1 or self._finished % self._every == 0
        if due and self._to_draw.allows():
            self._draw()
        self._flush()

    def show(self, name: str, figure: Any) -> None:
        """Add a picture to those of the training images, such as the filters."""
        self._picture("train", name, figure)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the final metrics: those of `logs` whose names start with `test_`."""
        if self._finished and self._probe and self._last_measured != self._finished:
            self._measure()
        if self._finished and self._last_drawn != self._finished:
            self._draw()
        for name, value in (logs or {}).items():
            if name.startswith(TEST):
                self._scalar("validation", name, value)
        ended = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        with self._writers["validation"].as_default(step=self._finished):
            tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        self.close()

    def close(self) -> None:
        """Close the files; needed when training ends with an exception."""
        for writer in self._writers.values():
            writer.close()

    def _forward(self, inputs: Any) -> tuple[Any, list[Any]]:
        """The first output, `[batch, ...]`; feature maps of the first image.

        The maps are `[height, width, channels]`, one for each layer of `self._maps`.
        """
        outputs = self._network(inputs, training=False)
        first, *maps = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return first, [found[0] for found in maps]

    def _scalar(self, part: str, name: str, value: Any) -> None:
        with self._writers[part].as_default(step=self._finished):
            tf.summary.scalar(name, float(value))

    def _measure(self) -> None:
        """Write the statistics of this epoch."""
        assert self._probe is not None
        began = time.perf_counter()
        self._last_measured = self._finished
        found = self._probe.measure()
        found = Statistics({**found.scalars, **self._ratios}, found.histograms)
        with self._writers["train"].as_default(step=self._finished):
            tf.summary.experimental.write_raw_pb(found.summary())
        self._to_measure.spend(time.perf_counter() - began + self._ratio_seconds)

    def _draw(self) -> None:
        """Write the pictures of this epoch."""
        began = time.perf_counter()
        self._last_drawn = self._finished
        if len(self._inputs):
            outputs, maps = self._predict(tf.constant(self._inputs))
            for name, channels in zip(self._maps, maps):
                figure = pictures.feature_maps(channels.numpy(), name)
                self._picture("train", f"feature_maps/{name}", figure)
            for tag, figure in (self._pictures(outputs.numpy()) if self._pictures else {}).items():
                self._picture("validation", tag, figure)
        if (layer := pictures.first_convolution(self.model)) is not None:
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            self._picture("train", "filters", pictures.filters(kernel, layer.name))
        self._to_draw.spend(time.perf_counter() - began)

    def _picture(self, part: str, name: str, figure: Any) -> None:
        with self._writers[part].as_default(step=self._finished):
            tf.summary.image(name, pictures.pixels(figure)[None])

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()


def _layout(measures: Sequence[Measure]) -> Any:
    """`LAYOUT` with a chart for each measure, as TensorBoard stores it."""
    learning = {one.title: f"^{one.name}$" for one in measures}
    loss, rate = LAYOUT["Learning"].items()
    layout = {**LAYOUT, "Learning": dict([loss, *learning.items(), rate])}
    categories = [
        layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=[tag]))
                for name, tag in charts.items()
            ],
        )
        for title, charts in layout.items()
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
